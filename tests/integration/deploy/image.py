"""Parses deploy/Dockerfile: its instructions and the files that it copies."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Final

from tests.integration.deploy.charts import ROOT

DOCKERFILE: Final = ROOT / "deploy/Dockerfile"
IGNORE: Final = ROOT / ".dockerignore"


@dataclass(frozen=True)
class CopiedFile:
    """A file or folder of the repository and its target in the image."""

    source: str
    target: str
    stage: int


def instructions() -> list[tuple[int, str, str]]:
    """Return stage, keyword and arguments of each instruction; continued lines are joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    result, stage = [], -1
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        if word:
            result.append((stage, word, rest.strip()))
    return result


def final_arguments(word: str) -> str:
    """Return the arguments of the last instruction of this keyword in the final stage."""
    stages = instructions()
    return [rest for stage, keyword, rest in stages if keyword == word and stage == stages[-1][0]][-1]


def copied_files(requirements: str = "requirements.txt") -> list[CopiedFile]:
    """Return the files copied from the repository; `requirements` is the lock file."""
    files = []
    for stage, word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.replace("${REQUIREMENTS}", requirements).split()
            files += [CopiedFile(source, target, stage) for source in sources]
    return files


def is_in_build_context(path: str) -> bool:
    """Return whether .dockerignore includes a path; the last matching line decides."""
    included = True
    for line in IGNORE.read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and _matches(path, pattern):
            included = line.startswith("!")
    return included


def _matches(path: str, pattern: str) -> bool:
    """Return whether a pattern matches a path or a folder above it; `**/` matches any folder."""
    parts = path.split("/")
    prefixes = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
    return any(fnmatch.fnmatchcase(prefix, pattern) and prefix.count("/") == pattern.count("/") for prefix in prefixes)
