"""The language of errors: the one that the caller prefers, English by default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from string import Formatter
from typing import Final

from flask import request
from werkzeug.datastructures import LanguageAccept

from gateway.api.context import request_context
from gateway.api.i18n import zh_hans
from gateway.api.json_body import MAX_PARSED_HEADER
from gateway.domain.errors import REGISTRY, FieldError, GatewayError
from gateway.domain.messages import ENGLISH, Message, message

_NO_VALUES: Final[Mapping[str, object]] = {}


@cache
def placeholders(template: str) -> frozenset[str]:
    """Return the names of the values that a text needs."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


@dataclass(frozen=True, slots=True)
class Language:
    """The texts of one language: titles and descriptions by error code, messages by key."""

    tag: str
    titles: Mapping[str, str]
    descriptions: Mapping[str, str]
    messages: Mapping[str, str]

    def text(self, localized: Message) -> str:
        """Return the text of a message, with its values filled in."""
        return localized.text(self.messages)

    def detail(self, error: GatewayError | FieldError, values: Mapping[str, object] = _NO_VALUES) -> str:
        """Return what an error says.

        Without a message that is the text of its code, if `values`, which come from the request, has all that the text
        names; of an error with a single field error, what that one says; otherwise the title of its code.
        """
        if isinstance(error, FieldError):
            allowed = {} if error.allowed is None else {"allowed": self.text(error.allowed)}
            if error.message:
                return error.message.text(self.messages, **allowed)
        elif error.message:
            return self.text(error.message)
        elif len(error.errors) == 1:
            return self.detail(error.errors[0], values)
        template = self.messages.get(error.code)
        if template is None or not values.keys() >= placeholders(template):
            return self.titles[error.code]
        return message(error.code, **values).text(self.messages)


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
    is_parsed = len(request.environ.get("HTTP_ACCEPT_LANGUAGE", "")) <= MAX_PARSED_HEADER
    language = negotiate_language(request.accept_languages) if is_parsed else LANGUAGES[0]
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
