import os
from pathlib import Path

import pytest

from tests.performance import disk


def test_every_pair_of_writes_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are waited for, in turn; the file does not grow, and is gone afterwards."""
    done: list[str] = []
    write, wait = os.pwrite, os.fdatasync

    def written(file: int, data: bytes, place: int) -> int:
        done.append("write")
        return write(file, data, place)

    def waited(file: int) -> None:
        done.append(f"wait at {os.fstat(file).st_size}")
        wait(file)

    monkeypatch.setattr(os, "pwrite", written)
    monkeypatch.setattr(os, "fdatasync", waited)
    told = disk.waits(tmp_path, count=60, every=0.0)
    assert len(told) == 60
    assert min(told) > 0
    assert done == ["write", *["write", "wait at 2060000"] * 120]
    assert not list(tmp_path.iterdir())
