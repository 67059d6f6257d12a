"""The front door: one address for all services of a workspace.

    python -m calotype.hosting.front_door ROOT [--listener DESCRIPTOR]

It passes requests on to replicas and answers little itself, so it outlives the keeper, and a new
keeper finds it by its lock file. Commands come over its control socket:

    ping    nothing: whether it answers
    routes  read the routes anew; answers when new replicas are connected
    counts  what each version of each service has answered
    listener  the listening socket, for a keeper that has none
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.hosting import control, locks, socket_folder
from calotype.hosting.door_app import DoorApp
from calotype.hosting.door_server import DoorServer
from calotype.hosting.door_table import DoorTable
from calotype.hosting.layout import Layout
from calotype.hosting.passage import Passages
from calotype.hosting.routes import Routes
from calotype.hosting.token_endpoint import TokenEndpoint
from calotype.hosting.uris import door_uris
from calotype.serving.guard import Guard
from calotype.serving.journal import Journal, JournalHandler
from calotype.serving.server import run
from calotype.serving.settings import ServiceSettings
from calotype.workspace.location import Location

_MOST_CONNECTIONS: Final = 4096
_MOST_HELD_BYTES: Final = 1 << 30
_LOOK_EVERY_S: Final = 1.0
_ALONE_S: Final = 60.0


class FrontDoor:
    """The front door in the running event loop.

    Args:
        location: of the workspace.
        lock: its lock file, held.
        listener: accepts connections; None: an own one by the routes.
    """

    def __init__(
        self, location: Location, lock: locks.Held, listener: socket.socket | None
    ) -> None:
        self._layout = Layout.of(location)
        self._lock = lock
        self._listener = listener
        self._journal = Journal(with_requests=False)
        self._table = DoorTable()
        self._tokens = TokenEndpoint(location)
        settings = ServiceSettings(
            name="front-door",
            max_connections=_MOST_CONNECTIONS,
            max_total_body_bytes=_MOST_HELD_BYTES,
        )
        self._guard = Guard(settings)
        self._app = DoorApp(self._table, self._tokens, self._guard.meter, self._journal)
        self._passages = Passages(self._table, self._journal, max_held_bytes=_MOST_HELD_BYTES)
        self._server: DoorServer | None = None
        self._commands: asyncio.Server | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._told = asyncio.Event()
        self._changing = asyncio.Lock()
        self._started_at = time.time()

    async def run(self) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told.set)
        handler = JournalHandler(self._journal)
        logging.getLogger("calotype").addHandler(handler)
        self._journal.write("starting", pid=os.getpid())
        watchers: list[asyncio.Task[None]] = []
        try:
            self._commands = await self._listen_to_keeper()
            await self._follow_routes()
            watchers = [loop.create_task(self._watch_keeper())]
            await self._told.wait()
        finally:
            for watcher in watchers:
                watcher.cancel()
            if self._commands is not None:
                self._commands.close()
            await self._end()
            logging.getLogger("calotype").removeHandler(handler)
            self._journal.close()

    async def _listen_to_keeper(self) -> asyncio.Server:
        return await control.listen(
            self._layout.front_door_socket,
            {
                "ping": self._on_ping,
                "routes": self._on_routes,
                "counts": self._on_counts,
                "listener": self._on_listener,
            },
            log="front-door.log",
        )

    async def _keep_socket(self) -> None:
        """Listen anew when somebody has cleaned up the sockets of living processes."""
        if self._commands is not None and not self._layout.front_door_socket.exists():
            self._commands.close()
            self._commands = await self._listen_to_keeper()

    async def _end(self) -> None:
        self._journal.write("stopping")
        if self._server is not None:
            await self._server.close()
        await asyncio.gather(*self._leaving)
        self._table.close()
        self._tokens.close()
        self._layout.front_door_socket.unlink(missing_ok=True)
        socket_folder.leave(self._layout.sockets)
        self._journal.write("stopped")

    async def _follow_routes(self) -> None:
        """Pass on what the file says now, and listen where it says.

        Raises:
            CalotypeError: the file, the address or the certificate cannot be used; all stays as it
                was, beside the services.
        """
        async with self._changing:
            routes = Routes.read(self._layout.routes)
            await self._table.change(routes)
            self._guard.settings = self._guard.settings.model_copy(
                update={"max_body_bytes": max(self._table.max_body_bytes, 1)}
            )
            if self._server is None or not self._server.suits(routes):
                await self._listen(routes)

    async def _listen(self, routes: Routes) -> None:
        before = self._server
        fresh = DoorServer(routes, self._guard, self._passages, self._app, journal=self._journal)
        listener, self._listener = self._listener, None
        if before is not None and before.is_at(routes):
            listener = before.give_listener()
            await before.stop_listening()  # who comes now waits until the next server accepts
        elif before is not None and before.port == routes.port:
            await before.stop_listening()  # the one address may be a part of the other
            before.let_go()
        try:
            await fresh.start(listener)
        except errors.CannotListen:
            if before is not None and before.listener is None and not before.is_at(routes):
                await self._listen(before.routes)  # again where it was
            raise
        self._server = fresh
        self._app.connections = lambda: fresh.connections
        self._lock.say(
            {
                "host": routes.host,
                "port": fresh.port,
                "tls": bool(routes.tls_certificate),
                "uri": _uri(routes, fresh.port),
                "state": "ready",
                "started_at": self._started_at,
            }
        )
        self._journal.write("ready", host=routes.host, port=fresh.port)
        if before is not None:
            # Its callers may take their time, and the keeper waits for the new routes.
            leaving = asyncio.get_running_loop().create_task(before.close())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _on_ping(self, _command: dict[str, Any]) -> dict[str, Any]:
        return {"pid": os.getpid()}

    async def _on_routes(self, _command: dict[str, Any]) -> dict[str, Any]:
        await self._follow_routes()
        return {
            "waiting_for": {
                f"{version.service}/{version.name}/{name}": link.why_not
                for version in self._table.versions()
                for name, link in version.links.items()
                if not link.is_ready
            }
        }

    async def _on_counts(self, _command: dict[str, Any]) -> dict[str, Any]:
        services: dict[str, dict[str, Any]] = {}
        for version in self._table.versions():
            services.setdefault(version.service, {})[version.name] = version.to_document()
        return {"pid": os.getpid(), "services": services}

    async def _on_listener(self, _command: dict[str, Any]) -> dict[str, Any]:
        listener = self._server.listener if self._server is not None else None
        return {control.DESCRIPTORS: [listener.fileno()] if listener is not None else []}

    async def _watch_keeper(self) -> None:
        """End when nobody keeps the services any more."""
        seen_s = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            with contextlib.suppress(errors.CalotypeError, OSError):  # the next look tries again
                await self._keep_socket()
            if locks.is_held(self._layout.keeper_lock):
                seen_s = time.monotonic()
            elif time.monotonic() - seen_s > _ALONE_S:
                self._journal.write("no keeper for a minute", level="error")
                self._told.set()
                return


def _uri(routes: Routes, port: int) -> str:
    facts = {"host": routes.host, "port": port}
    certificate = {"tls_certificate": routes.tls_certificate, "tls_key": routes.tls_key}
    return door_uris({**facts, **certificate}).base


def main() -> None:
    """Be the front door of the workspace in the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="calotype.hosting.front_door")
    parser.add_argument("root", type=Path)
    parser.add_argument("--listener", type=int, default=-1)
    arguments = parser.parse_args()
    location = Location.read(arguments.root)
    lock = locks.Held.take(Layout.of(location).front_door_lock)
    if lock is None:
        sys.exit("Another process is the front door of this workspace.")
    lock.say({"state": "starting"})  # in place of what the one before has said
    given = arguments.listener
    listener = socket.socket(fileno=given) if given >= 0 else None

    async def serve() -> None:
        await FrontDoor(location, lock, listener).run()

    try:
        run(serve)
    except errors.CalotypeError as error:
        sys.exit(str(error))
    except Exception:  # noqa: BLE001 - the last word of a process that nobody looks at
        sys.exit(traceback.format_exc())
    finally:
        lock.release()


if __name__ == "__main__":
    main()
