from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from injector.certificate.pair import Pair, Unreadable, make_pair, read_pair
from injector.certificate.served import Served, UnusablePair, make_context

NOW = datetime(2026, 1, 1, 12, 30, 15, 999, tzinfo=UTC)
NAMES = ("gossamer-injector.gossamer.svc", "127.0.0.1", "::1")


def shake_hands(server: ssl.SSLContext, authority: str, name: str) -> dict[str, object]:
    """Client and server in memory; what the client learned of the server's certificate."""
    client = ssl.create_default_context(cadata=authority)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ours.getpeercert() or {}


def test_its_times_tolerate_an_hour_of_skew() -> None:
    pair = make_pair(NAMES, NOW, 86_400)
    assert pair.not_before == NOW.replace(microsecond=0) - timedelta(hours=1)
    assert pair.not_after == NOW.replace(microsecond=0) + timedelta(days=1)


def test_what_is_made_can_be_read() -> None:
    pair = make_pair(NAMES, NOW, 86_400)
    assert read_pair(pair.authority, pair.certificate, pair.key) == pair


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_trusts_the_authority_trusts_the_certificate(name: str) -> None:
    pair = make_pair(NAMES, datetime.now(UTC), 60)
    served = Served()
    served.load(pair.certificate, pair.key)
    assert shake_hands(served.context, pair.authority, name)["issuer"]


def test_another_name_or_authority_is_not_trusted() -> None:
    now = datetime.now(UTC)
    pair, other = make_pair(NAMES, now, 60), make_pair(NAMES, now, 60)
    served = Served()
    served.load(pair.certificate, pair.key)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(served.context, pair.authority, "example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(served.context, other.authority, NAMES[0])
    assert shake_hands(served.context, other.authority + pair.authority, NAMES[0])


def test_the_served_certificate_can_be_exchanged_and_a_bad_one_changes_nothing() -> None:
    now = datetime.now(UTC)
    first, second = make_pair(NAMES, now, 60), make_pair(NAMES, now, 60)
    served = Served()
    assert not served.is_loaded
    served.load(first.certificate, first.key)
    served.load(second.certificate, second.key)
    for certificate, key in ((first.certificate, second.key), ("none", "none"), (first.certificate, "")):
        with pytest.raises(UnusablePair, match="no certificate with its key"):
            served.load(certificate, key)
    assert shake_hands(served.context, second.authority, NAMES[0])


def test_old_protocols_are_not_spoken() -> None:
    assert make_context().minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (lambda a, b: ("none", a.certificate, a.key), "no certificate"),
        (lambda a, b: (a.authority, "", a.key), "no certificate"),
        (lambda a, b: (a.authority, a.certificate, "none"), "its key is none"),
        (lambda a, b: (a.authority, a.certificate, b.key), "not of its certificate"),
        (lambda a, b: (b.authority, a.certificate, a.key), "is not of its (authority|certificate)"),
        (lambda a, b: (a.authority, a.authority, a.key), "names nobody|not of its"),
    ],
)
def test_what_does_not_belong_together_is_unreadable(parts, words: str) -> None:  # type: ignore[no-untyped-def]
    first, second = make_pair(NAMES, NOW, 60), make_pair(NAMES, NOW, 60)
    with pytest.raises(Unreadable, match=words):
        read_pair(*parts(first, second))


def test_the_key_of_the_authority_is_nowhere() -> None:
    pair = make_pair(NAMES, NOW, 60)
    assert isinstance(pair, Pair)
    texts = (pair.authority, pair.certificate, pair.key)
    assert [text.count("PRIVATE KEY-----") for text in texts] == [0, 0, 2]
