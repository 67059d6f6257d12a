"""The configuration of the page about nginx: taken from the page, started, and scored through."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import trustme

PAGE = Path(__file__).parents[2] / "docs/how-to/run-behind-nginx.md"
PREFIX = "/api/v1/service/flowers"
SCRIPT = """
def run(data, request_headers):
    return {"bytes": len(data), "id": request_headers.get("X-Request-Id", "")}
"""


@pytest.fixture(scope="module")
def nginx() -> str:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        # .ci/run says "optional" where it may not install what is missing.
        wanted = os.environ.get("CALOTYPE_TOOLCHAINS", "required" if os.environ.get("CI") else "")
        say = pytest.fail if wanted == "required" else pytest.skip
        say("nginx not found: apt-get install nginx-light")
    return program


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def tls(folder: Path) -> ssl.SSLContext:
    """Make the certificate that the configuration names, and trust its authority."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def port(nginx: str, folder: Path, tls: ssl.SSLContext) -> Generator[int]:
    """Run a service, and nginx with the page's configuration, in which only ports are changed."""
    (folder / "score.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "calotype", "serve", "--entry-script", "score.py"]
    command += ["--name", "flowers", "--path-prefix", PREFIX, "--port", "0", "-o", "json"]
    with (folder / "service.log").open("w") as log:
        service = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log)
    assert service.stdout is not None
    proxy: subprocess.Popen[bytes] | None = None
    reserved = _reserved_port()
    try:
        text = b"".join(iter(service.stdout.readline, b"}\n")) + b"}"
        behind = re.search(r":(\d+)", json.loads(text)["scoring_uri"])
        assert behind is not None
        in_front = reserved.getsockname()[1]
        configuration = re.findall(r"^```nginx\n(.*?)^```", PAGE.read_text(), re.M | re.S)[0]
        assert configuration.count("127.0.0.1:5001") == configuration.count(":8443") == 1
        ready = configuration.replace(":5001", f":{behind[1]}").replace(":8443", f":{in_front}")
        (folder / "nginx.conf").write_text(ready)
        # Started by root, its workers would be nobody, who may not enter a test's folder.
        further = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
        options = ["-p", str(folder), "-c", "nginx.conf", "-e", "nginx-error.log", "-g", further]
        proxy = subprocess.Popen([nginx, *options], cwd=folder)
        _wait_until_open(proxy, in_front, folder)
        yield in_front
    finally:
        for process in filter(None, (proxy, service)):
            process.terminate()
            process.wait(timeout=60)
        service.stdout.close()
        reserved.close()


def _reserved_port() -> socket.socket:
    """Return a socket with a port that nobody else is given; who names it can listen there."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def _wait_until_open(proxy: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline_s = time.monotonic() + 60
    while proxy.poll() is None and time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"nginx does not listen: {(folder / 'nginx-error.log').read_text()}")


def call(
    port: int, tls: ssl.SSLContext, method: str, path: str, body: bytes = b""
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPSConnection("localhost", port, context=tls, timeout=60)
    try:
        connection.request(method, PREFIX + path, body)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_a_request_is_scored_through_nginx(port: int, tls: ssl.SSLContext) -> None:
    response, body = call(port, tls, "POST", "/score", b"x" * 3_000_000)
    answer = json.loads(body)
    assert (response.status, answer["bytes"]) == (200, 3_000_000)
    assert len(answer["id"]) == 32
    assert response.headers["x-request-id"] == answer["id"]


def test_errors_of_the_service_come_through(port: int, tls: ssl.SSLContext) -> None:
    response, body = call(port, tls, "PATCH", "/score")
    assert (response.status, json.loads(body)["status_code"]) == (405, 405)


def test_the_description_names_the_address_in_front(port: int, tls: ssl.SSLContext) -> None:
    document = json.loads(call(port, tls, "GET", "/swagger.json")[1])
    assert document["basePath"] == PREFIX
    assert document["host"] == f"localhost:{port}"
    assert document["schemes"] == ["https"]


def test_metrics_stay_behind_nginx(port: int, tls: ssl.SSLContext) -> None:
    assert call(port, tls, "GET", "/metrics")[0].status == 404


def test_nginx_speaks_http_2(port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as line,
    ):
        assert line.selected_alpn_protocol() == "h2"
