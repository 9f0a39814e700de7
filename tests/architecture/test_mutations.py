"""The script that changes the code and runs its tests, on a project with one function and one test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import mutations

SOURCE = "def is_positive(number):\n    return number > 0\n"
#: The test does not notice that 0 becomes positive.
FILES = {
    "gateway/__init__.py": "",
    "gateway/sample.py": SOURCE,
    "tests/unit/test_sample.py": "from gateway.sample import is_positive\ndef test():\n    assert is_positive(1)\n",
}
SURVIVED = "gateway/sample.py:2: number > 0 -> (number >= 0)"
NOTICED = "gateway/sample.py:2: 0 -> (1)"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(mutations, "_ROOT", tmp_path)
    return tmp_path


def test_the_seed_determines_the_list(project: Path) -> None:
    """The same seed selects the same changes in the same order; other seeds select others."""
    (project / "gateway" / "sample.py").write_text("".join(f"x{number} = {number}\n" for number in range(50)))
    assert mutations.select(1, 10) == mutations.select(1, 10)
    assert mutations.select(1, 10) != mutations.select(2, 10)


@pytest.mark.parametrize("passes", [True, False])
def test_a_changed_file_is_restored(project: Path, monkeypatch: pytest.MonkeyPatch, *, passes: bool) -> None:
    """The file is changed while the tests run, and has its old content afterwards, noticed or not."""
    path, seen = project / "gateway" / "sample.py", set()

    def run_tests(*_: object) -> bool:
        seen.add(path.read_text())
        return passes

    monkeypatch.setattr(mutations, "_pass", run_tests)
    for mutation in mutations.select(1, 2):
        assert mutations.run(mutation, project) is not passes
        assert path.read_text() == SOURCE
    assert seen == {SOURCE.replace("0", "(1)"), SOURCE.replace("number > 0", "(number >= 0)")}


@pytest.mark.usefixtures("project")
def test_an_unnoticed_change_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each change is printed as noticed or survived, and the exit status is the number of survivors."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the sample's test needs none
    assert mutations.main(["--seed", "1", "--count", "100"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted([f"SURVIVED {SURVIVED}", f"noticed  {NOTICED}", "1 of 2 noticed"])
