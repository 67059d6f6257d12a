"""An open loop: requests go out on schedule, however long the answers take.

A closed loop, such as wrk's, slows down with the server and so never overloads it for long. This
one runs in a process of its own, so that its work is not counted as a stranger's.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import httptools
import uvloop

from serve_load import Payloads

_MAX_CONNECTIONS = 950  # below our server's default limit, which is not what is measured here
_SETTLE_S = 1.0  # answers before this moment are left out
_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Overload:
    """What an open loop saw once the queue had filled; latencies run from the scheduled moment.

    Attributes:
        offered: requests per second.
        goodput: answers of status 200 per second.
        statuses: how many answers had which status.
        unsent: requests for which there was no connection.
        unanswered: requests without an answer, their connection was cut or they ran out of time.
        good_p99_ms, refused_p50_ms, refused_p99_ms, refused_max_ms: of 200 and of 503 answers.
        late_p99_ms: how far behind its schedule this client was itself.
    """

    offered: float
    goodput: float
    statuses: dict[str, int]
    unsent: int
    unanswered: int
    good_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    refused_max_ms: float
    late_p99_ms: float

    @property
    def strange(self) -> int:
        """How many requests got neither 200 nor 503."""
        known = self.statuses.get("200", 0) + self.statuses.get("503", 0)
        return sum(self.statuses.values()) - known + self.unanswered


def offer(port: int, path: str, payloads: Payloads, *, rate: float, seconds: float) -> Overload:
    """Offer requests to a server of this machine.

    Args:
        port: where it listens.
        path: what is called.
        payloads: are sent in turn.
        rate: requests per second.
        seconds: how long, the first second not counted.
    """
    request = {
        "port": port,
        "path": path,
        "content_type": payloads.content_type,
        "files": [str(one) for one in payloads.files],
        "rate": rate,
        "seconds": seconds,
    }
    command = [sys.executable, __file__]
    done = subprocess.run(
        command, input=json.dumps(request), stdout=subprocess.PIPE, check=True, text=True
    )
    return Overload(**json.loads(done.stdout))


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of the values lies; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(slots=True)
class _Record:
    """Every answer as (when it was due, when it came, status), on the loop's clock."""

    answers: list[tuple[float, float, int]] = field(default_factory=list[tuple[float, float, int]])
    late_s: list[float] = field(default_factory=list[float])
    sent: int = 0
    unsent: int = 0


class _Connection(asyncio.Protocol):
    """Sends one request at a time and goes back to the idle ones after its answer."""

    def __init__(self, idle: deque[_Connection], record: _Record) -> None:
        self._idle = idle
        self._record = record
        self._loop = asyncio.get_running_loop()
        self._due_s = 0.0
        self._is_busy = False
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due_s: float) -> None:
        self._due_s = due_s
        self._is_busy = True
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._is_busy:
            self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        self._record.answers.append((self._due_s, self._loop.time(), status))
        self._is_busy = False
        if self._parser.should_keep_alive():
            self._idle.append(self)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True


class _Client:
    """Takes an idle connection for each request, or opens one."""

    def __init__(self, port: int, record: _Record) -> None:
        self._port = port
        self._record = record
        self._idle: deque[_Connection] = deque()
        self._all: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, request: bytes, due_s: float) -> None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed:
                self._record.sent += 1
                connection.send(request, due_s)
                return
        self._all = {one for one in self._all if not one.is_closed}
        if len(self._all) + len(self._tasks) >= _MAX_CONNECTIONS:
            self._record.unsent += 1
            return
        self._record.sent += 1
        task = asyncio.ensure_future(self._open_and_send(request, due_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open_and_send(self, request: bytes, due_s: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self._idle, self._record), "127.0.0.1", self._port
            )
        except OSError:
            return  # counted as unanswered
        self._all.add(connection)
        connection.send(request, due_s)


async def _run(port: int, requests: list[bytes], rate: float, seconds: float) -> Overload:
    loop = asyncio.get_running_loop()
    record = _Record()
    client = _Client(port, record)
    start_s = loop.time()
    for index in range(round(rate * seconds)):
        due_s = start_s + index / rate
        # Also when it is late, so that answers are read between two requests.
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        record.late_s.append(loop.time() - due_s)
        client.send(requests[index % len(requests)], due_s)
    end_s = loop.time()
    while len(record.answers) < record.sent and loop.time() < end_s + _PATIENCE_S:
        await asyncio.sleep(0.05)
    return _summarize(record, rate, start_s + _SETTLE_S, end_s)


def _summarize(record: _Record, rate: float, from_s: float, to_s: float) -> Overload:
    inside = [answer for answer in record.answers if from_s <= answer[1] <= to_s]
    good_ms = [(at_s - due_s) * 1e3 for due_s, at_s, status in inside if status == 200]
    refused_ms = [(at_s - due_s) * 1e3 for due_s, at_s, status in inside if status == 503]
    return Overload(
        offered=rate,
        goodput=len(good_ms) / (to_s - from_s),
        statuses=dict(Counter(str(status) for _, _, status in record.answers)),
        unsent=record.unsent,
        unanswered=record.sent - len(record.answers),
        good_p99_ms=percentile(good_ms, 0.99),
        refused_p50_ms=percentile(refused_ms, 0.5),
        refused_p99_ms=percentile(refused_ms, 0.99),
        refused_max_ms=max(refused_ms, default=0.0),
        late_p99_ms=percentile(record.late_s, 0.99) * 1e3,
    )


def _requests(path: str, content_type: str, files: list[str]) -> list[bytes]:
    requests: list[bytes] = []
    for name in files:
        body = Path(name).read_bytes()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests


def main() -> None:
    """Read what to do from stdin; print what came of it as JSON."""
    wanted = json.load(sys.stdin)
    requests = _requests(wanted["path"], wanted["content_type"], wanted["files"])
    done = uvloop.run(_run(wanted["port"], requests, wanted["rate"], wanted["seconds"] + _SETTLE_S))
    print(json.dumps(asdict(done)))


if __name__ == "__main__":
    main()
