"""A replica's process that answers in a few lines: `python small_replica.py SOCKET`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from calotype.hosting.wire_server import WireServer
from calotype.serving.exchange import Answer, Headers, Request
from calotype.serving.journal import Journal
from calotype.serving.server import run


def say(text: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def answer(request: Request, body: bytes) -> tuple[Answer, Headers] | None:
    """Tell what came.

    A path that ends in `/hang`, or the header `x-hang` with this process's number or 1, waits for
    its caller to leave; `/fail`, or `x-fail-on` with the name of the socket, fails. The header
    `x-wait-for` has the path of a file that has to be there first.
    """
    named = {name.decode(): value.decode() for name, value in request.headers}
    if request.path == "/hang" or named.get("x-hang") in ("1", str(os.getpid())):
        say("hanging")
        while not request.is_abandoned:
            await asyncio.sleep(0.005)
        say(f"left {request.is_abandoned}")
        return None
    if request.path == "/fail" or named.get("x-fail-on") == Path(sys.argv[1]).stem:
        raise ValueError("a secret")
    if request.path.endswith("/slow"):
        await asyncio.sleep(0.3)
    while "x-wait-for" in named and not Path(named["x-wait-for"]).exists():
        await asyncio.sleep(0.005)
    answer = Answer(int(named.get("x-status", 200)), body)
    if request.path != "/echo":
        told = {name: getattr(request, name) for name in ("method", "path", "client", "scheme")}
        told |= {"pid": os.getpid(), "query": request.query.decode()}
        told["headers"] = [[name.decode(), value.decode()] for name, value in request.headers]
        answer.body = json.dumps({**told, "size": len(body)}).encode()
    headers = [(b"content-type", answer.content_type), (b"x-own", b"1")]
    if "x-say" in named:
        headers.append((b"x-said", named["x-say"].encode().replace(b"|", b"\r\n")))
    return answer, headers


async def main() -> None:
    """Serve until SIGTERM."""
    journal = Journal()
    server = WireServer(answer, Path(sys.argv[1]), journal)
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    say("ready")
    await ended.wait()
    await server.close()
    journal.close()
    say("closed")


if __name__ == "__main__":
    run(main)
