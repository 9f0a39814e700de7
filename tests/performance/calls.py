"""Counts the function calls of a request by package; the counts do not depend on the load of the machine."""

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
_STDLIB: Final = Path(sysconfig.get_path("stdlib"))
_INSTALLED: Final = Path(sysconfig.get_path("purelib"))
_PROJECT: Final = Path(__file__).parents[2]


def count(work: Callable[[], object]) -> Mapping[str, int]:
    """Return the number of Python functions of each package that are called, plus the C functions that they call."""
    calls_by_code: Counter[CodeType] = Counter()

    def record(frame: FrameType, event: str, argument: Any) -> None:
        if event in _EVENTS:
            calls_by_code[frame.f_code] += 1

    gc_enabled = gc.isenabled()
    gc.collect()
    gc.disable()  # the time of a collection depends on earlier allocations
    try:
        sys.setprofile(record)
        try:
            work()
        finally:
            sys.setprofile(None)
    finally:
        if gc_enabled:
            gc.enable()
    calls: Counter[str] = Counter()
    for code, number in calls_by_code.items():
        calls[package(code.co_filename)] += number
    del calls["tests"]  # the frame around the request
    return dict(sorted(calls.items()))


@cache
def package(file: str) -> str:
    """Return the package of a file; for this project its first two levels, such as gateway.api."""
    path = Path(file)
    for folder, levels in ((_INSTALLED, 1), (_STDLIB, 1), (_PROJECT, 2)):
        if path.is_relative_to(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join(parts[:levels])
            return "tests" if parts[0] == "tests" else name
    return "generated"  # for example the methods of dataclasses
