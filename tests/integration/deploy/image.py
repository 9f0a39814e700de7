"""Parses deploy/Dockerfile and .dockerignore: instructions, and the files that the image gets."""

from __future__ import annotations

import fnmatch
import re
from typing import Final, NamedTuple

from tests.integration.deploy.charts import ROOT

DOCKERFILE: Final = ROOT / "deploy/Dockerfile"


class CopiedFile(NamedTuple):
    """A file or folder of the repository and its target in the image."""

    source: str
    target: str
    stage: int


def instructions() -> list[tuple[int, str, str]]:
    """Return stage, keyword and arguments of each instruction; continued lines are joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    result, stage = [], -1
    for line in filter(None, re.sub(r"\\\n\s*", " ", text).splitlines()):
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        result.append((stage, word, rest.strip()))
    return result


def final_arguments(word: str) -> str:
    """Return the arguments of the last instruction of this keyword in the final stage."""
    return [rest for stage, keyword, rest in instructions() if (stage, keyword) == (1, word)][-1]


def copied_files(requirements: str = "requirements.txt") -> list[CopiedFile]:
    """Return the files copied from the repository; `requirements` is the lock file."""
    copies = [(stage, rest.split()) for stage, word, rest in instructions() if word == "COPY"]
    return [
        CopiedFile(source.replace("${REQUIREMENTS}", requirements), words[-1], stage)
        for stage, words in copies
        if not words[0].startswith("--from")
        for source in words[:-1]
    ]


def is_in_build_context(path: str) -> bool:
    """Return whether .dockerignore includes a path: it excludes all, includes some by name, and excludes names."""
    text = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    included = [line[1:] for line in lines if line.startswith("!")]
    excluded = [line[3:] for line in lines if line.startswith("**/")]
    assert lines == ["*", *(f"!{name}" for name in included), *(f"**/{pattern}" for pattern in excluded)]
    return any(f"{path}/".startswith(f"{name}/") for name in included) and not any(
        fnmatch.fnmatchcase(part, pattern) for part in path.split("/") for pattern in excluded
    )
