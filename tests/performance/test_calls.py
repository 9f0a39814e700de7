import gc
import json
import sysconfig
from pathlib import Path

import pytest

from tests.performance import calls


def test_what_is_called_counts_for_the_package_of_the_code() -> None:
    """A function of ours counts where it stands, and so do the built-in ones that it calls."""
    from gateway.domain.capabilities import strip_whitespace  # noqa: PLC0415 - beside its use

    once, twice = (
        calls.count(lambda: strip_whitespace(" a ")),
        calls.count(lambda: (strip_whitespace(" a "), strip_whitespace(" a "))),
    )
    assert once["gateway.domain"] == 2  # itself, and str.strip
    assert twice["gateway.domain"] == 2 * once["gateway.domain"]
    assert "tests" not in once


def test_the_standard_library_counts_by_module() -> None:
    """Who makes json work sees it."""
    assert calls.count(lambda: json.dumps({"a": [1, 2]}, indent=1))["json"] > 5


def test_profiling_ends_with_the_request() -> None:
    """What fails is counted no longer either, and garbage is collected again."""
    with pytest.raises(ZeroDivisionError):
        calls.count(lambda: 1 / 0)
    import sys  # noqa: PLC0415 - beside its use

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
def test_the_package_of_a_file(file: str, name: str) -> None:
    """By its folder: installed, of the standard library, ours; what has no file was generated."""
    assert calls.package(file) == name
