"""`calotype serve` over its sockets: what every kind of service answers."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import small_networks
from PIL import Image
from running import Program, ask_over, check_error, command, environment, serving, until

SCRIPT = """
import ctypes, json, os, time

def init():
    print("model in", os.environ["AZUREML_MODEL_DIR"])

def run(raw_data):
    order = json.loads(raw_data or "null")
    if "crash" in order:
        ctypes.string_at(0)
    if "raise" in order:
        raise ValueError(f"{order['raise']} in {__file__}")
    time.sleep(order.get("sleep", 0))
    while "spin" in order:
        pass
    return {"pid": os.getpid(), "order": order}
"""
PREFIX = "/api/v1/service/try-it"
KINDS = ("image", "script", "plain")
# Requests wait for a worker that is being restarted, however long that takes.
LIMITS = ("--max-body-bytes", 200_000, "--max-request-wait-ms", 60_000)


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 90)).save(buffer, "JPEG")
    return buffer.getvalue()


def service_arguments(folder: Path, kind: str) -> list[object]:
    if kind == "image":
        small_networks.save_model(folder / "model")
        return ["--model", folder / "model"]
    (folder / "score.py").write_text(SCRIPT)
    (folder / "data").mkdir()
    script: list[object] = ["--entry-script", folder / "score.py", "--model-dir", folder / "data"]
    return script if kind == "script" else [*script, "--isolation", "none", "--workers", 2]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Program]]:
    """One service of each kind, for all tests here."""
    with ExitStack() as stack:
        made: dict[str, Program] = {}
        for kind in KINDS:
            folder = tmp_path_factory.mktemp(kind)
            options = ("--name", "try-it", "--path-prefix", PREFIX, *LIMITS)
            arguments = (*service_arguments(folder, kind), *options)
            made[kind] = stack.enter_context(serving(folder, *arguments))
        yield made


@pytest.fixture(params=KINDS)
def service(request: pytest.FixtureRequest, services: dict[str, Program]) -> Program:
    return services[request.param]


@pytest.fixture(params=("script", "plain"))
def script(request: pytest.FixtureRequest, services: dict[str, Program]) -> Program:
    return services[request.param]


@pytest.fixture
def image(services: dict[str, Program]) -> Program:
    return services["image"]


def test_ready_service_says_where_it_is(service: Program) -> None:
    facts = service.facts
    base = f"http://127.0.0.1:{service.port}{PREFIX}"
    assert facts["scoring_uri"] == f"{base}/score"
    assert facts["swagger_uri"] == f"{base}/swagger.json"
    assert facts["pid"] == service.process.pid
    assert "primary_key" not in facts


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_every_path_answers_with_and_without_the_prefix(service: Program, prefix: str) -> None:
    assert service.ask("GET", f"{prefix}/").body == b"Healthy"
    assert service.ask("GET", prefix or "/").body == b"Healthy"
    for path in ("/score", "/score/"):
        reply = service.ask("POST", prefix + path, "{}", {"Content-Type": "application/json"})
        assert reply.status in (200, 400)  # an image service misses its images
        assert "location" not in reply.headers


@pytest.mark.parametrize("version", [None, "2", "3", "3.1"])
def test_documents_name_the_caller_s_host_and_path(service: Program, version: str | None) -> None:
    query = f"?version={version}" if version else ""
    for prefix in ("", PREFIX):
        reply = service.ask(
            "GET", f"{prefix}/swagger.json{query}", headers={"Host": "scores.example.org:8080"}
        )
        document = reply.json
        assert reply.status == 200
        if version in (None, "2"):
            assert document["swagger"] == "2.0"
            assert document["host"] == "scores.example.org:8080"
            assert document.get("basePath", "/").rstrip("/") == prefix
            assert document["schemes"] == ["http"]
            assert "securityDefinitions" not in document
        else:
            assert document["openapi"].startswith(version)
            assert document["servers"][0]["url"] == f"http://scores.example.org:8080{prefix}"
        assert document["info"]["title"] == "try-it"
    check_error(service.ask("GET", "/swagger.json?version=4"), 404)


def test_scripts_answer_with_their_result(script: Program) -> None:
    reply = script.score({"a": [1, "é"]})
    assert reply.status == 200
    assert reply.json["order"] == {"a": [1, "é"]}
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert float(reply.headers["x-ms-run-fn-exec-ms"]) >= 0
    assert reply.json["pid"] != script.process.pid
    assert script.ask("GET", "/score?a=1").json["order"] == {"a": 1}


def test_images_are_scored(image: Program) -> None:
    reply = image.ask("POST", "/score?top=1", picture(), {"Content-Type": "image/jpeg"})
    assert reply.status == 200
    assert list(reply.json["Scored Probabilities"]) == [reply.json["Scored Labels"]]
    message = check_error(image.ask("POST", "/score", b"no image", {"Content-Type": "image/png"}),
                          422)  # fmt: skip
    assert message


def test_the_client_of_an_image_service_sends_a_file(image: Program, tmp_path: Path) -> None:
    client, file = tmp_path / "client.py", tmp_path / "a.jpg"
    file.write_bytes(picture())
    asked = ("service", "client", "--uri", image.facts["scoring_uri"], "--language", "python")
    client.write_text(json.loads(_output(command(*asked)))["source"])
    sent = image.ask("POST", "/score", picture(), {"Content-Type": "image/jpeg"})
    assert _output([sys.executable, str(client), str(file)]) == sent.body.decode() + "\n"


def _output(arguments: list[str]) -> str:
    done = subprocess.run(
        arguments, env=environment(""), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ids_come_back(service: Program) -> None:
    sent = {"x-request-id": "r-1", "x-ms-client-request-id": "c-1", "TraceId": "t-1"}
    for path in ("/", "/nowhere", "/score"):
        headers = service.ask("GET", path, headers=sent).headers
        assert headers["x-request-id"] == "r-1"
        assert headers["x-ms-request-id"] == headers["x-ms-client-request-id"] == "c-1"
        assert headers["traceid"] == "t-1"
        assert headers["x-ms-server-version"].startswith("calotype/")
    first, second = (service.ask("GET", "/").headers["x-request-id"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("name", ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"])
def test_ids_that_are_too_long_are_refused(service: Program, name: str) -> None:
    reply = service.ask("GET", "/", headers={name: "i" * 101})
    assert "must not exceed 100 characters" in check_error(reply, 431)
    assert "i" * 101 not in reply.headers.values()
    assert service.ask("GET", "/", headers={name: "i" * 100}).status == 200


def test_wrong_requests_are_told_apart(service: Program) -> None:
    check_error(service.ask("GET", "/nowhere"), 404)
    check_error(service.ask("GET", "/score/more"), 404)
    check_error(service.ask("GET", f"{PREFIX}{PREFIX}/score"), 404)
    refused = service.ask("DELETE", "/score")
    check_error(refused, 405)
    assert "POST" in refused.headers["allow"]
    refused = service.ask("POST", "/", "{}")
    check_error(refused, 405)
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS"
    check_error(service.ask("POST", "/score", b"x" * 200_001), 413)
    head = service.ask("HEAD", "/")
    assert (head.status, head.body) == (200, b"")


def test_types_that_a_service_does_not_take_are_refused(image: Program) -> None:
    check_error(image.ask("POST", "/score", "a,b", {"Content-Type": "text/csv"}), 415)
    check_error(image.ask("GET", "/score"), 405)
    check_error(image.ask("POST", "/score", "{", {"Content-Type": "application/json"}), 400)


def test_many_requests_share_a_connection(service: Program) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
        local: set[Any] = set()
        for path in ("/", "/nowhere", "/score", "/swagger.json", "/"):
            ask_over(connection, "GET", path)
            local.add(connection.sock.getsockname())
        assert len(local) == 1


def test_a_script_that_raises_tells_the_log_and_not_the_caller(script: Program) -> None:
    reply = script.score({"raise": "a-secret-detail"}, **{"x-request-id": "raising"})
    message = check_error(reply, 500)
    assert "a-secret-detail" not in message
    assert reply.headers["x-ms-run-function-failed"] == "True"
    until(lambda: "ValueError: a-secret-detail" in script.log_text(), "the trace")


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_a_script_that_takes_too_long_is_stopped(tmp_path: Path, isolation: str) -> None:
    # A service of its own: under such a limit a busy machine would stop any other test's request.
    (tmp_path / "score.py").write_text(SCRIPT)
    options = ("--isolation", isolation, "--scoring-timeout-ms", 1000, "--model-dir", tmp_path)
    with serving(tmp_path, "--entry-script", tmp_path / "score.py", *options) as program:

        def is_told(order: object) -> bool:
            try:
                message = check_error(program.score(order), 504)
            except (ConnectionError, http.client.HTTPException):
                # A process that is paused beyond the limit is ended as one that hangs.
                assert isolation == "none"
                return False
            return "1000 ms" in message

        until(lambda: is_told({"sleep": 60}), "the end of one that sleeps")
        until(lambda: is_told({"spin": 1}), "the end of one that computes")
        until(lambda: program.score({}).status == 200, "an answer in time")


def test_a_crash_costs_the_request_it_happened_in(services: dict[str, Program]) -> None:
    script = services["script"]
    check_error(script.score({"crash": 1}), 502)
    until(lambda: script.ask("GET", "/").status == 200, "another worker")
    assert script.score({"again": 1}).status == 200
    until(lambda: script.events("worker died"), "the news of the death")
    (death,) = script.events("worker died")
    assert death["signal"] == "SIGSEGV"


def test_a_crash_without_isolation_costs_one_of_the_workers(services: dict[str, Program]) -> None:
    plain = services["plain"]
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        plain.score({"crash": 1})
    assert plain.score({"again": 1}).status == 200
    until(lambda: plain.events("worker started"), "another worker")
    # Both take connections again.
    pids = set[int]()
    until(lambda: pids.add(plain.score({}).json["pid"]) or len(pids) == 2, "answers of both")


def counters(service: Program) -> dict[str, float]:
    """Return the metrics by name and labels, without that of the service."""
    text = service.ask("GET", "/metrics").body.decode().replace('service="try-it"', "")
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name.replace("{,", "{").replace(",}", "}"): float(value) for name, value in pairs}


def test_metrics_count_requests_to_score_apart_from_others(service: Program) -> None:
    before = counters(service)
    for _ in range(3):
        service.ask("GET", "/nowhere")
        service.ask("GET", f"{PREFIX}/")
        service.ask("DELETE", f"{PREFIX}/score")
    # An answer is counted after it has been sent, maybe by another process.
    wanted = {
        'calotype_requests_total{status="405"}': 3,
        "calotype_request_seconds_count{}": 3,
        'calotype_other_requests_total{path="other"}': 3,
        'calotype_other_requests_total{path="health"}': 3,
    }
    until(
        lambda: all(
            counters(service).get(name, 0) == before.get(name, 0) + more
            for name, more in wanted.items()
        ),
        "the counters",
    )
    after = counters(service)
    assert 'calotype_requests_total{status="404"}' not in after
    assert after['calotype_other_requests_total{path="metrics"}'] > 0


def test_what_ends_before_the_app_is_counted_by_all_processes(service: Program) -> None:
    name = 'calotype_refused_connections_total{status="400"}'
    before = counters(service).get(name, 0)
    for _ in range(8):
        with service.connect() as line:
            line.sendall(b"no request\r\n\r\n")
            assert line.recv(100).startswith(b"HTTP/1.1 400")
    until(lambda: counters(service)[name] == before + 8, "the refusals of all processes")
    assert counters(service)['calotype_closed_connections_total{reason="silent"}'] == 0


@pytest.mark.parametrize(("kind", "workers"), [("script", 1), ("plain", 2)])
def test_workers_and_restarts_are_counted(
    services: dict[str, Program], kind: str, workers: int
) -> None:
    service = services[kind]
    before = counters(service)["calotype_restarts_total{}"]
    os.kill(service.score({}).json["pid"], signal.SIGKILL)
    until(lambda: counters(service).get("calotype_restarts_total{}") == before + 1, "the restart")
    until(lambda: counters(service).get("calotype_ready_workers{}") == workers, "all workers again")
    assert "# TYPE calotype_restarts_total counter" in service.ask("GET", "/metrics").body.decode()


def test_requests_are_logged_with_their_stages(service: Program) -> None:
    service.ask("POST", "/score", picture(), {"Content-Type": "image/jpeg", "x-request-id": "log1"})
    service.ask("GET", "/swagger.json?secret=in-query", headers={"x-request-id": "log2"})

    def logged(request_id: str) -> list[dict[str, Any]]:
        return [line for line in service.events("request") if line["request_id"] == request_id]

    until(lambda: logged("log1") and logged("log2"), "the lines")
    (line,) = logged("log1")
    assert line["bytes_in"] == len(picture())
    assert line["method"] == "POST"
    assert line["client"] == "127.0.0.1"
    assert line["total_ms"] >= line["read_ms"] >= 0
    assert "in-query" not in service.log_text()


def test_too_many_at_a_time_are_told_to_come_back(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(
        "import os, time\n"
        "def run(raw_data):\n"
        f"    open({str(tmp_path / 'begun')!r}, 'w').close()\n"
        f"    while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)\n"
    )
    limits = ("--max-queued-requests", 1, "--max-request-wait-ms", 150)
    with serving(tmp_path, "--entry-script", tmp_path / "score.py", *limits) as program:
        replies = list[Any]()
        first, *others = [
            threading.Thread(target=lambda: replies.append(program.score(1))) for _ in range(5)
        ]
        first.start()
        until((tmp_path / "begun").exists, "the first request")
        for thread in others:
            thread.start()
        for thread in others:
            thread.join()
        (tmp_path / "go").touch()
        first.join()
        statuses = sorted(reply.status for reply in replies)
        assert statuses == [200, 503, 503, 503, 503]
        for reply in replies:
            if reply.status == 503:
                message = check_error(reply, 503)
                assert "max_queued_requests" in message or "max_request_wait_ms" in message
                assert int(reply.headers["retry-after"]) >= 1


def test_chunked_bodies_and_expectations_are_understood(service: Program) -> None:
    with service.connect() as line:
        line.sendall(
            b"POST /score HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert line.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        line.sendall(b'a\r\n{"data":[]\r\n1\r\n}\r\n0\r\n\r\n')
        answer = http.client.HTTPResponse(line, method="POST")
        answer.begin()
        assert answer.status == 200
        answer.read()


def test_folders_of_any_name_and_a_plain_locale_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "Пример ü 'x' $y"
    folder.mkdir()
    (folder / "score.py").write_text(
        "from . import helper\nimport os\n"
        "def run(raw_data):\n    print('schön', raw_data)\n"
        "    return [helper.WORD, open('Wörter.txt', encoding='utf-8').read()]\n",
        encoding="utf-8",
    )
    (folder / "helper.py").write_text("WORD = 'größer'\n", encoding="utf-8")
    (folder / "Wörter.txt").write_text("viele", encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    # Root may write everywhere, unless it gives that up.
    prefix = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    try:
        with serving(
            tmp_path,
            "--entry-script",
            folder / "score.py",
            variables={"LC_ALL": "C", "LANG": "C"},
            prefix=prefix,
        ) as program:
            assert program.score("ß").json == ["größer", "viele"]
            until(lambda: "sch\\u00f6n" in program.log_text(), "what it printed")
            assert program.ask("GET", "/swagger.json").status == 200
        assert sorted(path.name for path in folder.iterdir()) == [
            "Wörter.txt", "helper.py", "score.py",
        ]  # fmt: skip
    finally:
        folder.chmod(0o755)


def test_log_lines_are_json(services: dict[str, Program]) -> None:
    for program in services.values():
        for line in program.log_lines():
            assert json.loads(line)["level"] in {"info", "warning", "error"}


def test_all_cores_for_a_lone_request_can_be_turned_off(
    services: dict[str, Program], tmp_path: Path
) -> None:
    def threads(program: Program) -> int:
        return len(os.listdir(f"/proc/{program.process.pid}/task"))

    image = services["image"]
    options = ("--threads", 2, "--precision", "fp32")
    small_networks.save_model(tmp_path / "model")
    counts = list[int]()
    for option in ("--all-cores-when-alone", "--one-core-when-alone"):
        with serving(tmp_path, "--model", tmp_path / "model", *options, option) as program:
            replies = [
                one.ask("POST", "/score", picture(), {"Content-Type": "image/jpeg"})
                for one in (program, image)
            ]
            assert replies[0].body == replies[1].body
            counts.append(threads(program))
    assert counts[0] > counts[1]


def own_address() -> str:
    """Return an address of this machine that is not its loopback; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return probe.getsockname()[0]


def test_metrics_are_for_this_machine_alone(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def run(raw_data): return raw_data")
    with serving(tmp_path, "--entry-script", tmp_path / "score.py", "--host", "0.0.0.0") as program:  # noqa: S104
        assert program.ask("GET", "/metrics").status == 200
        for name in ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via"):
            check_error(program.ask("GET", "/metrics", headers={name: "by a proxy"}), 404)
        address = own_address()
        with closing(http.client.HTTPConnection(address, program.port, timeout=20)) as connection:
            check_error(ask_over(connection, "GET", "/metrics"), 404)
            assert ask_over(connection, "POST", "/score", "x").json == "x"
            document = ask_over(connection, "GET", "/swagger.json").json
            assert document["host"] == f"{address}:{program.port}"
