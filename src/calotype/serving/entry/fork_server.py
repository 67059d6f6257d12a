"""A process that imports a script once and forks its workers from there.

Forked workers share the memory of what was imported and start as fast as `init` allows. The process
that speaks HTTP never imports the script; it asks this one for workers over a control socket, one
JSON object a line:

    {"script": …}              the first line: what to import, here or (in_workers) in each worker
    {"fork": number}           a worker, with its end of a socket pair
    {"kill": pid}              end a worker that hangs
    <- {"imported": true} or {"failed": message, "trace": …} or {"has_threads": true}
    <- {"forked": number, "pid": pid}, {"died": pid, "code": …, "signal": …, "peak_bytes": …}

Threads do not survive a fork, and what they were to do is waited for in vain. When a script has
started some while it was imported, this process becomes a new one without them, is given the first
line again, and its workers import the script for themselves.

It ends, and its workers with it, when the control socket closes.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from calotype.errors import CalotypeError, ScriptFailed
from calotype.serving.entry.printing import Printing
from calotype.serving.entry.script import EntryScript

_FAREWELL_S: Final = 2.0  # for a worker's own exit handlers
_MOST_DESCRIPTORS: Final = 64
_VANISHING_S: Final = 0.02  # until the system forgets a thread that has ended
_REPLACED_THREADS: Final = ("jemalloc_bg_thd",)  # which their library starts again in a child
INIT_FAILED: Final = 3
"""Exit code of a worker that has told why it cannot work."""

CONTROL_DESCRIPTOR: Final = "CALOTYPE_CONTROL_FD"

ChildMain = Callable[[socket.socket, EntryScript, dict[str, Any], int], None]


def main() -> None:
    """Serve the control socket whose number the environment holds."""
    origin = _Origin(dict(os.environ), os.getcwd())
    os.dup2(2, 1)  # what native code prints belongs into the log
    control = socket.socket(fileno=int(os.environ.pop(CONTROL_DESCRIPTOR)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ForkServer(control, origin).run()


@dataclass(frozen=True, slots=True)
class _Origin:
    """What this process began with; a script may change it."""

    environment: dict[str, str]
    directory: str


class ForkServer:
    """Forks workers on demand and tells how they ended."""

    def __init__(self, control: socket.socket, origin: _Origin) -> None:
        self._control = control
        self._origin = origin
        self._script: EntryScript | None = None
        self._configuration: dict[str, Any] = {}
        self._children: set[int] = set()
        self._descriptors: list[int] = []
        self._unread = b""
        self._bell, self._rung = socket.socketpair()
        self._bell.setblocking(False)
        self._rung.setblocking(False)

    def run(self) -> None:
        """Obey until the other end closes, then end every worker."""
        signal.signal(signal.SIGCHLD, _only_wake_up)
        signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._rung, selectors.EVENT_READ)
            is_open = True
            while is_open:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._rung in ready:
                    self._rung.recv(4096)
                    self._reap()
                if self._control in ready:
                    is_open = self._obey()
        self._end_all()

    def _obey(self) -> bool:
        """Do what has arrived; tell whether the other end is still there."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 65_536, _MOST_DESCRIPTORS)
        except ConnectionError:
            return False
        self._descriptors += descriptors
        if not data:
            return False
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if "script" in command:
                self._import(command)
            elif "fork" in command:
                self._fork(command["fork"])
            elif command.get("kill") in self._children:
                os.kill(command["kill"], signal.SIGKILL)
        return True

    def _import(self, configuration: dict[str, Any]) -> None:
        # What all workers inherit: the listening socket, and the counters.
        shared = [self._descriptors.pop(0) for _ in range(configuration["shared"])]
        self._configuration = {**configuration, "descriptors": shared}
        # Elsewhere nobody tells how many threads native code has started.
        if configuration["in_workers"] or sys.platform != "linux":
            self._tell(imported=True)
            return
        try:
            self._script = _loaded(configuration)
        except ScriptFailed as failure:
            self._tell(failed=str(failure), trace=failure.trace)
            return
        if _loses_threads():
            self._begin_anew()
        self._tell(imported=True)

    def _begin_anew(self) -> None:
        """Be as before the import, in the same process; never returns."""
        for descriptor in self._configuration["descriptors"]:
            os.close(descriptor)
        sys.stdout.flush()
        sys.stderr.flush()
        self._tell(has_threads=True)
        os.chdir(self._origin.directory)
        os.set_inheritable(self._control.fileno(), True)
        command = [sys.executable, "-m", "calotype.serving.entry.fork_server"]
        os.execve(sys.executable, command, self._origin.environment)  # noqa: S606 - no shell wanted

    def _fork(self, number: int) -> None:
        connection = socket.socket(fileno=self._descriptors.pop(0))
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become_worker(connection, number)
        connection.close()
        self._children.add(pid)
        self._tell(forked=number, pid=pid)

    def _become_worker(self, connection: socket.socket, number: int) -> None:
        """Be a worker from now on; never returns."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._control, self._bell, self._rung):
            inherited.close()
        code = 1
        try:
            script = self._script or _loaded_for(connection, self._configuration)
            child_main(self._configuration)(connection, script, self._configuration, number)
            code = 0
        except CalotypeError:
            code = INIT_FAILED
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except ConnectionError:
            pass  # the server has gone
        except BaseException:  # noqa: BLE001 - nobody else would tell
            traceback.print_exc()
        finally:
            _leave(code)

    def _reap(self) -> None:
        for pid in list(self._children):
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                self._children.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                self._tell(
                    died=pid,
                    code=code if code >= 0 else None,
                    signal=_signal_name(-code) if code < 0 else None,
                    peak_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
                )

    def _tell(self, **facts: Any) -> None:
        with contextlib.suppress(OSError):  # the other end has gone: `run` ends next
            self._control.sendall(json.dumps(facts).encode() + b"\n")

    def _end_all(self) -> None:
        """Give workers, whose sockets have closed too, a moment, then kill what is left."""
        deadline_s = time.monotonic() + _FAREWELL_S
        while self._children and time.monotonic() < deadline_s:
            self._reap()
            time.sleep(0.01)
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:  # who waits for this process counts on them to be gone
            os.waitpid(pid, 0)


def _loaded(configuration: dict[str, Any]) -> EntryScript:
    """Import the script.

    Raises:
        ScriptFailed: it cannot be.
    """
    return EntryScript.load(
        Path(configuration["script"]),
        source_directory=_path(configuration["source_directory"]),
        model_directory=_path(configuration["model_directory"]),
        max_json_depth=configuration["max_json_depth"],
        max_multipart_parts=configuration["max_multipart_parts"],
        printing=Printing(format=configuration["log_format"]),
    )


def _loaded_for(connection: socket.socket, configuration: dict[str, Any]) -> EntryScript:
    """Import the script in a worker.

    Raises:
        ScriptFailed: it cannot be; the other end has been told.
    """
    from calotype.serving.entry.worker import telling_failures

    with telling_failures(connection):
        return _loaded(configuration)


def _loses_threads() -> bool:
    """Return whether a fork would lose threads of this process.

    Libraries that are made for it (OpenBLAS) end theirs before a fork and start them again when
    needed; so the count is true after one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # this one child does nothing
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    deadline_s = time.monotonic() + _VANISHING_S
    while (found := _threads_lost_by_forks()) and time.monotonic() < deadline_s:
        time.sleep(0.001)
    return found


def _threads_lost_by_forks() -> bool:
    names: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended just now
            names.append((task / "comm").read_text(errors="replace").strip())
    return sum(name not in _REPLACED_THREADS for name in names) > 1


def child_main(configuration: dict[str, Any]) -> ChildMain:
    """Return what a worker does: requests from the server, or HTTP by itself."""
    if configuration["isolation"] == "none":
        from calotype.serving.entry.http_worker import serve_http

        return serve_http
    return _work


def _work(
    connection: socket.socket, script: EntryScript, configuration: dict[str, Any], number: int
) -> None:
    from calotype.serving.entry.claims import Claims
    from calotype.serving.entry.worker import work

    claims = Claims(configuration["descriptors"][0])
    work(connection, script, timeout_ms=configuration["timeout_ms"], claims=claims)


def _leave(code: int) -> None:
    """End the process like a program that returns, but never back into the fork server's loop."""
    import atexit

    try:
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _only_wake_up(_number: int, _frame: FrameType | None) -> None:
    """A signal without any handler rings no bell."""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have none
        return f"signal {number}"


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


if __name__ == "__main__":
    main()
