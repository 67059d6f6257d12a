"""The wire between the front door and replicas, with replicas in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from replicas import next_line, small_replica

from calotype.hosting import wire
from calotype.hosting.wire_client import ReplicaLink
from calotype.serving.server import run

WAIT_S = 60.0


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder with a short name, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="wire-") as name:
        yield Path(name)


@dataclass
class Waiter:
    """Waits for one answer."""

    future: asyncio.Future[tuple[int, bytes, bytes] | bool] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def answered(self, status: int, head: bytes, body: bytes) -> None:
        self.future.set_result((status, head, body))

    def lost(self, *, has_begun: bool) -> None:
        self.future.set_result(has_begun)


def head(path: str, method: str = "POST") -> bytes:
    headers = [(b"x-request-id", b"7")]
    return wire.pack_request(method, path, b"a=b", headers, "192.0.2.1", "https")


def send(link: ReplicaLink, path: str, *parts: bytes) -> tuple[int, Waiter]:
    waiter = Waiter()
    size = sum(map(len, parts))
    return link.send(head(path), parts or (b"",), size, waiter), waiter


async def ask(link: ReplicaLink, path: str, *parts: bytes) -> Any:
    _, waiter = send(link, path, *parts)
    return await asyncio.wait_for(waiter.future, WAIT_S)


def over(path: Path, told: Callable[[ReplicaLink], Awaitable[None]]) -> None:
    """Run a coroutine with a link that is ready."""

    async def main() -> None:
        link = ReplicaLink("one", str(path))
        link.start()
        try:
            assert await link.attempted(WAIT_S)
            await told(link)
        finally:
            link.abort()

    run(main)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def test_request_and_answer_arrive_whole(folder: Path) -> None:
    async def told(link: ReplicaLink) -> None:
        status, lines, body = await ask(link, "/x", b"abc")
        assert status == 200
        assert lines == b"content-type: application/json\r\nx-own: 1\r\n"
        document = json.loads(body)
        assert document["client"] == "192.0.2.1"
        assert (document["scheme"], document["query"], document["size"]) == ("https", "a=b", 3)
        assert document["headers"] == [["x-request-id", "7"]]
        assert link.in_flight == 0
        assert list(folder.iterdir()) == [folder / "r"]  # nothing beside the socket

    with small_replica(folder / "r"):
        over(folder / "r", told)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 300_000, 20_000_000])
def test_bodies_of_all_sizes_come_back(folder: Path, size: int) -> None:
    async def told(link: ReplicaLink) -> None:
        content = os.urandom(size)
        parts = [content[at : at + 100_000] for at in range(0, max(size, 1), 100_000)]
        answers = await asyncio.gather(*(ask(link, "/echo", *parts) for _ in range(3)))
        assert [body == content for _, _, body in answers] == [True] * 3

    with small_replica(folder / "r"):
        over(folder / "r", told)


def test_frames_are_found_in_any_pieces() -> None:
    bodies = [b"", b"x", os.urandom(300), b"", os.urandom(70)]
    data = b"".join(
        wire.frame(wire.ANSWER, 200, b"h" * n, body, n) for n, body in enumerate(bodies)
    )
    whole = [(wire.ANSWER, 200, b"h" * n, body, n) for n, body in enumerate(bodies)]
    for step in (1, 2, 18, 19, 20, 100, 1000):
        assert frames(data, step) == whole


def frames(data: bytes, step: int) -> list[tuple[int, int, bytes, bytes, int]]:
    """Return what is found when `step` bytes come at a time."""
    found: list[tuple[int, int, bytes, bytes, int]] = []

    def take(kind: int, status: int, head: bytes, body: bytes, number: int) -> None:
        found.append((kind, status, head, body, number))

    reader = wire.FrameReader(take)
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
    return found


def test_many_requests_at_a_time(folder: Path) -> None:
    async def told(link: ReplicaLink) -> None:
        bodies = [b"%d" % index for index in range(500)]
        answers = await asyncio.gather(*(ask(link, "/echo", body) for body in bodies))
        assert [body for _, _, body in answers] == bodies

    with small_replica(folder / "r"):
        over(folder / "r", told)


def test_app_that_fails_tells_nothing(folder: Path) -> None:
    async def told(link: ReplicaLink) -> None:
        status, lines, body = await ask(link, "/fail")
        assert status == 500
        assert b"x-request-id: 7\r\n" in lines
        assert b"secret" not in body
        assert json.loads(body)["request_id"] == "7"

    with small_replica(folder / "r"):
        over(folder / "r", told)


def test_caller_who_left_is_told_to_the_app(folder: Path) -> None:
    with small_replica(folder / "r") as replica:

        async def told(link: ReplicaLink) -> None:
            number, _ = send(link, "/hang")
            assert await asyncio.to_thread(next_line, replica) == "hanging"
            assert link.in_flight == 1
            link.cancel(number)
            assert await asyncio.to_thread(next_line, replica) == "left True"
            await until(lambda: link.in_flight == 0)

        over(folder / "r", told)


def test_killed_replica_loses_what_it_had_begun_and_nothing_else(folder: Path) -> None:
    with small_replica(folder / "r") as replica:

        async def told(link: ReplicaLink) -> None:
            _, begun = send(link, "/hang")
            assert await asyncio.to_thread(next_line, replica) == "hanging"
            replica.send_signal(signal.SIGSTOP)
            stopped = psutil.STATUS_STOPPED
            await until(lambda: psutil.Process(replica.pid).status() == stopped)
            _, unread = send(link, "/hang")
            await asyncio.sleep(0)
            replica.kill()
            assert await asyncio.wait_for(begun.future, WAIT_S) is True
            assert await asyncio.wait_for(unread.future, WAIT_S) is False
            assert (link.in_flight, link.is_ready) == (0, False)

        over(folder / "r", told)


def test_link_connects_again(folder: Path) -> None:
    async def told(link: ReplicaLink) -> None:
        first = json.loads((await ask(link, "/x"))[2])["pid"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: not link.is_ready)
        with small_replica(folder / "r"):
            await until(lambda: link.is_ready)
            assert json.loads((await ask(link, "/x"))[2])["pid"] != first

    with small_replica(folder / "r"):
        over(folder / "r", told)


def test_replica_that_ends_answers_what_it_has(folder: Path) -> None:
    with small_replica(folder / "r") as replica:

        async def told(link: ReplicaLink) -> None:
            _, slow = send(link, "/slow")
            await asyncio.sleep(0)
            replica.terminate()
            await until(lambda: not link.is_ready)
            status, _, _ = await asyncio.wait_for(slow.future, WAIT_S)  # type: ignore[misc]
            assert status == 200
            assert await asyncio.to_thread(next_line, replica) == "closed"
            assert await asyncio.to_thread(replica.wait, WAIT_S) == 0

        over(folder / "r", told)
    assert not list(folder.iterdir())


def test_link_to_nobody_says_why(folder: Path) -> None:
    async def main() -> None:
        link = ReplicaLink("one", str(folder / "none"))
        link.start()
        assert not await link.attempted(WAIT_S)
        assert link.why_not == "No such file or directory"
        link.abort()

    run(main)
