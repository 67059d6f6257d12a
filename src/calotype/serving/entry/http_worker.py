"""A worker that speaks HTTP itself: `--isolation none`."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from calotype.serving.entry.inline_service import InlineService
from calotype.serving.entry.script import EntryScript
from calotype.serving.entry.worker import ignore_terminal, tell_ready, telling_failures
from calotype.serving.front import Front, FrontSettings
from calotype.serving.journal import Journal
from calotype.serving.metrics import Meter
from calotype.serving.server import run


def serve_http(
    connection: socket.socket, script: EntryScript, configuration: dict[str, Any], number: int
) -> None:
    """Serve HTTP on the shared socket until `connection` closes.

    Raises:
        CalotypeError: `init` failed, or the front cannot be used; the other end has been told.
    """
    ignore_terminal()
    with telling_failures(connection):
        script.init()
    settings = FrontSettings.of_document(configuration["settings"])
    listening, counters = configuration["descriptors"]
    journal = Journal(settings.log_format, with_requests=settings.with_access_log)
    meter = Meter(counters, number)

    async def serve() -> None:
        listener = socket.socket(fileno=listening)
        service = InlineService(script, settings.service, meter)
        with telling_failures(connection):
            front = Front(settings, service, listener, meter=meter, journal=journal)
            await front.start()
        tell_ready(connection, script)
        await _closed(connection)
        await front.stop()

    run(serve)
    journal.close()


async def _closed(connection: socket.socket) -> None:
    """Wait until the supervisor closes its end."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(connection, 4096):
        pass
