"""The front door as the keeper sees it: what it passes on, and that it runs when it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.hosting import control
from calotype.hosting.door_process import DoorProcess
from calotype.hosting.layout import Layout
from calotype.hosting.plan_making import token_keys
from calotype.hosting.routes import Routes, ServiceRoute, VersionRoute
from calotype.hosting.uris import Uris, door_uris
from calotype.serving.server import listen

if TYPE_CHECKING:
    from calotype.hosting.kept_service import KeptService
    from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

FACT: Final = "front_door"
FIRST_PORT: Final = 8780
_READY_WITHIN_S: Final = 20.0
_CONFIRMS_WITHIN_S: Final = 10.0
EVERYTHING: Final = frozenset({"*"})
"""In place of names of replicas: the front door has not confirmed anything."""


class KeptDoor:
    """The front door of a workspace.

    Args:
        workspace: whose.
        layout: its places.
        services: what it passes requests on to.
        changed: told when it has ended.

    Attributes:
        is_ready: whether it accepts connections.
        uris: where.
    """

    def __init__(
        self,
        workspace: Workspace,
        layout: Layout,
        services: Mapping[str, KeptService],
        changed: Callable[[], None],
    ) -> None:
        self._workspace = workspace
        self._layout = layout
        self._services = services
        self._written: Routes | None = None
        self._facts: dict[str, Any] = {}
        self._process = DoorProcess(workspace.place.root, layout, self._ended)
        self._is_wanted: bool | None = None  # not looked at yet
        self._decided = asyncio.Event()
        self._inherited: Mapping[str, ServiceRoute] = {}
        self._unlinked: set[str] = set()
        self._changed = changed
        self.is_ready = False
        self._keeping = asyncio.Lock()
        self._publishing = asyncio.Lock()
        self.uris = Uris()

    async def keep(self, *, is_up: bool | None) -> None:
        """Start it when it is wanted and does not run; end it when it is not wanted."""
        async with self._keeping:
            await self._keep(is_up)

    async def _keep(self, is_up: bool | None) -> None:
        if self._is_wanted is None:
            self._inherit()
        self._is_wanted = bool(is_up) or (is_up is None and self._has_cluster())
        self._decided.set()
        if not self._is_wanted:
            if self._process.is_running:
                await self.stop()
            return
        if not self._process.is_running:
            await self._start()
        elif not self._process.is_watched:
            await self._adopt()
        self._look()

    def _inherit(self) -> None:
        """Keep what another keeper wrote, for the versions that have not been looked at yet."""
        if self._process.is_running:
            with contextlib.suppress(
                errors.CalotypeError, OSError, ValueError, TypeError, KeyError
            ):
                self._inherited = Routes.read(self._layout.routes).services

    async def _adopt(self) -> None:
        """Take over one that another keeper started."""
        pid = self._process.facts.get("pid")
        if isinstance(pid, int):
            await self._choose_address()
            await self._process.adopt(pid)
            await self.publish(anew=True)

    def _ended(self) -> None:
        self._look()
        self._changed()

    def _look(self) -> None:
        """Tell the services when callers begin or cease to reach it."""
        is_ready = self._process.facts.get("state") == "ready"
        if is_ready != self.is_ready:
            self.is_ready = is_ready
            for kept in self._services.values():
                kept.rounds.wake()

    def _has_cluster(self) -> bool:
        return any(
            kept.target == "cluster" and kept.record.now is not None
            for kept in self._services.values()
        )

    async def _start(self) -> None:
        if self._process.is_due:
            await self._choose_address()
            await self.publish(anew=True)
            await self._process.start(self._facts["host"], self._facts["port"])
            self._waiting = asyncio.get_running_loop().create_task(self.wait_ready())

    async def learn(self) -> None:
        """Know where it is before anybody asks, if that has been chosen."""
        facts = await asyncio.to_thread(self._workspace.fact, FACT) or {}
        if facts.get("port"):
            self.uris = door_uris(facts)

    async def _choose_address(self) -> None:
        """Choose host and port once; they stay, so that URIs stay."""
        facts = await asyncio.to_thread(self._workspace.fact, FACT) or {}
        if not facts.get("port"):
            facts = {
                **facts,
                "host": facts.get("host") or "127.0.0.1",
                "port": _free_port(facts.get("host") or "127.0.0.1"),
                "tls_certificate": facts.get("tls_certificate", ""),
                "tls_key": facts.get("tls_key", ""),
            }
            await asyncio.to_thread(self._workspace.set_fact, FACT, facts)
        self._facts = facts
        self.uris = door_uris(facts)

    def tell_change(self) -> None:
        """Let the keeper look soon."""
        self._changed()

    async def move(self) -> None:
        """Let it listen where the workspace's fact says now."""
        await self._choose_address()
        await self.publish()
        if self._process.is_running:
            await self._process.fetch_listener()
        else:
            self._process.let_go()

    async def stop(self) -> None:
        """Let it answer what it has accepted, and end."""
        await self._process.stop()
        self._look()

    async def wait_ready(self) -> None:
        """Wait until it accepts connections, or has had time enough."""
        deadline_s = time.monotonic() + _READY_WITHIN_S
        while self._is_wanted and time.monotonic() < deadline_s:
            self._look()
            if self.is_ready:
                return
            await asyncio.sleep(0.03)

    # What it passes on

    async def publish(self, *, anew: bool = False) -> set[str]:
        """Tell it where requests go now, if that has changed.

        Returns:
            The replicas that it does not reach yet; EVERYTHING when it has not even answered.
        """
        await self._decided.wait()
        if not self._is_wanted:
            return set()
        async with self._publishing:
            if not self._facts:
                await self._choose_address()
            routes = self._routes()
            if routes == self._written and not self._unlinked and not anew:
                return set()
            if routes != self._written or anew:
                await asyncio.to_thread(routes.write, self._layout.routes)
                self._written = routes
            self._unlinked = await self._tell_routes()
            return self._unlinked

    async def _tell_routes(self) -> set[str]:
        try:
            said = await control.call(
                self._layout.front_door_socket, "routes", timeout_s=_CONFIRMS_WITHIN_S
            )
        except control.NobodyThere:
            # One that is still to take its lock reads the routes afterwards.
            return set(EVERYTHING) if self._process.is_running else set()
        except errors.CalotypeError as error:
            logger.warning("the front door does not take the new routes: %s", error)
            return set(EVERYTHING)
        return {str(name).rpartition("/")[2] for name in said.get("waiting_for", ())}

    def _routes(self) -> Routes:
        facts = self._facts
        services = {
            name: _route(kept, self._inherited.get(name))
            for name, kept in self._services.items()
            if kept.record.now
        }
        return Routes(
            host=facts["host"],
            port=facts["port"],
            tls_certificate=facts.get("tls_certificate", ""),
            tls_key=facts.get("tls_key", ""),
            tls_exact_1_2=facts.get("tls_exact_1_2", False),
            services={name: route for name, route in services.items() if route is not None},
        )

    def status(self) -> dict[str, Any] | None:
        """Return where it is; None when it does not run."""
        if not self._process.is_running:
            return None
        return {"pid": self._process.facts.get("pid"), "uri": self.uris.base}


def _route(kept: KeptService, inherited: ServiceRoute | None) -> ServiceRoute | None:
    record = kept.record.now
    if record is None or record.desired == "stopped" or not kept.is_wanted:
        return None
    versions: dict[str, VersionRoute] = {}
    for version in record.versions:
        found = kept.versions.get(version.name)
        if found is None or not found.is_known:
            if inherited is not None and version.name in inherited.versions:
                versions[version.name] = inherited.versions[version.name]
            continue
        ready = {one.name: one.wire for one in found.replicas if _is_reached(one, found.serving)}
        versions[version.name] = VersionRoute(
            ready,
            traffic_percent=version.traffic_percent,
            mirror_percent=version.mirror_percent,
            is_default=version.is_default,
        )
    runtime = record.versions[0].wanted.runtime if record.versions else None
    keys = json.loads(token_keys(kept.credentials())) if record.access.auth == "token" else {}
    most_bytes = runtime.max_body_bytes if runtime else 100 << 20
    return ServiceRoute(versions, keys, most_bytes, record.access.cors_origins)


def _is_reached(one: Any, serving: Any) -> bool:
    return one.phase == "ready" and one.is_answering and one.key == serving


def _free_port(host: str) -> int:
    for port in (FIRST_PORT, 0):
        with contextlib.suppress(errors.CannotListen), listen(host, port) as listener:
            return int(listener.getsockname()[1])
    raise errors.CannotListen("expected an address of this machine", where=host, got="another")
