"""In which language an error is told: what the caller prefers, English where he says nothing of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from flask import request
from werkzeug.datastructures import LanguageAccept

from gateway.api.context import request_context
from gateway.api.i18n.catalogue import Catalogue
from gateway.api.i18n.zh_hans import TEMPLATES

Translate = Callable[[str], str]

ENGLISH: Final = "en"
CHINESE: Final = "zh-Hans"
#: English is what the code says, and what the journal keeps; every other language is a catalogue over it.
LANGUAGES: Final[Mapping[str, Translate]] = {ENGLISH: str, CHINESE: Catalogue(TEMPLATES).translate}


def translation() -> Translate:
    """Return how to put sentences to the present caller, and note the language, for the answer to name it."""
    language = request_context().language = preferred(request.accept_languages)
    return LANGUAGES[language]


def preferred(accepted: LanguageAccept) -> str:
    """Return the language a caller likes best; of two he likes alike, the one that he names first.

    By the primary subtag alone: zh-CN, zh-TW and zh are all Chinese. Werkzeug's own best_match prefers an exact tag
    of lower quality, and would answer `zh-CN, en;q=0.5` in English.
    """
    named: dict[str, float] = {}
    for tag, quality in accepted:
        primary = _primary(tag)
        named[primary] = max(quality, named.get(primary, 0.0))
    others = named.pop("*", 0.0)
    liked = named | {primary: others for primary in _OFFERED if primary not in named}
    best = max((primary for primary in liked if primary in _OFFERED), key=liked.__getitem__)
    return _OFFERED[best] if liked[best] > 0 else ENGLISH


def _primary(tag: str) -> str:
    return re.split("[-_]", tag, maxsplit=1)[0].lower()


_OFFERED: Final = {_primary(language): language for language in LANGUAGES}
