"""What hostile, broken and unusual clients get, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from http import HTTPStatus
from typing import Any

import pytest
from guarded_server import GuardedServer, guarded_server, read_all, wait_until

from calotype.serving.metrics import Meter
from calotype.serving.settings import ServiceSettings

Serve = Callable[..., GuardedServer]


class Echo:
    """An app that answers with method, path and body, and some other things on request."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gone: list[str] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.gate = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        path = scope["path"]
        self.seen.append(path)
        if path == "/held":
            await self.gate.wait()
        connection = scope["extensions"]["calotype.connection"]
        body, more = b"", path != "/unread"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                assert connection.disconnected
                self.gone.append(path)
                return
            body, more = body + message["body"], message["more_body"]
        self.headers = scope["headers"]
        if path == "/gone":
            assert (await receive())["type"] == "http.disconnect"
            assert connection.disconnected
            self.gone.append(path)
            return
        text = b"%b %b %d" % (scope["method"].encode(), path.encode(), len(body))
        if path == "/large":
            text = bytes(50 << 20)
        if path == "/parts":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await send({"type": "http.response.body", "body": b"two"})
            return
        headers = {
            "/line-break": [(b"x-a", b"b\r\nset-cookie: c")],
            "/bare-cr": [(b"x-a", b"b\rc")],
            "/bad-name": [(b"x a", b"b")],
            "/wrong-length": [(b"content-length", b"3")],
            "/close": [(b"connection", b"close")],
        }.get(path, [])
        if path == "/raises":
            raise ValueError("the secret of the app")
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    def open_gate(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.gate.set)


@pytest.fixture
def app() -> Echo:
    return Echo()


class Relay:
    """Hands requests to the app of the test that runs: a server takes half a second to stop."""

    app: Echo

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def shared_relay() -> Relay:
    return Relay()


@pytest.fixture(scope="module")
def shared_server(shared_relay: Relay) -> Generator[GuardedServer]:
    with guarded_server(shared_relay, ServiceSettings()) as server:
        yield server


@pytest.fixture
def serve(app: Echo, shared_relay: Relay, shared_server: GuardedServer) -> Generator[Serve]:
    """Give a function that serves the app; under the settings given, or under the usual ones."""
    with ExitStack() as stack:

        def start(**settings: Any) -> GuardedServer:
            if settings:
                return stack.enter_context(guarded_server(app, ServiceSettings(**settings)))
            shared_relay.app = app
            shared_server.guard.meter = Meter()
            return shared_server

        yield start


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


CLOSE = "Connection: close"


def assert_refused(answer: bytes, status: int) -> dict[str, Any]:
    """Check the one refusal in `answer`, to its last byte, and return its content."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    assert "content-type: application/json" in lines
    assert "connection: close" in lines
    assert f"content-length: {len(body)}" in lines
    content = json.loads(body)
    assert content["status_code"] == status
    assert content["message"]
    assert f"x-request-id: {content['request_id']}" in lines
    return content


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_request_is_answered_on_both_loops(app: Echo, loop: str) -> None:
    with guarded_server(app, ServiceSettings(), loop=loop) as server:
        answer = server.exchange(post("/score", b"abc", CLOSE))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert body == b"POST /score 3"
    assert b"content-length: 13" in head
    assert b"connection: close" in head


def test_a_connection_is_kept_for_further_requests(serve: Serve) -> None:
    with serve().connect() as connection:
        for body in (b"a", b"bb", b"ccc"):
            connection.sendall(post("/score", body))
            received = b""
            while not received.endswith(b"POST /score %d" % len(body)):
                received += connection.recv(4096)
        connection.sendall(get("/", CLOSE))
        assert read_all(connection).endswith(b"GET / 0")


def test_pipelined_requests_are_answered_in_order(serve: Serve, app: Echo) -> None:
    server = serve()
    with server.connect() as connection:
        connection.sendall(get("/held") + post("/b", b"12") + get("/c") + get("/d", CLOSE))
        wait_until(lambda: app.seen == ["/held"], "the first request")
        app.open_gate()
        answer = read_all(connection)
    places = [answer.index(text) for text in (b"GET /held 0", b"POST /b 2", b"GET /c", b"GET /d")]
    assert places == sorted(places)


def test_a_bad_request_waits_for_the_answers_before_it(serve: Serve, app: Echo) -> None:
    server = serve()
    with server.connect() as connection:
        connection.sendall(get("/held") + get("/b") + b"nonsense\r\n\r\n")
        wait_until(lambda: server.guard.meter.refused[400] == 1, "the refusal")
        wait_until(lambda: app.seen == ["/held"], "the first request")
        app.open_gate()
        answers, _, refusal = read_all(connection).partition(b"HTTP/1.1 400")
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.index(b"GET /held 0") < answers.index(b"GET /b 0")
    assert_refused(b"HTTP/1.1 400" + refusal, 400)


def test_too_many_pipelined_requests_get_503(serve: Serve, app: Echo) -> None:
    server = serve()
    with server.connect() as connection:
        connection.sendall(get("/held") + get("/") * 200)
        wait_until(lambda: server.guard.meter.refused[503] == 1, "the refusal")
        wait_until(lambda: app.seen == ["/held"], "the first request")
        app.open_gate()
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 200 OK") == 100
    assert answer.count(b"HTTP/1.1 503 Service Unavailable") == 1


def test_slow_headers_get_408(serve: Serve) -> None:
    server = serve(header_timeout_s=0.05)
    content = assert_refused(server.exchange_in_time(b"GET / HT"), 408)
    assert "headers" in content["message"]
    assert server.guard.meter.refused == {408: 1}


def test_dripping_headers_do_not_extend_the_time(serve: Serve) -> None:
    server = serve(header_timeout_s=0.05)
    answer = b""
    while not answer:  # on a busy machine the first byte may come too late: then anew
        too_late = server.guard.meter.closed["silent"]
        with server.connect() as connection:
            answer = answer_to_drips(connection)
        assert answer or server.guard.meter.closed["silent"] > too_late
    assert answer.startswith(b"HTTP/1.1 408 ")


def answer_to_drips(connection: socket.socket) -> bytes:
    """Send headers, one now and then, until the server has had enough; return what it says."""
    connection.settimeout(0.005)
    sent = b"GET / HTTP/1.1\r\n"
    with suppress(ConnectionError):
        while True:
            connection.sendall(sent)
            sent = b"a: b\r\n"
            with suppress(TimeoutError):
                return connection.recv(4096)
    return b""


def test_slow_headers_of_a_further_request_get_408(serve: Serve) -> None:
    server = serve(header_timeout_s=0.05)
    answer = server.exchange_in_time(get("/") + b"GET /b HTTP/1.1\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert_refused(answer[answer.index(b"HTTP/1.1 408") :], 408)


def test_a_silent_connection_is_closed_without_an_answer(serve: Serve) -> None:
    server = serve(header_timeout_s=0.05)
    assert server.exchange(b"") == b""
    assert server.guard.meter.closed == {"silent": 1}


def test_an_idle_connection_is_closed_without_an_answer(serve: Serve) -> None:
    server = serve(idle_timeout_s=0.05)
    answer = server.exchange(get("/"))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert server.guard.meter.closed == {"idle": 1}


def test_a_slow_body_gets_408_and_the_app_is_told(serve: Serve, app: Echo) -> None:
    server = serve(body_timeout_s=0.05)
    request = post("/score", b"").replace(b"Length: 0", b"Length: 10")
    content = assert_refused(server.exchange(request + b"123"), 408)
    assert "body" in content["message"]
    wait_until(lambda: app.gone == ["/score"], "the news for the app")


def test_time_for_an_answer_is_not_limited_here(serve: Serve, app: Echo) -> None:
    server = serve(header_timeout_s=0.02, body_timeout_s=0.02, idle_timeout_s=0.02)
    with ExitStack() as stack:

        def is_held() -> bool:
            """Send the request; False when its first byte came too late, on a busy machine."""
            closed = server.guard.meter.closed
            connection = stack.enter_context(server.connect())
            connections.append(connection)
            with suppress(ConnectionError):
                connection.sendall(get("/held", CLOSE))
            wait_until(lambda: bool(app.seen) or server.guard.meter.closed != closed, "either")
            return bool(app.seen)

        connections = list[socket.socket]()
        wait_until(is_held, "a request in time")
        with server.connect() as other:
            assert read_all(other) == b""  # the sweep has come by
        app.open_gate()
        assert read_all(connections[-1]).endswith(b"GET /held 0")


def test_a_slow_reader_is_cut_off(serve: Serve) -> None:
    server = serve(write_timeout_s=0.1)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(get("/large"))
        wait_until(lambda: server.guard.meter.closed["slow reader"] == 1, "the end")
        wait_until(lambda: not server.guard.connections, "the connection's end")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/", "A: " + "x" * 1_000_000), 431),
        (get("/", "A: " + "x" * 70_000), 431),
        (get("/", *[f"A{i}: b" for i in range(2000)]), 431),
        (get("/", *[f"A{i}: b" for i in range(100)]), 431),
        (get("/" + "u" * 9000), 414),
        (get("/" + "u" * 1_000_000), 414),
        (
            b"POST /score HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: "
            + b"x" * 1_000_000,
            431,
        ),
        (
            b"POST /score HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a=" + b"x" * 1_000_000,
            431,
        ),
    ],
    ids=["1 MB", "70 kB", "2000", "101", "url", "long url", "trailer", "extension"],
)
def test_heads_have_limits(serve: Serve, request_bytes: bytes, status: int) -> None:
    server = serve()
    assert_refused(server.exchange(request_bytes), status)
    assert server.guard.meter.refused == {status: 1}


def test_a_long_header_in_small_pieces_is_refused(serve: Serve) -> None:
    server = serve()
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nA: ")
        sent = 0
        while not server.guard.meter.refused and sent < 1 << 20:
            sent += connection.send(b"x" * 1000)
        assert_refused(read_all(connection), 431)


def test_a_body_of_a_request_may_be_larger_than_its_head(serve: Serve) -> None:
    requests = post("/a", bytes(200_000)) + post("/b", bytes(300_000)) + get("/c", CLOSE)
    answer = serve().exchange(requests)
    assert b"POST /a 200000" in answer
    assert b"POST /b 300000" in answer
    assert answer.endswith(b"GET /c 0")


def test_a_body_over_the_limit_is_refused_before_it_is_read(serve: Serve, app: Echo) -> None:
    server = serve(max_body_bytes=1000)
    head = post("/score", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 1001")
    content = assert_refused(server.exchange(head), 413)
    assert "1,000" in content["message"]
    assert app.seen == []


def test_what_follows_a_refused_body_is_no_request(serve: Serve, app: Echo) -> None:
    server = serve(max_body_bytes=1000)
    hidden = get("/hidden") * 100
    assert_refused(server.exchange(post("/score", hidden)), 413)
    assert app.seen == []


def test_chunked_bodies_are_counted(serve: Serve, app: Echo) -> None:
    server = serve(max_body_bytes=1000)
    head = b"POST /score HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"1f4\r\n" + b"x" * 500 + b"\r\n"
    assert server.exchange(
        head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + chunk * 2 + b"0\r\n\r\n"
    ).endswith(b"POST /score 1000")
    answer = server.exchange(head + chunk * 2 + b"1\r\nx\r\n0\r\n\r\n" + get("/hidden"))
    assert_refused(answer, 413)
    assert app.seen.count("/hidden") == 0


def test_a_client_that_waits_for_100_gets_it(serve: Serve) -> None:
    with serve().connect() as connection:
        head = post("/score", b"", "Expect: 100-continue", CLOSE)
        connection.sendall(head.replace(b"Length: 0", b"Length: 3"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert read_all(connection).endswith(b"POST /score 3")


def test_a_body_that_may_never_come_ends_the_connection(serve: Serve) -> None:
    head = post("/unread", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 3")
    answer = serve().exchange(head)
    assert b"100 Continue" not in answer
    assert b"connection: close" in answer
    assert answer.endswith(b"POST /unread 0")


def test_an_unread_body_is_not_taken_for_a_request(serve: Serve, app: Echo) -> None:
    hidden = get("/hidden")
    answer = serve().exchange(post("/unread", hidden) + get("/next", CLOSE))
    assert answer.endswith(b"GET /next 0")
    assert app.seen == ["/unread", "/next"]


CHUNKED = "Transfer-Encoding: chunked"
HIDDEN = "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
MALFORMED = {
    "length and chunked": f"POST / HTTP/1.1\r\nContent-Length: 4\r\n{CHUNKED}\r\n\r\n{HIDDEN}",
    "chunked and length": f"POST / HTTP/1.1\r\n{CHUNKED}\r\nContent-Length: 4\r\n\r\n{HIDDEN}",
    "two lengths": f"POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n{HIDDEN}",
    "equal lengths": "POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    "list of lengths": "POST / HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\nab",
    "negative length": "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "signed length": "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
    "huge length": f"POST / HTTP/1.1\r\nContent-Length: {'9' * 30}\r\n\r\n",
    "no number": "POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
    "xchunked": f"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n{HIDDEN}",
    "gzip, chunked": f"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{HIDDEN}",
    "chunked twice": f"POST / HTTP/1.1\r\n{CHUNKED}\r\n{CHUNKED}\r\n\r\n{HIDDEN}",
    "bare line feed": "GET / HTTP/1.1\nHost: a\n\n",
    "bare line feed in a header": "GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n",
    "space before colon": "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "folded line": "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n d\r\n\r\n",
    "first line folded": "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "NUL": "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "garbage": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no version": "GET /\r\n\r\n",
    "bad chunk": f"POST / HTTP/1.1\r\n{CHUNKED}\r\n\r\nzz\r\n\r\n",
    "bad chunk size": f"POST / HTTP/1.1\r\n{CHUNKED}\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "bare line feed after chunk": f"POST / HTTP/1.1\r\n{CHUNKED}\r\n\r\n1\na\n0\n\n",
    "not ASCII in the path": "GET /\xfc HTTP/1.1\r\n\r\n",
    "no path": "GET nowhere HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_get_400(serve: Serve, app: Echo, name: str) -> None:
    server = serve()
    assert_refused(server.exchange(MALFORMED[name].encode("latin-1")), 400)
    assert "/hidden" not in app.seen
    assert server.guard.meter.refused == {400: 1}


@pytest.mark.parametrize("line", ["CONNECT a:80 HTTP/1.1", "FOO /score HTTP/1.1"])
def test_unknown_methods_get_405(serve: Serve, line: str) -> None:
    answer = serve().exchange(f"{line}\r\nHost: a\r\n\r\n".encode())
    assert_refused(answer, 405)


def test_other_versions_get_505(serve: Serve) -> None:
    answer = serve().exchange(b"GET / HTTP/2.0\r\n\r\n")
    assert_refused(answer, 505)


def test_host_may_be_missing(serve: Serve) -> None:
    answer = serve().exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_target_of_a_proxy_is_understood(serve: Serve) -> None:
    answer = serve().exchange(get("http://a:80/sc%6Fre?b=c", CLOSE))
    assert answer.endswith(b"GET /score 0")


def test_http_1_0_is_answered_and_closed(serve: Serve) -> None:
    answer = serve().exchange(b"GET /parts HTTP/1.0\r\n\r\n")
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\nonetwo")


def test_answers_in_parts_are_chunked(serve: Serve) -> None:
    answer = serve().exchange(get("/parts", CLOSE))
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_head_gets_no_body(serve: Serve) -> None:
    answer = serve().exchange(get("/", CLOSE).replace(b"GET", b"HEAD"))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")


def test_trailers_are_no_headers(serve: Serve, app: Echo) -> None:
    head = f"POST / HTTP/1.1\r\n{CHUNKED}\r\n{CLOSE}\r\n\r\n1\r\na\r\n0\r\nAuthorization: b\r\n\r\n"
    assert serve().exchange(head.encode()).endswith(b"POST / 1")
    assert b"authorization" not in dict(app.headers)


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_a_wish_to_upgrade_is_ignored(serve: Serve, protocol: str) -> None:
    wish = (f"Upgrade: {protocol}", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AA")
    requests = post("/a", b"abc", *wish) + get("/b", *wish) + get("/c", CLOSE)
    answer = serve().exchange(requests)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert b"POST /a 3" in answer
    assert answer.endswith(b"GET /c 0")


@pytest.mark.parametrize(
    "path", ["/line-break", "/bare-cr", "/bad-name", "/wrong-length", "/raises"]
)
def test_a_failing_app_gives_500_and_the_connection_lives(serve: Serve, path: str) -> None:
    answer = serve().exchange(get(path, "X-Request-Id: mine") + get("/next", CLOSE))
    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"500 Internal Server Error\r\n")
    assert json.loads(first.partition(b"\r\n\r\n")[2])["request_id"] == "mine"
    assert b"set-cookie" not in answer
    assert b"secret" not in answer
    assert second.endswith(b"GET /next 0")


def test_an_app_that_closes_is_obeyed(serve: Serve, app: Echo) -> None:
    answer = serve().exchange(get("/close") + get("/hidden"))
    assert answer.endswith(b"GET /close 0")
    assert b"connection: close" in answer
    assert app.seen == ["/close"]


def test_the_app_learns_that_the_caller_has_gone(serve: Serve, app: Echo) -> None:
    server = serve()
    with server.connect() as connection:
        connection.sendall(post("/gone", b"abc"))
        wait_until(lambda: app.seen == ["/gone"], "the request")
    wait_until(lambda: app.gone == ["/gone"], "the news for the app")


def test_a_connection_too_many_gets_503(serve: Serve) -> None:
    server = serve(max_connections=3)
    connections = [server.connect() for _ in range(3)]
    wait_until(lambda: len(server.guard.connections) == 3, "three connections")
    content = assert_refused(server.exchange(get("/")), 503)
    assert "max_connections" in content["message"]
    connections.pop().close()
    wait_until(lambda: len(server.guard.connections) < 3, "one connection less")
    assert server.exchange(get("/", CLOSE)).startswith(b"HTTP/1.1 200 OK")
    for connection in connections:
        connection.close()


def test_a_flood_of_connections_is_cut_off(serve: Serve) -> None:
    server = serve(max_connections=10)
    connections = [server.connect() for _ in range(60)]
    wait_until(
        lambda: server.guard.meter.closed["too many"] == 33, "the flood's end"
    )  # 60 - 10 - 17
    wait_until(lambda: len(server.guard.connections) == 27, "the others")
    for connection in connections:
        connection.close()
    wait_until(lambda: not server.guard.connections, "no connections")


def test_a_server_that_stops_answers_what_it_has_accepted(app: Echo) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(guarded_server(app, ServiceSettings()))
        connection = stack.enter_context(server.connect())
        connection.sendall(get("/held") + get("/b"))
        wait_until(lambda: app.seen == ["/held"], "the request")
        server.stop()
        wait_until(lambda: server.is_draining, "the end of listening")
        app.open_gate()
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"GET /b 0")
    assert answer.count(b"connection: close") == 1
