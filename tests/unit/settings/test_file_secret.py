"""A secret in a file is read again when the file changes, and never has a value that was not written as a whole."""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import ConfigurationError, FileSecret, Secret, secret
from gateway.settings.fields import Text
from gateway.telemetry.redaction import Redactor, collect_secrets, find_secrets
from tests.conftest import VirtualClock
from tests.unit.settings.conftest import CMDB, Read

_OLD: Final = "canary-old-value"
_NEW: Final = "canary-new-value"


def _open(path: Path, clock: VirtualClock) -> FileSecret:
    return FileSecret(
        str(path),
        lambda: Text("[a-z-]+", "letters").deserialize(f"file:{path}"),
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the old value."""
    (path := tmp_path / "secret").write_text(f"{_OLD}\n")
    return path


@pytest.fixture
def file_secret(path: Path, clock: VirtualClock) -> FileSecret:
    return _open(path, clock)


def _wait(clock: VirtualClock, file_secret: FileSecret) -> str:
    """Return the value after the seconds in which a change must be noticed."""
    for _ in range(2):
        clock.seconds += 1.0
        _ = file_secret.value
    return file_secret.value


def _replace(path: Path, text: str) -> None:
    (temporary := path.with_name("temporary")).write_text(text)
    temporary.replace(path)


def _write_with_old_times(path: Path, text: str) -> None:
    """Write a text of the same length, and set the times back, as `cp -p` and `touch -r` do."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _recreate(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


CHANGES: Final[dict[str, Callable[[Path, str], Any]]] = {
    "written in place": Path.write_text,
    "replaced": _replace,
    "deleted and created": _recreate,
    "of the same size and time": _write_with_old_times,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("text", [_NEW, f"{_NEW}\n", f"{_NEW}\r\n"])
def test_a_change_is_taken(
    path: Path, clock: VirtualClock, file_secret: FileSecret, change: Callable[[Path, str], Any], text: str
) -> None:
    """Within two seconds, however the file was changed; it is trimmed as at the start."""
    change(path, text)
    assert file_secret.value == _OLD
    assert _wait(clock, file_secret) == _NEW


def test_a_mounted_secret_of_kubernetes(tmp_path: Path, clock: VirtualClock) -> None:
    """The file is a link to a link to a directory, and the latter link is swapped."""
    for version, value in (("..1", _OLD), ("..2", _NEW)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "key").write_text(value)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key").symlink_to("..data/key")
    file_secret = _open(tmp_path / "key", clock)
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    shutil.rmtree(tmp_path / "..1")
    assert (file_secret.value, _wait(clock, file_secret)) == (_OLD, _NEW)


def _to_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


BAD: Final[dict[str, Callable[[Path], Any]]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_text(""),
    "a line break": lambda path: path.write_text("\r\n"),
    "not UTF-8": lambda path: path.write_bytes(b"canary-\xff"),
    "a directory": _to_directory,
    "against the rule of its field": lambda path: path.write_text("canary-BROKEN"),
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_an_unusable_file_keeps_the_last_value(
    path: Path,
    clock: VirtualClock,
    file_secret: FileSecret,
    change: Callable[[Path], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One warning for each change, with the path and without a value; the next usable content is taken."""
    for number in (1, 2):
        change(path)
        for _ in range(5):
            assert _wait(clock, file_secret) == (_OLD if number == 1 else _NEW)
        file_secret.reread()
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == number
        assert warnings[-1].fields["path"] == str(path)  # type: ignore[attr-defined] # a field of the gateway's logs
        assert "canary" not in str(warnings[-1].__dict__)
        if path.is_dir():
            path.rmdir()
        path.write_text(_NEW)
        assert _wait(clock, file_secret) == _NEW


def test_a_half_written_file_is_not_taken(path: Path, clock: VirtualClock) -> None:
    """A value that is still growing is not used, not even if a refusal asks for it."""

    def grow(_seconds: float = 0.0) -> None:
        path.write_text(path.read_text() + "x")

    file_secret = FileSecret(str(path), path.read_text, monotonic=clock.monotonic, sleep=grow)
    old = file_secret.value
    path.write_text("")
    for _ in range(10):
        grow()
        file_secret.reread()
        grow()
        clock.seconds += 1.0
        assert file_secret.value == old
    assert _wait(clock, file_secret) == "x" * 30


def test_a_file_that_changes_while_it_is_read(path: Path, clock: VirtualClock) -> None:
    """The value is not used: it may be half old and half new."""
    texts = iter([_OLD, "mixed", _NEW])

    def load() -> str:
        if (text := next(texts)) == "mixed":
            _replace(path, _NEW)
        return text

    file_secret = FileSecret(str(path), load, monotonic=clock.monotonic, sleep=clock.sleep)
    path.write_text("x")
    assert [_wait(clock, file_secret) for _ in range(2)] == [_OLD, _NEW]


def test_a_refusal_looks_at_once(path: Path, clock: VirtualClock, file_secret: FileSecret) -> None:
    """A changed file is taken after a moment; without a change there is no wait."""
    started_at = clock.seconds
    file_secret.reread()
    assert clock.seconds == started_at
    _replace(path, _NEW)
    file_secret.reread()
    assert file_secret.value == _NEW
    assert clock.seconds - started_at < 0.5


def test_the_file_is_looked_at_once_a_second(
    clock: VirtualClock, file_secret: FileSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand uses in ten seconds look eleven times at most, and read nothing."""
    fingerprint = mock.Mock(side_effect=secret._fingerprint)
    monkeypatch.setattr(secret, "_fingerprint", fingerprint)
    monkeypatch.setattr(file_secret, "_load", None)
    for _ in range(10_000):
        clock.seconds += 0.001
        assert file_secret.value == _OLD
    assert 9 <= fingerprint.call_count <= 11


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder)


_STATES: Final = st.tuples(
    st.sampled_from([*CHANGES, *BAD, "half", "touched"]), st.text("abc", min_size=1, max_size=6), st.integers(0, 3)
)


@given(st.lists(_STATES, max_size=12))
def test_any_sequence_of_states(states: list[tuple[str, str, int]]) -> None:
    """The value is always one that was written as a whole; a file that stays usable is in use after two seconds."""
    clock = VirtualClock()
    with _folder() as folder:
        (path := folder / "secret").write_text("first")
        file_secret = _open(path, clock)
        whole, now = {"first"}, "first"
        for state, text, seconds in states:
            if path.is_dir():
                path.rmdir()
            if not path.exists():
                path.write_text("")
            if state == "half":
                path.write_text("half-" + text)
                assert file_secret.value in whole
                path.write_text(text)
            elif state == "touched":
                path.touch()
            elif state in BAD:
                BAD[state](path)
            else:
                CHANGES[state](path, text)
            if state == "half" or state in CHANGES:
                whole.add(text)
                now = text
            for _ in range(seconds):
                clock.seconds += 1.0
                assert file_secret.value in whole
        if path.is_file() and path.read_bytes() == now.encode():
            assert _wait(clock, file_secret) == now
        assert _wait(clock, file_secret) in whole


def test_both_values_are_redacted_before_the_new_one_is_used(path: Path, clock: VirtualClock) -> None:
    """Whoever gets the new value can log it: it is masked, and so is the old one; both also in a URL, decoded too."""
    file_secret = _open(path, clock)
    redactor = Redactor(clock=clock.monotonic)
    redactor.follow(file_secret)
    file_secret.on_change(lambda old, new: seen.append(redactor.redact(f"{old} {new} {file_secret._value}")))
    seen: list[str] = []
    _replace(path, _NEW)
    _wait(clock, file_secret)
    assert (file_secret.value, seen) == (_NEW, ["[redacted] [redacted] [redacted]"])
    _replace(path, _OLD)  # a rollback
    _wait(clock, file_secret)
    assert redactor.redact(f"{_OLD} {_NEW}") == "[redacted] [redacted]"


@pytest.mark.parametrize(
    ("table", "setting", "old", "new"),
    [
        (CMDB.replace('"env:SECRET"', '"file:PATH"'), "app_secret", _OLD, _NEW),
        (
            CMDB + "[limits]\nstorage = 'file:PATH'",
            "storage",
            "redis://:canary-old@127.0.0.1:1/0",
            "redis://:canary-new@127.0.0.1:1/0",
        ),
        (
            CMDB + "[journal]\nurl = 'file:PATH'",
            "journal_url",
            "postgresql://u:canary%2Fold@db/g",
            "postgresql://u:canary%2Fnew@db/g",
        ),
    ],
)
def test_settings_that_are_read_again(
    path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, table: str, setting: str, old: str, new: str
) -> None:
    """A secret in a file keeps the rules of its setting: a text that breaks them is not used."""
    path.write_text(old)
    settings = read(table.replace("PATH", str(path)), SECRET="s")
    (file_secret,) = (found for found in find_secrets(settings) if found.can_change)
    for text, expected in ((new, new), ("", new), ("mysql://x" if "://" in old else "\n", new), (old, old)):
        path.write_text(text)
        file_secret.reread()
        assert file_secret.value == expected, setting
    assert any("canary" in part for part in collect_secrets(settings))


def test_a_file_must_be_usable_at_the_start(path: Path, read: Read) -> None:
    """An unusable one is an error of the configuration, and no value is in it."""
    path.write_text("mysql://canary")
    with pytest.raises(ConfigurationError) as caught:
        read(CMDB + f"[journal]\nurl = 'file:{path}'", SECRET="s")
    assert caught.value.errors == ("journal.url: must be sqlite:///PATH or postgresql://…",)


def test_secrets_are_compared_by_value(path: Path, file_secret: FileSecret) -> None:
    """A file's and a literal one are equal if their values are; neither shows its value."""
    assert file_secret == Secret(_OLD)
    assert hash(file_secret) == hash(Secret(_NEW))
    assert file_secret != Secret(_NEW)
    assert file_secret != _OLD
    assert _OLD not in repr((file_secret, Secret(_OLD)))
    assert not Secret(_OLD).can_change
    Secret(_OLD).reread()


def test_a_pickled_secret_follows_its_file(read: Read, tmp_path: Path) -> None:
    """The master passes the configuration on to later workers: the value of then is used until the file changes."""
    path = tmp_path / "secret"
    path.write_text(_OLD)
    options = read(CMDB.replace('"env:SECRET"', f'"file:{path}"')).backends[0].options
    secret: FileSecret = pickle.loads(pickle.dumps(options.app_secret))  # noqa: S301 - made here
    assert secret.value == _OLD
    path.write_text(_NEW)
    secret._monotonic = itertools.count(secret._next_look, 10.0).__next__
    assert [secret.value for _ in range(3)][-1] == _NEW
