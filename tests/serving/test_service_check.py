"""The check calls real services, good and bad ones, and names what is wrong with each."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from click.testing import CliRunner
from described_services import image_contract

from calotype import errors
from calotype.cli.main import program
from calotype.serving.check import check
from calotype.serving.http_client import HttpClient
from calotype.serving.openapi.builders import BaseAddress
from calotype.serving.openapi.contract import Schema, ServiceContract
from calotype.serving.openapi.documents import Documents
from calotype.serving.refusals import Refusal

KEY = "the-secret-key-of-this-test"
NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
CONTRACT = ServiceContract(
    input={
        "type": "object",
        "properties": {"data": NUMBERS},
        "required": ["data"],
        "example": {"data": [1.0, 2.0]},
    },
    output={**NUMBERS, "example": [3.0]},
    is_described=True,
)


@dataclass
class Behaviour:
    """How a service behaves; by default as it should."""

    contract: ServiceContract = CONTRACT
    reply: bytes = b"[3.0]"
    status: int = 200
    healthy: bool = True
    needs_key: bool = False
    prefix: str = ""
    change: Callable[[dict[str, Any]], Any] = field(default=lambda document: document)


@contextmanager
def serve(behaviour: Behaviour, certificate: trustme.LeafCert | None = None) -> Generator[str]:
    """Serve on loopback; give the scoring URI."""
    scheme = "https" if certificate else "http"
    documents = Documents(behaviour.contract, name="checked", base=BaseAddress(scheme, "localhost"))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path = parts.path.removeprefix(behaviour.prefix)
            if path == "/":
                healthy = behaviour.healthy
                self.answer(200 if healthy else 503, b"Healthy" if healthy else b"Starting")
            elif behaviour.needs_key and self.headers["Authorization"] != f"Bearer {KEY}":
                self.answer(401, b'{"message": "expected a key"}')
            else:
                version = parse_qs(parts.query)["version"][0]
                base = documents.base_of(scheme, self.headers["Host"].encode(), behaviour.prefix)
                try:
                    document = json.loads(documents.document(version, base))
                except Refusal as refusal:
                    self.answer(refusal.status, refusal.message.encode())
                else:
                    self.answer(200, json.dumps(behaviour.change(document)).encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if behaviour.needs_key and self.headers["Authorization"] != f"Bearer {KEY}":
                self.answer(401, b'{"message": "expected a key"}')
            else:
                self.answer(behaviour.status, behaviour.reply)

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{scheme}://localhost:{server.server_port}{behaviour.prefix}/score"
        finally:
            server.shutdown()
            thread.join(10)


def problems(behaviour: Behaviour, **options: Any) -> list[tuple[str, str, str, str]]:
    with serve(behaviour) as uri:
        return [row for row in check(uri, **options).rows if row[0] not in ("ok", "note")]


@pytest.mark.parametrize("prefix", ["", "/api/v1/service/checked"])
def test_good_service_has_only_good_rows(prefix: str) -> None:
    with serve(Behaviour(prefix=prefix)) as uri:
        report = check(uri)
    assert report.passed
    subjects = [subject for _, subject, _, _ in report.rows]
    assert subjects == ["health", "swagger 2", "swagger 3", "swagger 3.1", "example", "Power BI"]
    *others, power_bi = report.rows
    assert {severity for severity, _, _, _ in others} == {"ok"}
    assert power_bi[0] == "note"
    assert power_bi[2].startswith("only for Power BI: it cannot call this service, there is no")


def test_image_service_is_good_too() -> None:
    contract = image_contract()
    reply = json.dumps([{"Scored Labels": "a", "Scored Probabilities": {"a": 0.75}}]).encode()
    assert problems(Behaviour(contract=contract, reply=reply)) == []


def test_key_is_sent_and_never_shown() -> None:
    with serve(Behaviour(needs_key=True)) as uri:
        assert check(uri, credential=KEY).passed
        report = check(uri, credential="wrong-" + KEY)
    assert not report.passed
    assert any("401" in message for _, _, message, _ in report.rows)
    assert KEY not in repr(report)
    assert "401: expected a key" in {message for _, _, message, _ in report.rows}


def test_names_in_what_to_do_are_whole() -> None:
    with serve(Behaviour()) as uri:
        done = CliRunner().invoke(program, ["service", "check", "--uri", uri, "--power-bi"])
    assert isinstance(done.exception, errors.OperationFailed)
    for name in ("@input_schema('Inputs',", "StandardPythonParameterType({'WebServiceInput0':"):
        assert name in done.stdout


def edited(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda document: {
        **document,
        **{key: value for key, value in changes.items() if key in document},
    }


def without_score(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "paths": {"/": document["paths"]["/"]}}


def wrong_example(document: dict[str, Any]) -> dict[str, Any]:
    schema = {**CONTRACT.input, "example": {"data": ["one"]}}
    return {**document, "definitions": {**document.get("definitions", {}), "ServiceInput": schema}}


WRONG: dict[str, tuple[Behaviour, str, str]] = {
    "starting": (Behaviour(healthy=False), "GET / gave 503: Starting", "Wait until"),
    "scheme": (Behaviour(change=edited(schemes=["https"])), "expected the scheme http", "proxy"),
    "host": (Behaviour(change=edited(host="other:1")), "got other:1", "Host header"),
    "server": (
        Behaviour(change=edited(servers=[{"url": "http://other"}])),
        "got http://other",
        "prefix",
    ),
    "base path": (Behaviour(change=edited(basePath="/x")), "expected the base path /", "prefix"),
    "no operation": (Behaviour(change=without_score), "POST /score, got none", "swagger file"),
    "example": (Behaviour(change=wrong_example), "$.data[0]: expected number, got string", "Corr"),
    "no document": (Behaviour(change=lambda _: []), "no document: 200", "Is this the scoring URI"),
    "shapeless": (Behaviour(change=edited(paths=[])), "no OpenAPI document", "validator"),
    "failing": (
        Behaviour(status=500, reply=b'{"message": "An unexpected error"}'),
        "POST of the example gave 500",
        "log under the request id",
    ),
    "double encoded": (Behaviour(reply=b'"[3.0]"'), "JSON inside a JSON text", "json.dumps"),
    "NaN": (Behaviour(reply=b"[NaN]"), "NaN is no JSON", "replace NaN"),
    "not JSON": (Behaviour(reply=b"<html>"), "it is not JSON", "Return numbers"),
    "other shape": (Behaviour(reply=b'{"result": 1}'), "expected array, got object", "@output"),
    "generic": (Behaviour(contract=ServiceContract()), "has none to try", "@input_schema"),
    "not in 2": (
        Behaviour(contract=replace(CONTRACT, versions=("3", "3.1"))),
        "cannot express the samples",
        "one type",
    ),
}
WARNINGS = {"double encoded", "generic", "not in 2"}


@pytest.mark.parametrize("kind", WRONG)
def test_each_fault_is_named_with_its_remedy(kind: str) -> None:
    behaviour, message, fix = WRONG[kind]
    rows = problems(behaviour)
    named = [row for row in rows if message in row[2] and fix in row[3]]
    assert named, rows
    assert {row[0] for row in named} == {"warning" if kind in WARNINGS else "error"}


def test_power_bi_is_an_error_only_when_it_is_needed() -> None:
    assert problems(Behaviour()) == []
    (first, *_) = problems(Behaviour(), power_bi=True)
    assert first[:2] == ("error", "Power BI")


def test_nobody_there_is_one_finding() -> None:
    with serve(Behaviour()) as uri:
        pass
    (finding,) = check(uri).findings
    assert finding.subject == "connection"
    assert "service running" in finding.fix


def test_certificate_must_be_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with serve(Behaviour(), authority.issue_cert("localhost")) as uri:
        (refused,) = check(uri).findings
        assert "certificate" in refused.message
        assert check(uri, http=HttpClient(ca_file=tmp_path / "ca.pem")).passed


@pytest.mark.parametrize("uri", ["", "host/score", "ftp://host/score", "file:///etc/passwd"])
def test_only_web_addresses_are_checked(uri: str) -> None:
    with pytest.raises(errors.UnparsableValue, match="an address with http or https"):
        check(uri)
