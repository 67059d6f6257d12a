"""The front door as the keeper sees it: what it passes on, and that it runs when it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.hosting import control, door_address
from calotype.hosting.door_process import DoorProcess
from calotype.hosting.door_watch import PAUSE_S, DoorWatch
from calotype.hosting.layout import Layout
from calotype.hosting.rounds import Rounds
from calotype.hosting.route_making import routes_of
from calotype.hosting.routes import Routes, ServiceRoute
from calotype.hosting.uris import FACT, Uris, door_uris, said_by_door

if TYPE_CHECKING:
    from calotype.hosting.kept_service import KeptService
    from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_READY_WITHIN_S: Final = 40.0
_CONFIRMS_WITHIN_S: Final = 10.0
EVERYTHING: Final = frozenset({"*"})
"""In place of names of replicas: the front door has not confirmed anything."""


class KeptDoor:
    """The front door of a workspace.

    Args:
        workspace: whose.
        layout: its places.
        services: what it passes requests on to.
        changed: lets the keeper look soon.

    Attributes:
        is_ready: whether it accepts connections, and answers.
        uris: where; empty while nobody of ours listens there.
        error: why it cannot start where it has to; None while it can.
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
        self._process = DoorProcess(workspace.place.root, layout, self._notice)
        self._watch = DoorWatch(self._process, layout.front_door_socket, self._notice)
        self._looks: Rounds | None = None
        self._is_wanted: bool | None = None  # not looked at yet
        self._decided = asyncio.Event()
        self._inherited: Mapping[str, ServiceRoute] = {}
        self._unlinked: set[str] = set()
        self.tell_change = changed
        self._cname = ""
        self._noticing: asyncio.Task[None] | None = None
        self.is_ready = False
        self.error: errors.CalotypeError | None = None
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
            self._looks = Rounds(
                "the front door", self._watch.look,
                rest_s=lambda: PAUSE_S, is_over=lambda: False,
            )  # fmt: skip
        self._is_wanted = bool(is_up) or (is_up is None and self._has_cluster())
        self._decided.set()
        if not self._is_wanted:
            self._stumble(None)
            if self._process.is_running:
                await self._stop()
            else:
                self._process.let_go()
            return
        if not self._process.is_running:
            await self._start()
        elif not self._process.is_watched:
            await self._adopt()
        elif not self._process.port:  # it was too busy to give us its socket
            await self._process.fetch_listener()
        self._look()

    def _inherit(self) -> None:
        """Keep what another keeper wrote, for the versions that have not been looked at yet."""
        if self._process.is_running:
            unreadable = (errors.CalotypeError, OSError, ValueError, TypeError, KeyError)
            with contextlib.suppress(*unreadable):
                self._inherited = Routes.read(self._layout.routes).services

    async def _adopt(self) -> None:
        """Take over one that another keeper started."""
        pid = self._process.facts.get("pid")
        if isinstance(pid, int):
            self._stumble(None)
            self._facts = await self._stored()
            await self._process.adopt(pid)
            await self.publish(anew=True)

    def _notice(self) -> None:
        self._look()
        self.tell_change()

    def _look(self) -> None:
        """Find out where callers reach it, and tell the services when that begins or ceases."""
        facts = self._process.facts
        is_there = facts.get("state") == "ready"
        if is_there:
            self.uris = said_by_door(facts, self._cname)
        elif not self._process.port:  # somebody else may listen there by now
            self.uris = Uris()
        is_ready = is_there and self._watch.is_answering
        if is_ready != self.is_ready:
            self.is_ready = is_ready
            self._wake()

    def _wake(self) -> None:
        for kept in self._services.values():
            kept.rounds.wake()

    def _has_cluster(self) -> bool:
        return any(
            kept.target == "cluster" and kept.record.now is not None
            for kept in self._services.values()
        )

    async def _start(self) -> None:
        if not self._process.is_due:
            return
        facts = await self._stored()
        try:
            facts = await self._listen(facts)
        except errors.CalotypeError as error:
            self._process.let_go()
            self._stumble(door_address.stuck(error))
            return
        self._stumble(None)
        await self._store(facts)
        await self.publish(anew=True)
        await self._process.start()
        self._unlinked = set(EVERYTHING)  # until it says whom it reaches
        self._noticing = asyncio.get_running_loop().create_task(self.wait_ready())

    async def _listen(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Have the socket for the next one to start; return the facts with its port."""
        await asyncio.to_thread(door_address.check_certificate, facts)
        address = facts["host"], facts["port"]
        if address != (self._facts.get("host"), self._process.port):
            self._process.listen(facts)
        facts = {**facts, "port": self._process.port}
        self.uris = door_uris(facts)
        return facts

    def _stumble(self, error: errors.CalotypeError | None) -> None:
        """Keep in mind why it cannot start, or that it can."""
        if str(error) != str(self.error):
            self._wake()
            if error is not None:
                logger.warning("front door: %s", error)
        self.error = error

    @property
    def is_known(self) -> bool:
        """Whether it has been started by us or adopted, so that it can be told routes."""
        return bool(self._facts)

    async def learn(self) -> None:
        """Know where it is before anybody asks, if it runs."""
        await self._stored()
        self._look()

    async def _stored(self) -> dict[str, Any]:
        known = await asyncio.to_thread(self._workspace.fact, FACT) or {}
        self._cname = str(known.get("cname", ""))
        return door_address.settled(known, {})

    async def _store(self, facts: dict[str, Any]) -> None:
        """Write down where it is: it stays there, so that URIs stay."""
        if facts != await self._stored():
            await asyncio.to_thread(self._workspace.set_fact, FACT, facts)
            self._cname = str(facts.get("cname", ""))
        self._facts = facts

    async def move(self, wish: Mapping[str, Any]) -> None:
        """Have it elsewhere or with another certificate, from now on and for the next time.

        Raises:
            CalotypeError: it cannot be; all stays as it was, and nothing is written down.
        """
        if not wish:
            return
        await self._decided.wait()
        if self._process.is_alive:
            await self.wait_ready()
        async with self._keeping:
            known = await self._stored()
            facts = door_address.settled(known, wish)
            self._facts = self._facts or known
            try:
                if self._process.is_running:
                    await asyncio.to_thread(door_address.check_certificate, facts)
                    await self._move_running(facts)
                elif facts != known:
                    facts = await self._listen(facts)
            except errors.CalotypeError as error:
                raise door_address.refused(error) from error
            if facts != known:
                await self._store(facts)
                self._stumble(None)
            self._look()

    async def _move_running(self, facts: dict[str, Any]) -> None:
        """Let the one that runs listen elsewhere, and believe that when it says so."""
        async with self._publishing:
            self._process.let_go()  # it may want the same port of another address
            try:
                await self._write(self._routes(facts))
                await self._call()
                self._facts = facts
            except errors.CalotypeError:
                await self._write(self._routes(self._facts))
                raise
            finally:
                self._written = None  # it is told once more
                await self._process.fetch_listener()

    async def close(self) -> None:
        """Look after it no more; it goes on."""
        if self._looks is not None:
            await self._looks.close()

    async def stop(self) -> None:
        """Let it answer what it has accepted, and end."""
        async with self._keeping:  # what is started meanwhile would be taken for the same one
            await self._stop()

    async def _stop(self) -> None:
        await self._process.stop()
        self._look()

    async def wait_ready(self) -> None:
        """Wait until it accepts connections, or has had time enough."""
        deadline_s = time.monotonic() + _READY_WITHIN_S
        while self._is_wanted and self.error is None and time.monotonic() < deadline_s:
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
            if not self._facts:  # it has no address yet, or has not been adopted yet
                return self._silence()
            routes = self._routes(self._facts)
            if routes == self._written and not self._unlinked and not anew:
                return set()
            if routes != self._written or anew:
                await self._write(routes)
            is_heard = self._watch.is_answering
            self._unlinked = await self._tell_routes() if is_heard else self._silence()
            return self._unlinked

    async def _tell_routes(self) -> set[str]:
        try:
            said = await self._call()
        except control.NobodyThere:
            return self._silence()
        except errors.CalotypeError as error:
            logger.warning("the front door does not take the new routes: %s", error)
            return set(EVERYTHING)
        return {str(name).rpartition("/")[2] for name in said["waiting_for"]}

    def _silence(self) -> set[str]:
        """Return what it does not reach when it has said nothing.

        One that is still to take its lock reads the routes afterwards.
        """
        return set(EVERYTHING) if self._process.is_alive else set()

    async def _write(self, routes: Routes) -> None:
        await asyncio.to_thread(routes.write, self._layout.routes)
        self._written = routes

    def _call(self) -> Awaitable[dict[str, Any]]:
        place = self._layout.front_door_socket
        return control.call(place, "routes", timeout_s=_CONFIRMS_WITHIN_S)

    def _routes(self, facts: dict[str, Any]) -> Routes:
        return routes_of(facts, self._services, self._inherited)

    def status(self) -> dict[str, Any] | None:
        """Return where it is, or why it is nowhere; None when it does not have to run."""
        if not self._process.is_running and self.error is None:
            return None
        error = str(self.error or "")
        return {"pid": self._process.facts.get("pid"), "uri": self.uris.base, "error": error}
