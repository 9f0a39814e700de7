"""English sentences into another language, by templates in which `{}` stands for a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from string import Formatter
from typing import Final, NamedTuple


class _Pattern(NamedTuple):
    """A template with values: what it looks like when it is filled, and how it reads in the other language."""

    matcher: re.Pattern[str]
    translation: str


class _Compiled(NamedTuple):
    """The templates without values, to be looked up, and the others, the most specific first."""

    sentences: Mapping[str, str]
    patterns: tuple[_Pattern, ...]


class Catalogue:
    """Templates and their translations, which may name the values by number: `{1}` is the second.

    A brace that stands for itself is doubled. The last of several ways to find a template's values in a sentence is
    taken: what is odd is more often a name than what stands behind it.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        """Take the templates as they are; they are compiled when the first sentence has to be translated."""
        self.templates: Final = templates

    def translate(self, sentence: str) -> str:
        """Return the translation with the same values; the sentence itself where no template fits."""
        found = self._compiled.sentences.get(sentence)
        if found is not None:
            return found
        for matcher, translation in self._compiled.patterns:
            if (match := matcher.fullmatch(sentence)) is not None:
                return translation.format(*match.groups())
        return sentence

    @cached_property
    def _compiled(self) -> _Compiled:
        split = {template: _literals(template) for template in self.templates}
        filled = sorted(
            (template for template, literals in split.items() if len(literals) > 1),
            key=lambda template: sum(map(len, split[template])),
            reverse=True,
        )
        return _Compiled(
            {literals[0]: self.templates[each].format() for each, literals in split.items() if len(literals) == 1},
            tuple(_Pattern(_matcher(split[each]), self.templates[each]) for each in filled),
        )


def _literals(template: str) -> tuple[str, ...]:
    """Return the texts between a template's values: one more than there are values."""
    parts = [""]
    for text, value, _, _ in Formatter().parse(template):
        parts[-1] += text
        if value is not None:
            parts.append("")
    return tuple(parts)


def _matcher(literals: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("(.*)".join(map(re.escape, literals)), re.DOTALL)
