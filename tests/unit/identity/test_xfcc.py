"""X-Forwarded-Client-Cert: whose word counts, and for whom."""

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


def test_the_nearest_hops_word_counts() -> None:
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
def test_an_untrusted_hop_is_not_heard(hops: list[str], peer: str, trusted: bool) -> None:
    """Whoever is not on the list of hops may say what he likes: it is as if he had said nothing."""
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
def test_a_trusted_hop_that_names_nobody_we_know(header: str) -> None:
    """A stranger's certificate, two callers in one, a malformed or endless header: refused, nobody is guessed."""
    with pytest.raises(Unauthenticated):
        XfccAuthenticator(["127.0.0.1"], CALLERS).find_caller(header, "127.0.0.1")


def test_nothing_told() -> None:
    """Without the header there is no proof, and no mistake either."""
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
    told = tuple(_escaped(value) for key, value in elements[-1] if key == "URI")
    assert last_element_uris(header) == told


@given(st.text(max_size=60))
def test_any_text_is_survived(header: str) -> None:
    """Whatever is sent, the reading ends, and what it finds stood in the header."""
    assert all(uri in header for uri in last_element_uris(header))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"') if _needs_quotes(value) else value


def _quoted(value: str) -> str:
    return f'"{_escaped(value)}"' if _needs_quotes(value) else value


def _needs_quotes(value: str) -> bool:
    return any(each in value for each in ',;="\\')


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
