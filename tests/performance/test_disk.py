import os
from pathlib import Path

import pytest

from tests.performance import disk


def test_every_write_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write is followed by fdatasync; the file does not grow, and is removed."""
    calls: list[str] = []
    pwrite, fdatasync = os.pwrite, os.fdatasync

    def record_write(file: int, data: bytes, offset: int) -> int:
        calls.append("write")
        return pwrite(file, data, offset)

    def record_sync(file: int) -> None:
        calls.append(f"sync at {os.fstat(file).st_size}")
        fdatasync(file)

    monkeypatch.setattr(os, "pwrite", record_write)
    monkeypatch.setattr(os, "fdatasync", record_sync)
    latencies = disk.write_latencies(tmp_path, count=60, interval=0.0)
    assert len(latencies) == 60
    assert min(latencies) > 0
    assert calls == ["write", *["write", "sync at 2060000"] * 120]
    assert not list(tmp_path.iterdir())
