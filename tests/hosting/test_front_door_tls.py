"""The front door with TLS, and as it gets, renews and loses its certificate."""

from __future__ import annotations

import ssl
from collections.abc import Generator
from pathlib import Path

import pytest
import trustme
from doors import Door, door, until

from calotype.hosting.routes import ServiceRoute

BASE = "/api/v1/service/app"


class Issued:
    """Files of certificates for `localhost`, each of an authority of its own."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "door.pem"
        self.key = folder / "door.key"

    def renew(self) -> ssl.SSLContext:
        """Write new ones; return what trusts them and nothing else."""
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(self.key)
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        self.certificate.write_bytes(chain)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context


@pytest.fixture
def made() -> Generator[Door]:
    with door() as found:
        found.small_replica("a")
        found.services["app"] = ServiceRoute({"default": found.route("a")})
        yield found


def accepts(made: Door, context: ssl.SSLContext) -> bool:
    try:
        return made.ask("GET", "/", context=context).status == 200
    except ssl.SSLError:
        return False


def test_tls_from_the_start_and_renewed(made: Door) -> None:
    files = Issued(made.folder)
    first = files.renew()
    made.tls = (str(files.certificate), str(files.key))
    made.write()
    made.start()
    told = made.ask("POST", f"{BASE}/x", b"x" * 300_000, context=first).json
    assert (told["scheme"], told["size"]) == ("https", 300_000)
    second = files.renew()
    until(lambda: accepts(made, second), "the new certificate")
    assert not accepts(made, first)


def test_certificate_comes_and_goes_at_the_same_address(made: Door) -> None:
    made.write()
    made.start()
    port = made.port
    assert made.ask("GET", f"{BASE}/x").json["scheme"] == "http"
    files = Issued(made.folder)
    context = files.renew()
    made.tls = (str(files.certificate), str(files.key))
    made.tell()
    assert made.ask("GET", f"{BASE}/x", context=context).json["scheme"] == "https"
    with pytest.raises(OSError):  # noqa: PT011 - reset or closed
        made.ask("GET", f"{BASE}/x")
    made.tls = ("", "")
    made.tell()
    assert made.ask("GET", f"{BASE}/x").json["scheme"] == "http"
    assert made.port == port


def test_certificate_that_cannot_be_used_changes_nothing(made: Door) -> None:
    made.write()
    made.start()
    made.tls = ("/nowhere.pem", "/nowhere.key")
    with pytest.raises(Exception, match="readable file"):
        made.tell()
    assert made.ask("GET", f"{BASE}/x").json["scheme"] == "http"
