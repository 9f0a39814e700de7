"""The language of errors: the one that the caller prefers, English by default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flask import request
from werkzeug.datastructures import LanguageAccept

from gateway.api.context import request_context
from gateway.api.i18n import zh_hans
from gateway.domain.errors import REGISTRY, FieldError, GatewayError
from gateway.domain.messages import ENGLISH, Message


@dataclass(frozen=True, slots=True)
class Language:
    """The texts of one language: titles and descriptions by error code, messages by key."""

    tag: str
    titles: Mapping[str, str]
    descriptions: Mapping[str, str]
    messages: Mapping[str, str]

    def text(self, message: Message) -> str:
        """Return the text of a message, with its values filled in."""
        return self.messages[message.key].format_map(message.values)

    def detail(self, error: GatewayError | FieldError) -> str:
        """Return what an error says; without a message it is the title of its code."""
        return self.text(error.message) if error.message else self.titles[error.code]


LANGUAGES: Final = (
    Language(
        "en",
        {code: error.title for code, error in REGISTRY.items()},
        {code: error.description() for code, error in REGISTRY.items()},
        ENGLISH,
    ),
    Language("zh-Hans", zh_hans.TITLES, zh_hans.DESCRIPTIONS, zh_hans.MESSAGES),
)


def get_language() -> Language:
    """Return the language of the current request, and record it for the Content-Language header."""
    language = negotiate_language(request.accept_languages)
    request_context().language = language.tag
    return language


def negotiate_language(accepted: LanguageAccept) -> Language:
    """Return the language with the highest quality; of several, the one that the header names first.

    Only the primary subtag counts: zh-CN, zh-TW and zh are all Chinese. Werkzeug's own best_match prefers an exact tag
    of lower quality, and would answer `zh-CN, en;q=0.5` in English.
    """
    qualities: dict[str, float] = {}
    for tag, quality in accepted:
        subtag = _primary_subtag(tag)
        qualities[subtag] = max(quality, qualities.get(subtag, 0.0))
    wildcard_quality = qualities.pop("*", 0.0)
    for subtag in _LANGUAGE_BY_SUBTAG:
        qualities.setdefault(subtag, wildcard_quality)
    # max() returns the first of several, and the dict keeps the order of the header.
    best_subtag = max((subtag for subtag in qualities if subtag in _LANGUAGE_BY_SUBTAG), key=qualities.__getitem__)
    return _LANGUAGE_BY_SUBTAG[best_subtag] if qualities[best_subtag] > 0 else LANGUAGES[0]


def _primary_subtag(tag: str) -> str:
    return re.split("[-_]", tag, maxsplit=1)[0].lower()


_LANGUAGE_BY_SUBTAG: Final = {_primary_subtag(language.tag): language for language in LANGUAGES}
