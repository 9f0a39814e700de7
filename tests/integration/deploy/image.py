"""Reads deploy/Dockerfile: its instructions, and what it copies from the repository to where."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Final

from tests.integration.deploy.charts import ROOT

DOCKERFILE: Final = ROOT / "deploy/Dockerfile"
IGNORE: Final = ROOT / ".dockerignore"


@dataclass(frozen=True)
class Copied:
    """A file or folder of the repository, and where it is copied to."""

    source: str
    target: str
    stage: int


def instructions() -> list[tuple[int, str, str]]:
    """Return stage, word and rest of each instruction; lines that go on are one."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found, stage = [], -1
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        if word:
            found.append((stage, word, rest.strip()))
    return found


def last(word: str) -> str:
    """Return what an instruction says in the image that comes out."""
    stages = instructions()
    return [rest for stage, each, rest in stages if each == word and stage == stages[-1][0]][-1]


def copied(requirements: str = "requirements.txt") -> list[Copied]:
    """Return what comes from the repository, with the lock that is asked for."""
    found = []
    for stage, word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.replace("${REQUIREMENTS}", requirements).split()
            found += [Copied(source, target, stage) for source in sources]
    return found


def admitted(path: str) -> bool:
    """Tell whether .dockerignore lets a path into the build; the last line that matches decides."""
    found = True
    for line in IGNORE.read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and _matches(path, pattern):
            found = line.startswith("!")
    return found


def _matches(path: str, pattern: str) -> bool:
    """A pattern is met by what lies below it as well; `**/` stands for any folder."""
    parts = path.split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
    return any(fnmatch.fnmatchcase(each, pattern) and each.count("/") == pattern.count("/") for each in above)
