import gc
import json
import sysconfig
from pathlib import Path

import pytest

from tests.performance import calls


def test_calls_count_for_the_package_of_the_code() -> None:
    """A function of the project counts for its package, and so do the built-in functions that it calls."""
    from gateway.domain.capabilities import strip_whitespace  # noqa: PLC0415 - used in this test only

    once, twice = (
        calls.count(lambda: strip_whitespace(" a ")),
        calls.count(lambda: (strip_whitespace(" a "), strip_whitespace(" a "))),
    )
    assert once["gateway.domain"] == 2  # itself, and str.strip
    assert twice["gateway.domain"] == 2 * once["gateway.domain"]
    assert "tests" not in once


def test_standard_library_counts_by_module() -> None:
    """Calls inside json count for json."""
    assert calls.count(lambda: json.dumps({"a": [1, 2]}, indent=1))["json"] > 5


def test_profiling_ends_with_the_request() -> None:
    """After an exception the profile function is removed and garbage collection is enabled."""
    with pytest.raises(ZeroDivisionError):
        calls.count(lambda: 1 / 0)
    import sys  # noqa: PLC0415 - used in this test only

    assert sys.getprofile() is None
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (str(Path(sysconfig.get_path("purelib")) / "flask" / "app.py"), "flask"),
        (str(Path(sysconfig.get_path("stdlib")) / "json" / "encoder.py"), "json"),
        (str(Path(sysconfig.get_path("stdlib")) / "copy.py"), "copy"),
        (str(Path(__file__).parents[2] / "gateway" / "api" / "routes" / "modules.py"), "gateway.api"),
        (str(Path(__file__).parents[2] / "gateway" / "app.py"), "gateway.app"),
        (__file__, "tests"),
        ("<string>", "generated"),
    ],
)
def test_package_of_a_file(file: str, name: str) -> None:
    """The folder decides: installed, standard library or project; code without a file is generated."""
    assert calls.package(file) == name
