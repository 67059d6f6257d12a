"""A process that stood still has read nothing meanwhile: that is no fault of its callers."""

from __future__ import annotations

import asyncio
import socket
import time

from calotype.serving.guard import Guard
from calotype.serving.settings import ServiceSettings

HEADER_TIMEOUT_S = 0.4


class Watched:
    """A connection that only notes when it was looked at."""

    def __init__(self) -> None:
        self.checked_s: list[float] = []

    def check(self, now_s: float) -> None:
        self.checked_s.append(now_s)


def test_who_is_late_each_time_looks_all_the_same() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        guard, connection = Guard(ServiceSettings(header_timeout_s=0.04)), Watched()
        guard.add(connection, loop)
        async with asyncio.timeout(60):
            while len(connection.checked_s) < 3:
                time.sleep(0.05)  # more than twice the time from look to look
                await asyncio.sleep(0)
        guard.connections.clear()

    asyncio.run(main())


def test_nobody_is_overdue_before_what_came_during_a_standstill_was_read() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        guard, connection = Guard(ServiceSettings(header_timeout_s=HEADER_TIMEOUT_S)), Watched()
        guard.add(connection, loop)
        time.sleep(2 * HEADER_TIMEOUT_S)
        reader, writer = await asyncio.open_connection(sock=ours)
        theirs.sendall(b"x")
        await reader.readexactly(1)
        read_s = loop.time()
        async with asyncio.timeout(60):
            while not connection.checked_s:
                await asyncio.sleep(0.01)
        guard.connections.clear()
        writer.close()
        return read_s, connection.checked_s[0]

    ours, theirs = socket.socketpair()
    with ours, theirs:
        read_s, checked_s = asyncio.run(main())
    assert read_s < checked_s
