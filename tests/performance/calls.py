"""Counts the calls that a request makes, by package: a cost that no other load on the machine can change."""

from __future__ import annotations

import gc
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

_EVENTS: Final = {"call", "c_call"}
_LIBRARY: Final = Path(sysconfig.get_path("stdlib"))
_INSTALLED: Final = Path(sysconfig.get_path("purelib"))
_OURS: Final = Path(__file__).parents[2]


def count(work: Callable[[], object]) -> Mapping[str, int]:
    """Return how many functions, in Python and in C, the code of each package calls or is called in."""
    found: Counter[CodeType] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event in _EVENTS:
            found[frame.f_code] += 1

    collecting = gc.isenabled()
    gc.collect()
    gc.disable()  # what is collected when depends on what was done before
    try:
        sys.setprofile(note)
        try:
            work()
        finally:
            sys.setprofile(None)
    finally:
        if collecting:
            gc.enable()
    calls: Counter[str] = Counter()
    for code, times in found.items():
        calls[package(code.co_filename)] += times
    del calls["tests"]  # the frame around the request
    return dict(sorted(calls.items()))


@cache
def package(file: str) -> str:
    """Name the package that a file belongs to; ours in two words, for they have different tasks."""
    path = Path(file)
    for folder, words in ((_INSTALLED, 1), (_LIBRARY, 1), (_OURS, 2)):
        if path.is_relative_to(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join(parts[:words])
            return "tests" if parts[0] == "tests" else name
    return "generated"  # such as the methods of dataclasses
