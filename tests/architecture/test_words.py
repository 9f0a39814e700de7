"""The tree uses the field's terms: none of the names and phrases that were replaced comes back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
#: Replaced names, and words that a docstring of Flask, PostgreSQL or Kubernetes would not use.
WORDS: Final = (
    *("told", "asked", "whoever", "stumbled", "hangs? up", "hand_on", "hands? on", "handed on", "left alone by"),
    *("Crew", "Latch", "Patient", "Witness", "Acquaintances?", "Surroundings", "Door", "Slots", "Tally", "Lean\\w+"),
    *("before_the_write", "void_memory", "take_due", "met_before", "made_by", "settle_existing", "keep_draft"),
    *("look_for", "not_asked", "LookAgain", "memory_until", "count_unmapped", "hotpath", "check_place", "NOBODY"),
    *("read_options", "surroundings", "acquaintances", "mistakes?"),
)
PATTERN: Final = re.compile(rf"\b(?:{'|'.join(WORDS)})\b")
#: Columns of the journal and file names that are part of the stored format or of history keep their words.
EXEMPT: Final = re.compile(
    r"CHANGELOG\.md|requirements.*\.txt|(test_words|queries|row_mapping|old_journal|test_migrations)\.py"
)
FILES: Final = sorted(
    path
    for folder in ("gateway", "config", "tests", "deploy")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".toml", ".yaml", ".tpl", ".txt", ".lua"} and not EXEMPT.search(path.name)
)


@pytest.mark.parametrize("path", [*FILES, ROOT / "README.md", ROOT / "Makefile"], ids=lambda path: path.name)
def test_no_replaced_word(path: Path) -> None:
    """No file uses a replaced name or phrase."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [f"line {number}: {match[0]}" for number, line in enumerate(lines, 1) if (match := PATTERN.search(line))]
    assert found == []
