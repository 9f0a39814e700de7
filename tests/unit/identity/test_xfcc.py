"""X-Forwarded-Client-Cert: from which proxies, and which caller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.callers import Caller
from gateway.domain.errors import Unauthenticated
from gateway.identity.xfcc import XfccAuthenticator, last_element_uris

PORTAL = "spiffe://cluster.local/ns/web/sa/portal"
OTHER = "spiffe://cluster.local/ns/web/sa/other"
CALLERS = {uri: Caller(name=uri[-6:].strip("/"), allow=(), principal="x") for uri in (PORTAL, OTHER)}
#: documented: Envoy's manual, HTTP header manipulation, x-forwarded-client-cert.
ISTIO = (
    "By=spiffe://cluster.local/ns/gateway/sa/gateway;"
    "Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;"
    f'Subject="CN=portal,O=\\"Web, Inc.\\";OU=x";URI={PORTAL}'
)


def test_the_last_element_identifies_the_caller() -> None:
    """A certificate's URI leads to its caller, quoted or not; of several elements the last one counts."""
    mesh = XfccAuthenticator(["127.0.0.1"], CALLERS)
    for header in (ISTIO, f'URI="{PORTAL}"', f"Hash=1;URI={OTHER},{ISTIO}", f"uri={PORTAL}"):
        caller = mesh.find_caller(header, "127.0.0.1")
        assert caller is not None
        assert caller.name == "portal"


@pytest.mark.parametrize(
    ("hops", "peer", "trusted"),
    [
        (["127.0.0.1"], "127.0.0.1", True),
        (["10.0.0.0/8"], "10.250.1.2", True),
        (["10.0.0.0/8", "::1"], "::1", True),
        (["unix"], "", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["127.0.0.1"], "::1", False),
        (["127.0.0.1"], "", False),
        (["unix"], "127.0.0.1", False),
        (["127.0.0.1"], "127.0.0.1:80", False),
        ([], "127.0.0.1", False),
    ],
)
def test_untrusted_clients_are_ignored(hops: list[str], peer: str, trusted: bool) -> None:
    """The header of a client that is not a trusted proxy is ignored."""
    assert (XfccAuthenticator(hops, CALLERS).find_caller(ISTIO, peer) is not None) == trusted


@pytest.mark.parametrize(
    "header",
    [
        "URI=spiffe://cluster.local/ns/web/sa/stranger",
        f"URI={PORTAL};URI={OTHER}",
        "Hash=1",
        f"URI={PORTAL},Hash=1",
        f"URI={PORTAL},",
        f",URI={PORTAL}",
        f'Subject="x;URI={PORTAL}',
        f'Subject="x";;URI={PORTAL}',
        f"Subject=x URI={PORTAL}",
        f'Subject=";URI={PORTAL}"',
        f"XURI={PORTAL}",
        f"URI={PORTAL}x",
        f"{'Hash=1,' * 4000}URI={PORTAL}",
        "=",
        '"',
    ],
)
def test_an_unknown_or_malformed_certificate_is_refused(header: str) -> None:
    """An unknown certificate, two callers in one, and a malformed or too long header are refused."""
    with pytest.raises(Unauthenticated):
        XfccAuthenticator(["127.0.0.1"], CALLERS).find_caller(header, "127.0.0.1")


def test_no_header() -> None:
    """Without the header there is no caller and no error."""
    assert XfccAuthenticator(["127.0.0.1"], CALLERS).find_caller("", "127.0.0.1") is None


_VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["By", "Hash", "Subject", "URI", "DNS"]), _VALUE), min_size=1), min_size=1
    )
)
def test_what_envoy_writes_is_read(elements: list[list[tuple[str, str]]]) -> None:
    """Elements, keys and values of any kind, quoted as Envoy quotes them: the last element's URIs come out."""
    header = ",".join(";".join(f"{key}={_quoted(value)}" for key, value in pairs) for pairs in elements)
    expected = tuple(_escaped(value) for key, value in elements[-1] if key == "URI")
    assert last_element_uris(header) == expected


@given(st.text(max_size=60))
def test_any_text(header: str) -> None:
    """Parsing any text ends, and the result is part of the text."""
    assert all(uri in header for uri in last_element_uris(header))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"') if _needs_quotes(value) else value


def _quoted(value: str) -> str:
    return f'"{_escaped(value)}"' if _needs_quotes(value) else value


def _needs_quotes(value: str) -> bool:
    return any(char in value for char in ',;="\\')


@pytest.mark.parametrize(
    "header",
    [
        "A" * 16_384,
        "A=" * 8_192,
        "A=;" * 5_461,
        "A=," * 5_461,
        'A="' + "\\" * 16_381,
        'A="' + "\\a" * 8_190,
        'A="' + "a" * 16_381,
        'A="";' * 3_276 + '"',
        ("A=" + "a" * 60 + ";") * 256 + "!",
    ],
)
def test_malformed_headers_of_the_maximum_length_are_refused(header: str) -> None:
    """Neither repetition nor an unclosed quote makes the patterns backtrack over the header more than once.

    A pattern with exponential or cubic backtracking does not end within the time limit of the test.
    """
    assert len(header) <= 16_384
    for _ in range(20):
        assert last_element_uris(header) == ()
