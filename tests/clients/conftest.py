"""The diabetes service, with and without TLS, for all clients of one test run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from diabetes import RunningService, save_model, serving


@pytest.fixture(scope="session")
def diabetes_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Ridge(alpha=0.4), trained on four fifths of the data."""
    folder = tmp_path_factory.mktemp("diabetes") / "model"
    save_model(folder)
    return folder


@pytest.fixture(scope="session")
def diabetes_service(diabetes_model: Path) -> Iterator[RunningService]:
    """The service over HTTP; it asks for a key."""
    with serving(diabetes_model, diabetes_model.parent / "http.log") as uri:
        yield RunningService(uri)


@pytest.fixture(scope="session")
def secure_diabetes_service(diabetes_model: Path) -> Iterator[RunningService]:
    """The service over HTTPS, with a certificate of an authority of this run."""
    import trustme

    folder = diabetes_model.parent
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(folder / "chain.pem", append=True)
    options = ("--tls-cert", str(folder / "chain.pem"), "--tls-key", str(folder / "key.pem"))
    with serving(diabetes_model, folder / "https.log", *options) as uri:
        assert uri.startswith("https://")
        yield RunningService(uri, authority=str(folder / "authority.pem"))


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the sources of clients and what is made of them."""
    return tmp_path_factory.mktemp("sources")
