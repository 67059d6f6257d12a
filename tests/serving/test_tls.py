"""Real handshakes with certificates of an authority made for the test."""

from __future__ import annotations

import datetime
import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from guarded_server import GuardedServer, guarded_server, read_all

from calotype import errors
from calotype.serving.settings import ServiceSettings
from calotype.serving.tls import TlsCertificate, TlsSettings

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def write(tmp_path: Path, authority: trustme.CA) -> Callable[..., TlsSettings]:
    """Give a function that puts a new pair into the same two files."""
    settings = TlsSettings(tmp_path / "service.pem", tmp_path / "service.key")
    count = 0

    def write_pair(*names: str, days: int = 90) -> TlsSettings:
        nonlocal count
        count += 1
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days, hours=1)
        pair = authority.issue_cert(*(names or ("localhost",)), not_after=until)
        settings.certificate.write_bytes(b"".join(p.bytes() for p in pair.cert_chain_pems))
        settings.key.write_bytes(pair.private_key_pem.bytes())
        for path in (settings.certificate, settings.key):
            os.utime(path, ns=(0, count * 10**9))  # two writes may share a tick of the clock
        return settings

    return write_pair


def client(authority: trustme.CA, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def connect(server: GuardedServer, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def versions(
    tls: TlsCertificate, authority: trustme.CA, asked: tuple[ssl.TLSVersion, ...]
) -> list[str | None]:
    """Return which of the versions work, and make a request with each of them."""
    spoken: list[str | None] = []
    with guarded_server(app, ServiceSettings(), tls=tls.context) as server:
        for version in asked:
            try:
                connection = connect(server, client(authority, version), "localhost")
            except ssl.SSLError:
                spoken.append(None)
                continue
            with connection:
                connection.sendall(CLOSE)
                assert read_all(connection).endswith(b"https")
                spoken.append(connection.version())
    return spoken


def test_versions_1_2_and_1_3_are_spoken(
    write: Callable[..., TlsSettings], authority: trustme.CA
) -> None:
    asked = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert versions(TlsCertificate(write()), authority, asked) == ["TLSv1.2", "TLSv1.3"]


def test_exact_1_2_refuses_1_3(write: Callable[..., TlsSettings], authority: trustme.CA) -> None:
    pair = write()
    tls = TlsCertificate(TlsSettings(pair.certificate, pair.key, exact_1_2=True))
    asked = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert versions(tls, authority, asked) == ["TLSv1.2", None]


def test_version_1_1_is_refused(write: Callable[..., TlsSettings], authority: trustme.CA) -> None:
    context = client(authority)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL refuses on our side, before the server
    tls = TlsCertificate(write())
    with (
        guarded_server(app, ServiceSettings(), tls=tls.context) as server,
    ):
        with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version|EOF"):
            connect(server, context, "localhost")
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # with it alone the same client gets in
        connect(server, context, "localhost").close()


def test_new_files_are_taken_up_while_open_connections_live_on(
    write: Callable[..., TlsSettings], authority: trustme.CA
) -> None:
    tls = TlsCertificate(write("old.example"))
    trusting = client(authority)
    with ExitStack() as stack:
        server = stack.enter_context(guarded_server(app, ServiceSettings(), tls=tls.context))
        with connect(server, trusting, "old.example") as old:
            old.sendall(GET)
            assert old.recv(4096).endswith(b"https")
            assert not tls.reload_if_changed()

            write("new.example", days=200)
            assert tls.reload_if_changed()
            assert tls.names == ("new.example",)
            with connect(server, trusting, "new.example") as new:
                new.sendall(CLOSE)
                assert read_all(new).endswith(b"https")
            with pytest.raises(ssl.SSLCertVerificationError):
                connect(server, trusting, "old.example")
            old.sendall(CLOSE)
            assert read_all(old).endswith(b"https")


def test_files_that_do_not_fit_are_logged_once_and_the_old_pair_stays(
    write: Callable[..., TlsSettings], caplog: pytest.LogCaptureFixture
) -> None:
    pair = write("old.example")
    tls = TlsCertificate(pair)
    old_key = pair.key.read_bytes()
    write("new.example")
    new_key = pair.key.read_bytes()
    pair.key.write_bytes(old_key)
    with caplog.at_level(logging.ERROR):
        assert not tls.reload_if_changed()
        assert not tls.reload_if_changed()
    assert len(caplog.records) == 1
    assert "PRIVATE KEY" not in caplog.text
    assert tls.names == ("old.example",)
    pair.key.write_bytes(new_key)
    os.utime(pair.key, ns=(0, 10**12))
    assert tls.reload_if_changed()
    assert tls.names == ("new.example",)


def test_names_of_hosts_and_addresses_are_told(write: Callable[..., TlsSettings]) -> None:
    tls = TlsCertificate(write("*.example.org", "example.org", "127.0.0.1"))
    assert tls.names == ("*.example.org", "example.org", "127.0.0.1")


@pytest.mark.parametrize(("days", "warns"), [(29, True), (31, False)])
def test_a_warning_comes_a_month_before_the_end(
    write: Callable[..., TlsSettings], days: int, warns: bool
) -> None:
    tls = TlsCertificate(write(days=days))
    assert 86400 * days < tls.seconds_left <= 86400 * days + 3600
    assert (f"in {days} days" in tls.warning) is warns


def broken(settings: TlsSettings, how: str, authority: trustme.CA) -> None:
    if how == "missing":
        settings.key.unlink()
    elif how == "other key":
        settings.key.write_bytes(authority.issue_cert("other").private_key_pem.bytes())
    elif how == "no certificate":
        settings.certificate.write_text("nothing")
    elif how == "damaged certificate":
        text = settings.certificate.read_text()
        settings.certificate.write_text(text[:200] + text[300:])
    elif how == "no key":
        settings.key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    elif how == "password":
        key = serialization.load_pem_private_key(settings.key.read_bytes(), None)
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        settings.key.write_bytes(text)


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ("missing", errors.UnreadableFile, "No such file"),
        ("other key", errors.UnparsableFile, "the key of another one"),
        ("no certificate", errors.UnparsableFile, "BEGIN CERTIFICATE"),
        ("damaged certificate", errors.UnparsableFile, "none that can be read"),
        ("no key", errors.UnparsableFile, "none that can be read"),
        ("password", errors.UnparsableFile, "protected by a password"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    write: Callable[..., TlsSettings],
    authority: trustme.CA,
    how: str,
    error: type[errors.CalotypeError],
    says: str,
) -> None:
    settings = write()
    broken(settings, how, authority)
    with pytest.raises(error, match=says) as caught:
        TlsCertificate(settings)
    assert caught.value.where in (str(settings.key), str(settings.certificate))


def test_an_expired_certificate_is_refused(write: Callable[..., TlsSettings]) -> None:
    with pytest.raises(errors.UnparsableFile, match="expired on"):
        TlsCertificate(write(days=-1))
