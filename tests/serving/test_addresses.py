"""The addresses that a service prints."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from calotype.serving.deployment import addresses
from calotype.serving.front import FrontSettings
from calotype.serving.settings import ServiceSettings


def printed(folder: Path, host: str, *names: str) -> str:
    """Return the scoring URI of a service with a certificate for these names."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    issued = trustme.CA().issue_cert(*names)
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    settings = ServiceSettings(host=host, port=8443)
    front = FrontSettings(settings, certificate=str(certificate), certificate_key=str(key))
    return addresses(front).scoring_uri


@pytest.mark.parametrize(
    ("host", "names", "expected"),
    [
        ("127.0.0.1", ["scores.example.org"], "scores.example.org"),
        ("0.0.0.0", ["*.example.org", "scores.example.org"], "scores.example.org"),  # noqa: S104
        ("::", ["scores.example.org"], "scores.example.org"),
        ("127.0.0.1", ["scores.example.org", "127.0.0.1"], "127.0.0.1"),
        ("localhost", ["scores.example.org", "localhost"], "localhost"),
        ("127.0.0.1", ["*.example.org"], "127.0.0.1"),
        ("0.0.0.0", ["10.1.2.3"], "127.0.0.1"),  # noqa: S104
        ("::1", ["*.example.org"], "[::1]"),
        ("10.1.2.3", ["scores.example.org"], "10.1.2.3"),
    ],
)
def test_the_uri_names_what_the_certificate_is_for(
    tmp_path: Path, host: str, names: list[str], expected: str
) -> None:
    assert printed(tmp_path, host, *names) == f"https://{expected}:8443/score"


def test_without_a_certificate_the_address_is_its_own() -> None:
    front = FrontSettings(ServiceSettings(host="0.0.0.0"))  # noqa: S104
    assert addresses(front).scoring_uri == "http://127.0.0.1:5001/score"
