"""A worker that speaks HTTP itself: `--isolation none`."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from typing import Any

from calotype.serving.entry.main_thread_service import MainThreadService
from calotype.serving.entry.script import EntryScript
from calotype.serving.entry.worker import announce, ignore_terminal
from calotype.serving.front import Front, FrontSettings
from calotype.serving.journal import Journal
from calotype.serving.metrics import Meter
from calotype.serving.server import run


def serve_http(
    connection: socket.socket, script: EntryScript, configuration: dict[str, Any], number: int
) -> None:
    """Serve HTTP on the shared socket until `connection` closes.

    Raises:
        ScriptFailed: `init` failed; the other end has been told.
    """
    ignore_terminal()
    announce(connection, script)
    settings = FrontSettings.of_document(configuration["settings"])
    listening, counters = configuration["descriptors"]
    journal = Journal(settings.log_format, with_requests=settings.with_access_log)
    service = MainThreadService(script, settings.service)
    started = threading.Event()

    async def serve() -> None:
        listener = socket.socket(fileno=listening)
        front = Front(settings, service, listener, meter=Meter(counters, number), journal=journal)
        await front.start()
        started.set()
        await _closed(connection)
        await front.stop()

    thread = threading.Thread(target=run, args=(serve,), name="http")
    # A signal must find the main thread, where the script's timeouts are.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    thread.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    started.wait()
    service.work()
    thread.join()
    journal.close()


async def _closed(connection: socket.socket) -> None:
    """Wait until the supervisor closes its end."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(connection, 4096):
        pass
