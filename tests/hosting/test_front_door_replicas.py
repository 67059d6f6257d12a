"""The front door and its replicas as they come, die and change."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest
from doors import WAIT_S, Door, ask_over, check_error, door, until
from replicas import next_line

from calotype.errors import CalotypeError
from calotype.hosting import control
from calotype.hosting.management.ports import free_port
from calotype.hosting.routes import ServiceRoute
from calotype.serving.server import listen

BASE = "/api/v1/service/app"


@pytest.fixture(scope="module")
def started() -> Generator[Door]:
    """A door for many tests."""
    with door() as found:
        found.write()
        found.start()
        yield found


@pytest.fixture
def made(started: Door) -> Generator[Door]:
    """A door that runs and has nothing behind it."""
    started.services.clear()
    started.tell()
    with ExitStack() as stack:
        yield dataclasses.replace(started, stack=stack)


@pytest.fixture
def fresh() -> Generator[Door]:
    """A door of the test's own that does not run."""
    with door() as found:
        yield found


def through(door: Door, *replicas: str) -> None:
    """Pass requests on to replicas with a few lines of an app; paths below are the app's."""
    door.services["app"] = ServiceRoute({"default": door.route(*replicas)})


def test_replica_sees_who_calls_and_how(made: Door) -> None:
    made.small_replica("a")
    through(made, "a")
    made.tell()
    with made.connect() as caller:
        own = caller.getsockname()
        caller.sendall(
            f"POST {BASE}/x?q=1 HTTP/1.1\r\nhost: models.example\r\n"
            "x-forwarded-for: 10.0.0.1\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab".encode()
        )
        data = b""
        while part := caller.recv(1 << 16):
            data += part
    told = json.loads(data.partition(b"\r\n\r\n")[2])
    assert told["client"] == own[0]
    assert (told["scheme"], told["method"], told["size"]) == ("http", "POST", 2)
    assert (told["path"], told["query"]) == (f"{BASE}/x", "q=1")
    names = [name for name, _ in told["headers"]]
    assert names == ["host", "x-forwarded-for", "content-length", "connection", "x-request-id"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"x-status": "999"}, 500), ({"x-say": "a|set-cookie: b"}, 500), ({"x-say": "a"}, 200)],
)
def test_answer_that_is_no_http_harms_nobody_else(
    made: Door, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    made.small_replica("a")
    through(made, "a")
    made.tell()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        gate = tmp_path / "gate"
        other = pool.submit(made.ask, "POST", f"{BASE}/x", "x", {"x-wait-for": str(gate)})
        until(lambda: made.counts("app")["in_flight"] == 1, "the other request")
        assert made.ask("POST", f"{BASE}/x", "x", headers).status == status
        gate.touch()
        assert other.result().status == 200


def test_answer_without_content(made: Door) -> None:
    made.small_replica("a")
    through(made, "a")
    made.tell()
    reply = made.ask("POST", f"{BASE}/x", "x", {"x-status": "204"})
    assert (reply.status, reply.body) == (204, b"")
    assert "content-length" not in reply.headers


def test_requests_are_shared_by_replicas(made: Door) -> None:
    for name in "abc":
        made.small_replica(name)
    through(made, *"abc")
    made.tell()
    pids = Counter(made.ask("GET", f"{BASE}/x").json["pid"] for _ in range(30))
    assert sorted(pids.values()) == [10, 10, 10]


def test_busy_replica_gets_no_more_while_another_is_free(made: Door) -> None:
    replicas = {name: made.small_replica(name) for name in "ab"}
    through(made, *"ab")
    made.tell()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(made.ask, "POST", f"{BASE}/x", "x", {"x-hang": "1"})
        until(lambda: made.counts("app")["in_flight"] == 1, "the request")
        replicas_now = made.counts("app")["replicas"]
        (busy,) = (name for name, one in replicas_now.items() if one["in_flight"])
        assert next_line(replicas[busy]) == "hanging"
        pids = {made.ask("GET", f"{BASE}/x").json["pid"] for _ in range(6)}
        assert pids == {replica.pid for name, replica in replicas.items() if name != busy}
        replicas[busy].kill()


def test_requests_that_a_killed_replica_had_not_begun_go_to_another(made: Door) -> None:
    first = made.small_replica("a")
    through(made, "a")
    made.tell()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        first.send_signal(signal.SIGSTOP)
        until(lambda: psutil.Process(first.pid).status() == psutil.STATUS_STOPPED, "it stands")
        unread = [pool.submit(made.ask, "POST", f"{BASE}/x", "y") for _ in range(3)]
        until(lambda: made.counts("app")["in_flight"] == 3, "the requests")
        made.small_replica("b")
        through(made, "a", "b")
        made.tell()
        first.kill()
        # Nobody had begun them: the other replica answers.
        assert [one.result().status for one in unread] == [200, 200, 200]
    assert made.counts("app")["in_flight"] == 0
    assert not made.counts("app")["replicas"]["a"]["ready"]
    assert made.ask("POST", f"{BASE}/x", "z").status == 200


def test_begun_request_of_a_killed_replica_is_not_repeated(made: Door) -> None:
    first = made.small_replica("a")
    made.small_replica("b")
    through(made, "a")
    made.tell()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        post = pool.submit(made.ask, "POST", f"{BASE}?hang", "x", {"x-hang": "1"})
        assert next_line(first) == "hanging"
        through(made, "a", "b")
        made.tell()
        first.kill()
        assert "ended before it answered" in check_error(post.result(), 502)
    assert made.counts("app")["statuses"]["502"] == 1


def test_get_of_a_killed_replica_is_repeated(made: Door) -> None:
    first = made.small_replica("a")
    second = made.small_replica("b")
    through(made, "a")
    made.tell()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        get = pool.submit(made.ask, "GET", f"{BASE}/once", None, {"x-hang": str(first.pid)})
        assert next_line(first) == "hanging"
        through(made, "a", "b")
        made.tell()
        first.kill()
        assert get.result().json["pid"] == second.pid


def test_replica_that_comes_back_is_found(made: Door) -> None:
    first = made.small_replica("a")
    through(made, "a")
    made.tell()
    assert made.ask("GET", f"{BASE}/x").json["pid"] == first.pid
    first.kill()
    until(lambda: made.ask("GET", f"{BASE}/x").status == 503, "the loss")
    second = made.small_replica("a")
    until(lambda: made.ask("GET", f"{BASE}/x").status == 200, "the new one")
    assert made.ask("GET", f"{BASE}/x").json["pid"] == second.pid


def test_exchange_of_replicas_under_load_fails_no_request(made: Door) -> None:
    """What an update does: a new replica, new routes, then the old one ends."""
    old = made.small_replica("r0")
    through(made, "r0")
    made.tell()
    statuses: Counter[int] = Counter()
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            statuses[
                made.ask("POST", f"{BASE}/slow" if len(statuses) % 2 else BASE, "x").status
            ] += 1

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for number in range(1, 4):
        new = made.small_replica(f"r{number}")
        through(made, f"r{number}")
        made.tell()
        old.terminate()
        assert next_line(old) == "closed"
        old = new
    until(lambda: sum(statuses.values()) > 20, "enough requests")
    ended.set()
    for caller in callers:
        caller.join()
    assert set(statuses) == {200}


def test_old_replica_answers_until_the_new_one_can_be_reached(made: Door) -> None:
    old = made.small_replica("old")
    through(made, "old")
    made.tell()
    with closing(socket.socket(socket.AF_UNIX)) as slow:
        slow.bind(made.wire("new"))
        slow.listen()  # it is there, and too busy to say hello
        through(made, "new")
        for _ in range(2):
            assert made.tell_once() == {"app/default/new": ""}
            assert made.ask("GET", f"{BASE}/x").json["pid"] == old.pid
    new = made.small_replica("new")
    until(lambda: made.ask("GET", f"{BASE}/x").json["pid"] == new.pid, "the new one")
    made.tell()
    old.terminate()
    assert next_line(old) == "closed"
    assert made.ask("GET", f"{BASE}/x").json["pid"] == new.pid


def test_replica_that_leaves_by_itself_fails_no_request(made: Door, tmp_path: Path) -> None:
    one = made.small_replica("a")
    made.small_replica("b")
    through(made, "a", "b")
    made.tell()
    gate = tmp_path / "gate"
    held = {"x-wait-for": str(gate)}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(made.ask, "POST", f"{BASE}/x", "x", held) for _ in range(8)]
        until(lambda: made.counts("app")["in_flight"] == 8, "the requests")
        one.terminate()
        more = [pool.submit(made.ask, "POST", f"{BASE}/x", "x") for _ in range(20)]
        until(lambda: not made.counts("app")["replicas"]["a"]["ready"], "it leaves")
        gate.touch()
        assert {reply.result().status for reply in asked + more} == {200}
    assert next_line(one) == "closed"


def versions(door: Door, **values: dict[str, int | bool]) -> None:
    door.services["app"] = ServiceRoute(
        {name: door.route(name, **more) for name, more in values.items()}
    )


def test_versions_share_the_traffic_and_can_be_asked_for(made: Door) -> None:
    pids = {name: made.small_replica(name).pid for name in ("blue", "green")}
    versions(made, blue={"traffic_percent": 0}, green={"traffic_percent": 25, "is_default": False})
    made.tell()
    got = Counter(made.ask("GET", f"{BASE}/x").json["pid"] for _ in range(200))
    assert 20 < got[pids["green"]] < 85
    for name, pid in pids.items():
        reply = made.ask("GET", f"{BASE}/x", headers={"x-calotype-version": name})
        assert (reply.json["pid"], reply.headers["x-calotype-version"]) == (pid, name)
    reply = made.ask("GET", f"{BASE}/x", headers={"x-calotype-version": "red"})
    assert "no version of that name" in check_error(reply, 404)


def test_version_without_replicas_leaves_its_share_to_the_default(made: Door) -> None:
    made.small_replica("blue")
    made.services["app"] = ServiceRoute(
        {
            "blue": made.route("blue", traffic_percent=0),
            "green": made.route(traffic_percent=99, is_default=False),
        }
    )
    made.tell()
    assert {made.ask("GET", f"{BASE}/x").status for _ in range(20)} == {200}
    asked = {"x-calotype-version": "green"}
    check_error(made.ask("GET", f"{BASE}/x", headers=asked), 503)


def test_mirror_gets_copies_and_its_answers_go_nowhere(made: Door) -> None:
    pid = made.small_replica("blue").pid
    made.small_replica("green")
    versions(
        made,
        blue={},
        green={"traffic_percent": 0, "mirror_percent": 100, "is_default": False},
    )
    made.tell()
    assert {made.ask("POST", f"{BASE}/x", "x").json["pid"] for _ in range(10)} == {pid}
    until(lambda: made.counts("app", "green")["replicas"]["green"]["in_flight"] == 0, "copies")
    green = made.counts("app", "green")
    assert (green["mirrored"], green["in_flight"], green["statuses"]) == (10, 0, {})
    assert green["busy_s"] > 0  # which may ask for more replicas
    assert made.ask("POST", f"{BASE}/x", "x", {"x-fail-on": "green"}).status == 200
    until(lambda: made.counts("app", "green")["mirror_failures"] == 1, "the failed copy")
    assert made.counts("app", "blue")["statuses"] == {"200": 11}


def test_open_connection_follows_paths_and_routes(made: Door) -> None:
    made.small_replica("a")
    through(made, "a")
    made.tell()
    with closing(made.connection()) as caller:
        for target in ("/x?q=1", "/x?q=1", "/x?q=2", "/a%20b", "/x?q=1"):
            path, _, query = target.partition("?")
            told = ask_over(caller, "GET", BASE + target).json
            assert told["path"] == BASE + path.replace("%20", " ")
            assert told["query"] == query
        check_error(ask_over(caller, "GET", "/api/v1/service/other/x"), 404)
        assert ask_over(caller, "GET", f"{BASE}/x").status == 200
        removed = made.services.pop("app")
        made.tell()
        check_error(ask_over(caller, "GET", f"{BASE}/x"), 404)
        made.services["app"] = removed
        made.tell()
        assert ask_over(caller, "GET", f"{BASE}/x").status == 200


def test_door_survives_routes_that_cannot_be_read(made: Door) -> None:
    made.small_replica("a")
    through(made, "a")
    made.tell()
    made.layout.routes.write_text("{")
    with pytest.raises(CalotypeError, match="JSON"):
        control.ask(made.layout.front_door_socket, "routes")
    assert made.ask("GET", f"{BASE}/x").status == 200


def test_door_takes_a_socket_that_it_is_given(fresh: Door) -> None:
    fresh.small_replica("a")
    through(fresh, "a")
    listener = listen("127.0.0.1", 0)
    fresh.port = listener.getsockname()[1]
    fresh.write()
    with listener:
        fresh.start(descriptor=listener.fileno())
        assert fresh.ask("GET", f"{BASE}/x").status == 200
    assert fresh.process is not None
    fresh.process.terminate()
    assert fresh.process.wait(WAIT_S) == 0
    with pytest.raises(ConnectionRefusedError):
        fresh.connect()


def test_door_without_a_keeper_ends(fresh: Door) -> None:
    fresh.write()
    fresh.start(alone_s=0.5)
    assert fresh.ask("GET", "/").status == 200
    fresh.keeper.release()
    assert fresh.process is not None
    assert fresh.process.wait(WAIT_S) == 0
    assert "no keeper for a minute" in fresh.log()


def test_second_door_of_a_workspace_leaves(fresh: Door) -> None:
    fresh.write()
    fresh.start()
    with pytest.raises(AssertionError):
        fresh.start()
    assert fresh.process is not None
    assert fresh.process.wait(WAIT_S) == 1
    assert "Another process is the front door" in fresh.log()


def test_taken_address_is_told(fresh: Door) -> None:
    with listen("127.0.0.1", 0) as taken:
        fresh.port = taken.getsockname()[1]
        fresh.write()
        with pytest.raises(AssertionError):
            fresh.start()
    assert "expected a free address" in fresh.log()


def test_door_moves_to_another_address(fresh: Door) -> None:
    fresh.small_replica("a")
    through(fresh, "a")
    fresh.write()
    fresh.start()
    old = fresh.port
    fresh.port = free_port(fresh.workspace, "127.0.0.1")
    fresh.tell()
    assert fresh.ask("GET", f"{BASE}/x").status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old), timeout=WAIT_S)


def test_stop_answers_what_was_accepted(fresh: Door, tmp_path: Path) -> None:
    fresh.small_replica("a")
    through(fresh, "a")
    fresh.write()
    fresh.start()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        gate = tmp_path / "gate"
        slow = pool.submit(fresh.ask, "POST", f"{BASE}/x", "x", {"x-wait-for": str(gate)})
        until(lambda: fresh.counts("app")["in_flight"] == 1, "the request")
        assert fresh.process is not None
        fresh.process.terminate()
        until(lambda: '"stopping"' in fresh.log(), "it is told to stop")
        gate.touch()
        assert slow.result().status == 200
    assert fresh.process.wait(WAIT_S) == 0
    assert not fresh.layout.front_door_socket.exists()
