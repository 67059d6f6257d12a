"""The front door with an entry script behind it: what callers of a service see."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import socket
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from doors import WAIT_S, Door, Reply, ask_over, check_error, door, until

from calotype.hosting.routes import ServiceRoute

SCRIPT = """
import os
import time

def init():
    pass

def run(raw_data):
    if raw_data == "sleep":
        time.sleep(0.3)
    while raw_data.startswith("wait for ") and not os.path.exists(raw_data[9:]):
        time.sleep(0.01)
    return {"length": len(raw_data), "data": raw_data[:50]}
"""
BASE = "/api/v1/service/first"
SCORE = BASE + "/score"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def served() -> Generator[Door]:
    """A door before one service with a key and one without."""
    with door() as made:
        origins = ("https://page.example",)
        patient = {"workers": 2, "max_request_wait_ms": 60_000}
        made.script_replica("a", SCRIPT, {"name": "first", "cors_origins": origins, **patient})
        keys = {"primary_key": KEY, "secondary_key": KEY[::-1]}
        made.script_replica("b", SCRIPT, {"name": "second", "auth": "key"}, **keys)
        made.services["first"] = ServiceRoute({"default": made.route("a")}, cors_origins=origins)
        made.services["second"] = ServiceRoute({"default": made.route("b")}, max_body_bytes=1000)
        made.services["empty"] = ServiceRoute({"default": made.route()})
        made.write()
        made.start()
        yield made
        assert made.process is not None
        made.process.terminate()
        assert made.process.wait(WAIT_S) == 0, made.log()
        assert '"level": "error"' not in made.log()


def test_score(served: Door) -> None:
    for path in (SCORE, SCORE + "/", SCORE + "?a=b"):
        reply = served.ask("POST", path, "abc")
        assert (reply.status, reply.json) == (200, {"length": 3, "data": "abc"})
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert "x-calotype-version" not in reply.headers


def test_request_id_is_the_callers_or_ours_everywhere(served: Door) -> None:
    given = served.ask("POST", SCORE, "x", {"x-request-id": "mine", "x-ms-client-request-id": "c"})
    assert given.headers["x-request-id"] == "mine"
    assert given.headers["x-ms-client-request-id"] == "c"
    made = served.ask("POST", SCORE, "x").headers
    assert len(made["x-request-id"]) == 36
    assert made["x-ms-request-id"] == made["x-request-id"]
    check_error(served.ask("POST", SCORE, "x", {"x-request-id": "i" * 101}), 431)


@pytest.mark.parametrize("path", [BASE, BASE + "/", "/"])
def test_health(served: Door, path: str) -> None:
    reply = served.ask("GET", path)
    assert (reply.status, reply.body) == (200, b"Healthy")
    head = served.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == "7"


@pytest.mark.parametrize(
    "path",
    ["/x", "/score", "/api/v1/service/none/score", "/api/v1/service/", BASE + "/x", BASE + "x/"],
)
def test_unknown_paths_and_services(served: Door, path: str) -> None:
    check_error(served.ask("POST", path, "x"), 404)


def test_service_without_replicas(served: Door) -> None:
    reply = served.ask("POST", "/api/v1/service/empty/score", "x")
    assert "'empty' has no replica" in check_error(reply, 503)
    assert reply.headers["retry-after"] == "1"


def test_swagger_names_the_door(served: Door) -> None:
    document = served.ask("GET", BASE + "/swagger.json", headers={"host": "models.example"}).json
    assert (document["schemes"], document["host"], document["basePath"]) == (
        ["http"],
        "models.example",
        BASE,
    )


def test_own_paths_take_only_their_methods(served: Door) -> None:
    reply = served.ask("POST", "/", "x")
    check_error(reply, 405)
    assert reply.headers["allow"] == "GET, HEAD"


def test_cors_preflight(served: Door) -> None:
    asked = {"origin": "https://page.example", "access-control-request-method": "POST"}
    reply = served.ask("OPTIONS", SCORE, headers=asked)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (
        200,
        "https://page.example",
    )
    answer = served.ask("POST", SCORE, "x", {"origin": "https://page.example"})
    assert answer.headers["access-control-allow-origin"] == "https://page.example"


def test_pages_may_read_what_the_door_refuses_for_their_service(served: Door) -> None:
    def allowed(path: str, origin: str) -> str | None:
        asked = {"origin": origin, "x-calotype-version": "absent"}
        reply = served.ask("POST", path, "x", asked)
        check_error(reply, 404)
        return reply.headers.get("access-control-allow-origin")

    assert allowed(SCORE, "https://page.example") == "https://page.example"
    assert allowed(SCORE, "https://evil.example") is None
    assert allowed("/api/v1/service/second/score", "https://page.example") is None
    assert allowed("/api/v1/service/none/score", "https://page.example") is None


def test_key_is_asked_for_by_the_service(served: Door) -> None:
    path = "/api/v1/service/second/score"
    check_error(served.ask("POST", path, "x"), 401)
    assert served.ask("POST", path, "x", {"authorization": f"Bearer {KEY}"}).status == 200


def test_guesses_are_counted_by_the_true_address(served: Door) -> None:
    """Whoever sends another `x-forwarded-for` with each guess is counted as one all the same."""
    path = "/api/v1/service/second/score"
    statuses = [
        served.ask(
            "POST", path, "x", {"authorization": "Bearer no", "x-forwarded-for": f"10.0.0.{index}"}
        ).status
        for index in range(22)
    ]
    assert statuses[-1] == 429


def test_metrics_of_a_replica_stay_inside(served: Door) -> None:
    for path in ("/metrics", "/%6detrics", "/metrics?a"):
        for headers in ({}, {"x-forwarded-for": "127.0.0.1"}):
            check_error(served.ask("GET", BASE + path, headers=headers), 404)


def test_metrics_of_the_door(served: Door) -> None:
    assert served.ask("POST", SCORE, "x").status == 200
    text = served.ask("GET", "/metrics").body.decode()
    of = 'service="first"'
    lines = [line for line in text.splitlines() if of in line and 'version="default"' in line]
    found = {line.split("{")[0] for line in lines}
    assert {
        "calotype_door_requests_total",
        "calotype_door_latency_seconds_bucket",
        "calotype_door_in_flight",
        "calotype_door_ready_replicas",
    } <= found
    check_error(served.ask("GET", "/metrics", headers={"x-forwarded-for": "127.0.0.1"}), 404)


def test_counts_tell_what_was_answered(served: Door) -> None:
    before = served.counts("first")
    for _ in range(3):
        served.ask("POST", SCORE, "x")
    after = served.counts("first")
    assert after["statuses"]["200"] == before["statuses"]["200"] + 3
    assert sum(after["latencies"]) == sum(before["latencies"]) + 3
    assert after["busy_s"] > before["busy_s"]
    assert after["in_flight"] == 0
    assert after["replicas"] == {"a": {"ready": True, "in_flight": 0, "why_not": ""}}


def test_body_of_megabytes_comes_whole(served: Door) -> None:
    reply = served.ask("POST", SCORE, b"x" * 30_000_000)
    assert reply.json["length"] == 30_000_000


def chunks(count: int) -> Generator[bytes]:
    for _ in range(count):
        yield b"x" * 400


def test_limits_on_bodies(served: Door) -> None:
    path = "/api/v1/service/second/score"
    with served.connect() as caller:
        caller.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n".encode())
        assert caller.recv(100).startswith(b"HTTP/1.1 413 ")
    with served.connect() as caller:
        caller.sendall(
            f"POST {SCORE} HTTP/1.1\r\nhost: x\r\ncontent-length: 104857601\r\n"
            "expect: 100-continue\r\n\r\n".encode()
        )
        assert caller.recv(100).startswith(b"HTTP/1.1 413 ")
    with closing(served.connection()) as connection:
        connection.request("POST", path, chunks(3), encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 413
        assert b"at most 1,000 bytes" in answer.read()  # of this service, not the door's
    headers = {"authorization": f"Bearer {KEY}"}
    with closing(served.connection()) as connection:
        connection.request("POST", path, chunks(2), headers, encode_chunked=True)
        assert connection.getresponse().status == 200


def test_caller_who_waits_for_continue(served: Door) -> None:
    with served.connect() as caller:
        caller.sendall(
            f"POST {SCORE} HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n"
            "expect: 100-continue\r\n\r\n".encode()
        )
        assert caller.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(b"abc")
        assert caller.recv(100).startswith(b"HTTP/1.1 200 ")


def test_slow_caller_holds_up_nobody(served: Door) -> None:
    with served.connect() as caller:
        head = f"POST {SCORE} HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n".encode()
        for byte in (head[:40], head[40:], b"a", b"b"):
            caller.sendall(byte)
            assert served.ask("POST", SCORE, "quick").status == 200
        assert served.counts("first")["in_flight"] == 0  # it waits for the rest
        caller.sendall(b"c")
        assert b'"data": "abc"' in read_answer(caller)


def read_answer(caller: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"}"):
        part = caller.recv(1 << 16)
        assert part, data
        data += part
    return data


def test_keep_alive_and_close(served: Door) -> None:
    with closing(served.connection()) as connection:
        for _ in range(3):
            assert ask_over(connection, "POST", SCORE, "x").status == 200
        port = connection.sock.getsockname()
        assert ask_over(connection, "GET", BASE + "/").status == 200
        assert connection.sock.getsockname() == port
    reply = served.ask("POST", SCORE, "x", {"connection": "close"})
    assert reply.headers["connection"] == "close"


def test_pipelined_requests_are_answered_in_their_order(served: Door) -> None:
    bodies = ["sleep", *(f"number {index}" for index in range(20))]
    requests = [
        f"POST {SCORE} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        for body in bodies
    ]
    requests.insert(5, f"GET {BASE}/ HTTP/1.1\r\nhost: x\r\n\r\n")
    requests.insert(9, "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n")
    with served.connect() as caller:
        caller.sendall("".join(requests).encode())
        answers = [read_one(caller) for _ in requests]
    assert answers.pop(9)[0] == 404
    assert answers.pop(5) == (200, b"Healthy")
    assert [json.loads(body)["data"] for _, body in answers] == bodies


def read_one(caller: socket.socket) -> tuple[int, bytes]:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += caller.recv(1)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    body = b""
    while len(body) < length:
        body += caller.recv(length - len(body))
    return int(head.split()[1]), body


def test_pipelined_refusals_do_not_confuse_what_follows(served: Door) -> None:
    refused = "POST /api/v1/service/empty/score HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx"
    last = refused.replace("host: x", "host: x\r\nconnection: close")
    with served.connect() as caller:
        caller.sendall(f"{refused}GET {BASE}/ HTTP/1.1\r\nhost: x\r\n\r\n{last}{refused}".encode())
        assert [read_one(caller)[0] for _ in range(3)] == [503, 200, 503]
        assert caller.recv(1) == b""


def test_many_callers_at_a_time(served: Door) -> None:
    def score(index: int) -> tuple[int, Any]:
        with closing(served.connection()) as connection:
            replies = [ask_over(connection, "POST", SCORE, f"{index} {n}") for n in range(20)]
        return index, [reply.json["data"] for reply in replies]

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for index, got in pool.map(score, range(32)):
            assert got == [f"{index} {n}" for n in range(20)]


def test_thousand_connections(served: Door) -> None:
    callers: list[socket.socket] = []
    request = f"GET {BASE}/ HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    try:
        for _ in range(1000):
            callers.append(served.connect())
            callers[-1].sendall(request)  # who says nothing for ten seconds is sent away
        for _ in range(2):
            assert {read_one(caller) for caller in callers} == {(200, b"Healthy")}
            for caller in callers:
                caller.sendall(request)
    finally:
        for caller in callers:
            caller.close()


def test_caller_who_leaves_is_not_counted_on(served: Door, tmp_path: Path) -> None:
    before = served.counts("first")
    body = f"wait for {tmp_path / 'gate'}"
    head = f"POST {SCORE} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with served.connect() as caller:
        caller.sendall((head + body).encode())
        until(lambda: served.counts("first")["in_flight"] == 1, "the request")
    until(lambda: served.counts("first")["in_flight"] == 0, "the end of the request")
    after = served.counts("first")["statuses"]
    assert after["499"] == before["statuses"].get("499", 0) + 1
    (tmp_path / "gate").touch()
    until(lambda: not served.counts("first")["replicas"]["a"]["in_flight"], "the replica's answer")


def test_half_a_request_is_forgotten_with_its_caller(served: Door) -> None:
    with served.connect() as caller:
        caller.sendall(f"POST {SCORE} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx".encode())
    assert served.ask("POST", SCORE, "x").status == 200


def test_latency_of_the_hop_is_small(served: Door) -> None:
    def median_s(connection: http.client.HTTPConnection) -> float:
        times: list[float] = []
        for _ in range(50):
            started = time.perf_counter()
            assert ask_over(connection, "GET", BASE + "/").status == 200
            times.append(time.perf_counter() - started)
        return sorted(times)[25]

    with closing(served.connection()) as connection:
        # 40 ms are what a delayed acknowledgement costs, each time; a busy machine has better ones.
        until(lambda: median_s(connection) < 0.04, "half of the answers come at once")


def test_answers_without_a_body(served: Door) -> None:
    reply: Reply = served.ask("HEAD", BASE + "/swagger.json")
    assert reply.status == 200
    assert int(reply.headers["content-length"]) > 100
    assert reply.body == b""


def test_http_1_0(served: Door) -> None:
    with served.connect() as caller:
        caller.sendall(f"GET {BASE}/ HTTP/1.0\r\n\r\n".encode())
        answer = http.client.HTTPResponse(caller)
        answer.begin()
        assert (answer.status, answer.read()) == (200, b"Healthy")
        assert answer.getheader("connection") == "close"
