"""One replica as the keeper sees it, started by it or found running."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Literal

from calotype import errors
from calotype.hosting import control, locks, processes
from calotype.hosting.launching import start_replica
from calotype.hosting.layout import Layout
from calotype.hosting.replica_plan import ReplicaPlan
from calotype.serving.front import FrontSettings

Phase = Literal["starting", "ready", "retiring", "ended"]
Key = tuple[int, str]
"""Revision and shape; see `plan_making.shape_of`."""

_ASK_AGAIN_S: Final = 0.03
_RETIRES_WITHIN_S: Final = 45.0  # drain_timeout_s, the grace of idle callers, and some
_REMAINS_AFTER_S: Final = 3.0  # its workers end by themselves within two


class KeptReplica:
    """A process that answers for one revision.

    Attributes:
        name, version, key: what it is.
        phase: where it is in its life.
        is_answering, is_serving: what the last look at its health found.
        is_accepting: whether new callers may reach it.
        reason: why it ended; empty while it lives, or when it was told to.
        trace: of its script, when `reason` is its failure.
        is_refused: whether its service itself could not be started: the next try will fail too.
        access: digest of the keys and rules that it has said to have; see `KeptAccess`.
    """

    def __init__(
        self, name: str, version: str, key: Key, layout: Layout, service: str,
        changed: Callable[[], None], before_ready: Callable[[KeptReplica], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.name, self.version, self.key = name, version, key
        self.phase: Phase = "starting"
        self.is_answering = True
        self.is_serving = False
        self.is_accepting = False
        self.reason = ""
        self.trace = ""
        self.is_refused = False
        self.access = ""
        self.pid = 0
        self.port = 0
        self.in_flight = 0
        self.ready_s = 0.0
        self.silent_since_s = 0.0
        self.looked_s = 0.0
        self.wire = str(layout.replica_wire(name))
        self.log = str(layout.logs(service) / f"{version}-{key[0]}-{name}.log")
        self._lock = layout.replica_lock(service, name)
        self._control = layout.replica_socket(name)
        self._changed, self._before_ready = changed, before_ready
        self._watch: processes.Watch | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._killed_because = ""

    @property
    def is_live(self) -> bool:
        """Whether it serves, or is about to."""
        return self.phase in ("starting", "ready")

    # Beginnings

    async def start(self, plan: ReplicaPlan, *, within_s: float) -> None:
        """Start the process.

        Raises:
            OSError: it cannot be started.
        """
        descriptors = (plan.listener,) if plan.listener >= 0 else ()
        self.port = plan.front.service.port
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.to_thread(
            start_replica, plan.to_document(), Path(plan.log), name=self.name,
            descriptors=descriptors,
        )  # fmt: skip
        self.pid = self._process.pid
        self._watch = processes.Watch(self.pid, self._ended, self._process)
        if self.phase != "starting":  # it is not wanted any more
            self._watch.kill()
            return
        self._do(self._await_ready(within_s))

    def adopt(self, facts: dict[str, Any], *, within_s: float) -> None:
        """Take over a process that another keeper started."""
        self.wire = str(facts.get("wire", self.wire))
        self._control = Path(facts.get("control", self._control))
        self.pid, self.port = int(facts["pid"]), int(facts.get("port", 0))
        self._watch = processes.Watch(self.pid, self._ended)
        if facts.get("state") == "ready":
            self._be_ready(facts)
        elif facts.get("state") == "retiring":
            self._leave()
        else:
            self._do(self._await_ready(within_s))

    async def _await_ready(self, within_s: float) -> None:
        deadline_s = time.monotonic() + within_s
        while self.phase == "starting":
            left_s = deadline_s - time.monotonic()
            try:
                facts = await control.call(self._control, "wait", timeout_s=max(left_s, 0.1))
            except control.NobodyThere:
                if time.monotonic() > deadline_s:
                    self.kill(f"it was not ready within {within_s:g} s")
                    return
                await asyncio.sleep(_ASK_AGAIN_S)
                continue
            if facts["state"] == "ready":
                await self._before_ready(self)
                if self.phase == "starting":
                    self._be_ready(facts)
            elif facts["state"] == "failed":
                self._fail(facts)
            return

    def _be_ready(self, facts: dict[str, Any]) -> None:
        self.phase, self.is_serving = "ready", True
        self.is_accepting = bool(facts.get("is_accepting"))
        self.ready_s = self.looked_s = time.monotonic()
        self._changed()

    def _fail(self, facts: dict[str, Any]) -> None:
        self.reason = str(facts.get("message", "it could not be started"))
        self.trace = str(facts.get("trace", ""))
        self.is_refused = bool(facts.get("is_final", True))

    # Orders

    async def accept(self) -> None:
        """Let it take connections, if it has a port of its own."""
        if not self.is_accepting:
            self.is_accepting = True
            try:
                await control.call(self._control, "accept")
            except errors.CalotypeError:
                self.is_accepting = False

    async def change_access(self, front: FrontSettings) -> bool:
        """Give it other keys; return whether it has them."""
        with contextlib.suppress(errors.CalotypeError):
            await control.call(self._control, "access", timeout_s=2.0, front=front.to_document())
            return True
        return False

    async def reload(self) -> None:
        """Let it run its script anew.

        Raises:
            ScriptFailed: the script as it is now cannot be used.
            NobodyThere: it has ended.
        """
        await control.call(self._control, "reload", timeout_s=120)

    def listener(self) -> socket.socket | None:
        """Return its listening socket, if it has one."""
        with contextlib.suppress(control.NobodyThere, OSError):
            for descriptor in control.fetch_descriptors(self._control, "listener", timeout_s=2):
                return socket.socket(fileno=descriptor)
        return None

    def retire(self, *, is_replaced: bool) -> None:
        """Let it answer what it has accepted, and end.

        Args:
            is_replaced: others accept in its place, so its callers' next requests may come first.
        """
        if self.is_live:
            was_ready = self.phase == "ready"
            self._leave()
            if was_ready:
                self._do(self._tell_retire(is_replaced))
            else:
                self.kill("")

    def _leave(self) -> None:
        self.phase, self.is_serving = "retiring", False
        if self._watch is not None:
            self._watch.family.look()
        loop = asyncio.get_running_loop()
        loop.call_later(_RETIRES_WITHIN_S, self.kill, "")

    async def _tell_retire(self, is_replaced: bool) -> None:
        try:
            await control.call(self._control, "retire", timeout_s=2.0, is_replaced=is_replaced)
        except errors.CalotypeError:
            self.kill("")
        else:
            self.is_accepting = False
            self._changed()

    def kill(self, because: str) -> None:
        """End it now.

        Args:
            because: told as the reason of its end; empty when it is not wanted any more.
        """
        self._killed_because = self._killed_because or because
        if self.phase != "ended" and self._watch is not None:
            self._watch.kill()
        elif self._watch is None:  # it has not been started yet
            self.phase = "ended"
            self._changed()

    def give_up(self, reason: str, trace: str = "", *, is_refused: bool = False) -> None:
        """Count it as ended: it could not even be started."""
        self.phase, self.reason, self.trace, self.is_refused = "ended", reason, trace, is_refused
        self._changed()

    async def look(self, timeout_s: float) -> None:
        """Ask how it does."""
        self.looked_s = time.monotonic()
        before = self.is_answering, self.is_serving
        try:
            found = await control.call(self._control, "health", timeout_s=timeout_s)
        except errors.CalotypeError:
            self.is_answering = self.is_serving = False
            self.silent_since_s = self.silent_since_s or self.looked_s
        else:
            self.is_answering, self.silent_since_s = True, 0.0
            self.is_serving = found["state"] == "ready"
            self.in_flight = found["in_flight"]
            if self._watch is not None:
                await asyncio.to_thread(self._watch.family.look)
        if (self.is_answering, self.is_serving) != before:
            self._changed()

    # The end

    def _ended(self) -> None:
        was = self.phase
        self.phase, self.is_serving, self.is_accepting = "ended", False, False
        facts = locks.facts(self._lock)
        if facts.get("state") == "failed" and was == "starting":
            self._fail(facts)
        elif was in ("starting", "ready"):
            self.reason = self.reason or self._how_it_ended()
        for task in self._tasks:
            task.cancel()
        for path in (self._lock, self._control, Path(self.wire)):
            path.unlink(missing_ok=True)
        loop, family = asyncio.get_running_loop(), self._watch.family if self._watch else None
        loop.call_later(  # one that left has ended its workers, and its keeper may be leaving too
            0 if was == "retiring" else _REMAINS_AFTER_S,
            lambda: loop.run_in_executor(None, processes.kill_remains, self.name, family),
        )
        self._changed()

    def _how_it_ended(self) -> str:
        if self._killed_because:
            return self._killed_because
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return "its process ended"
        if code < 0:
            return f"its process was ended by signal {-code}"
        return f"its process ended with exit code {code}"

    def _do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Look at it no more; it goes on."""
        for task in self._tasks:
            task.cancel()
        if self._watch is not None:
            self._watch.close()


def found_replicas(layout: Layout, service: str) -> dict[str, dict[str, Any]]:
    """Return the facts of the living replicas of a service, by name; remove what is left of others.

    One that has just taken its lock has said nothing yet, and is left for the next look.
    """
    folder = layout.replica_lock(service, "x").parent
    living: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.lock")):
        if locks.is_held(path):
            if (said := locks.facts(path)).get("replica"):
                living[path.stem] = said
        elif _is_left(path):
            path.unlink(missing_ok=True)
            layout.replica_socket(path.stem).unlink(missing_ok=True)
            layout.replica_wire(path.stem).unlink(missing_ok=True)
    return living


def _is_left(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > 1.0
    except FileNotFoundError:  # somebody else has just removed it
        return False
