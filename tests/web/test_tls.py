"""TLS of one connection, against a client of the same library, without a socket."""

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web.certificates import Authority

from exporter.web.tls import TLS, NotTLS


class Client:
    """The other side."""

    def __init__(self, authority: Authority) -> None:
        self._in, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=str(authority.ca))
        self.object = context.wrap_bio(self._in, self.out, server_hostname="127.0.0.1")
        with pytest.raises(ssl.SSLWantReadError):
            self.object.do_handshake()

    def received(self, data: bytes) -> None:
        self._in.write(data)

    def clear(self) -> bytes:
        found = b""
        try:
            while part := self.object.read():
                found += part
        except ssl.SSLWantReadError:
            pass
        return found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(authority.ca.with_name("server.pem"), authority.ca.with_name("server.key"))
    return found


def established(authority: Authority, context: ssl.SSLContext) -> tuple[TLS, Client]:
    tls, client = TLS(context), Client(authority)
    assert tls.received(client.out.read()) == b""
    client.received(tls.pending())
    client.object.do_handshake()
    assert tls.received(client.out.read()) == b""
    assert tls.established
    client.received(tls.pending())
    return tls, client


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_what_is_said_arrives(authority: Authority, context: ssl.SSLContext, size: int) -> None:
    tls, client = established(authority, context)
    said = b"x" * size
    client.object.write(said)
    assert tls.received(client.out.read()) == said
    pieces = list(tls.encrypted([b"head", said]))
    assert len(pieces) == 1 + (size + (64 << 10) - 1) // (64 << 10)
    for piece in pieces:
        client.received(piece)
    assert client.clear() == b"head" + said
    assert tls.certificate is None


def test_a_hello_byte_by_byte_begins_when_it_is_whole(authority: Authority, context: ssl.SSLContext) -> None:
    tls, client = TLS(context), Client(authority)
    hello = client.out.read()
    for byte in hello[:-1]:
        assert tls.received(bytes([byte])) == b""
        assert tls.pending() == b""
    assert tls.received(hello[-1:]) == b""
    client.received(tls.pending())
    client.object.do_handshake()
    client.object.write(b"with the end of the handshake")
    assert tls.received(client.out.read()) == b"with the end of the handshake"


def test_the_end_is_said_and_heard(authority: Authority, context: ssl.SSLContext) -> None:
    tls, client = established(authority, context)
    with pytest.raises(ssl.SSLWantReadError):
        client.object.unwrap()
    assert tls.received(client.out.read()) == b""
    assert tls.over
    client.received(tls.end())
    client.object.unwrap()
    other, another = established(authority, context)
    another.received(other.end())
    assert another.object.read() == b""


def test_before_the_hello_there_is_no_end_to_say(context: ssl.SSLContext) -> None:
    assert TLS(context).end() == b""


@given(st.lists(st.binary(min_size=1), min_size=1))
def test_any_bytes_are_waited_for_or_refused(context: ssl.SSLContext, pieces: list[bytes]) -> None:
    tls = TLS(context)
    try:
        assert b"".join(map(tls.received, pieces)) == b""
    except NotTLS:
        assert pieces[0][0] != 0x16
    except ssl.SSLError:
        # The alert that tells the client.
        assert tls.end()[:1] in (b"\x15", b"")
    assert not tls.established


@settings(max_examples=25)  # each with a handshake
@given(st.binary(min_size=1, max_size=200))
def test_broken_records_are_refused(authority: Authority, context: ssl.SSLContext, broken: bytes) -> None:
    tls, _ = established(authority, context)
    with pytest.raises(ssl.SSLError):
        # A record of data, of this length, encrypted with no key of theirs.
        tls.received(b"\x17\x03\x03" + len(broken).to_bytes(2) + broken)
