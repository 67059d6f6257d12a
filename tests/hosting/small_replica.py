"""A replica's process with an app of a few lines: `python small_replica.py SOCKET`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from calotype.hosting.wire_server import WireServer
from calotype.serving.journal import Journal
from calotype.serving.server import run


def say(text: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Tell what came.

    A path that ends in `/hang`, or the header `x-hang` with this process's number or 1, waits for
    its caller to leave; `/fail`, or `x-fail-on` with the name of the socket, fails.
    """
    message = await receive()
    named = {name.decode(): value.decode() for name, value in scope["headers"]}
    if scope["path"] == "/hang" or named.get("x-hang") in ("1", str(os.getpid())):
        say("hanging")
        await receive()
        say(f"left {scope['extensions']['calotype.connection'].disconnected}")
        return
    if scope["path"] == "/fail" or named.get("x-fail-on") == Path(sys.argv[1]).stem:
        raise ValueError("a secret")
    if scope["path"].endswith("/slow"):
        await asyncio.sleep(0.3)
    if scope["path"] == "/echo":
        body = message["body"]
    else:
        told = {name: scope[name] for name in ("method", "path", "client", "scheme")}
        told |= {"pid": os.getpid(), "query": scope["query_string"].decode()}
        told["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        body = json.dumps({**told, "size": len(message["body"])}).encode()
    headers = [(b"content-type", b"application/json"), (b"x-own", b"1")]
    if "x-say" in named:
        headers.append((b"x-said", named["x-say"].encode().replace(b"|", b"\r\n")))
    status = int(named.get("x-status", 200))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    """Serve until SIGTERM."""
    journal = Journal()
    server = WireServer(app, Path(sys.argv[1]), journal)
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
