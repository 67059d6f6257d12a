"""One service in the foreground: from what was asked for to a drained end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from calotype import errors
from calotype.serving.entry.fork_client import ForkConfiguration
from calotype.serving.front import Front, FrontSettings, certificate_of
from calotype.serving.journal import Journal, JournalHandler
from calotype.serving.metrics import Meter
from calotype.serving.server import listen

if TYPE_CHECKING:
    from calotype.scoring.precision import PrecisionChoice
    from calotype.serving.service import Service

_LOOK_EVERY_S: Final = 0.5
_FOREIGN: Final = ("__pycache__", "site-packages", "node_modules")
_EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not listened on
_LOOPBACK: Final = ("localhost", "::1")
Kind = Literal["image", "onnx", "script"]
_State = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is to be served, and how.

    Attributes:
        front: name, address, limits, credentials, TLS and log.
        model: an image model, or an ONNX file.
        script: an entry script with its folders; None when there is a model.
        precision, threads, exact_decode, is_calibrated: as for the Scorer, of an image model.
        all_cores_when_alone: load an image model a second time, for requests that are alone.
        reload: run the script anew when a file beside it changes.
    """

    front: FrontSettings
    model: str = ""
    script: ForkConfiguration | None = None
    precision: PrecisionChoice = "auto"
    threads: int | None = None
    exact_decode: bool = False
    is_calibrated: bool = True
    all_cores_when_alone: bool = True
    reload: bool = False

    @property
    def kind(self) -> Kind:
        """Which kind of service this is."""
        if self.script is not None:
            return "script"
        is_onnx = self.model.lower().endswith(".onnx")
        has_description = Path(self.model).with_name("model.json").is_file()
        return "onnx" if is_onnx and not has_description else "image"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running service is found."""

    scoring_uri: str
    swagger_uri: str
    health_uri: str
    metrics_uri: str


class _Running(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class _Reloadable(_Running, Protocol):
    async def reload(self) -> None: ...


async def serve(deployment: Deployment, ready: Callable[[Addresses], Awaitable[None]]) -> None:
    """Serve until SIGTERM, Ctrl-C or the end of `ready`'s patience; answer what was accepted.

    Args:
        deployment: what to serve.
        ready: called once requests are taken; a `StopServing` from it ends the service.

    Raises:
        CalotypeError: the service cannot be started.
    """
    limits = deployment.front.service
    listener = listen(limits.host, limits.port)
    port: int = listener.getsockname()[1]
    front = replace(deployment.front, service=limits.model_copy(update={"port": port}))
    deployment = replace(deployment, front=front)
    journal = Journal(front.log_format, with_requests=front.with_access_log)
    handler = JournalHandler(journal)
    logging.getLogger("calotype").addHandler(handler)
    try:
        await _serve(_runner(deployment, listener, journal), deployment, journal, ready)
    finally:
        logging.getLogger("calotype").removeHandler(handler)
        journal.close()


class StopServing(Exception):
    """Raised by who was told that a service is ready, to end it again."""


async def _serve(
    runner: _Running,
    deployment: Deployment,
    journal: Journal,
    ready: Callable[[Addresses], Awaitable[None]],
) -> None:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _tell, told, number.name)
    journal.write(
        "starting", kind=deployment.kind, pid=os.getpid(), port=deployment.front.service.port
    )
    starting = loop.create_task(runner.start())
    await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    reason = "it could not be started"
    try:
        if starting.done():
            starting.result()
            reason = "an error"
            journal.write("ready")
            await ready(addresses(deployment.front))
            reason = await told
        else:
            reason = told.result()
    except StopServing:
        reason = "it was checked"
    finally:
        journal.write("stopping", reason=reason)
        loop.remove_signal_handler(signal.SIGINT)  # a second Ctrl-C ends it at once
        starting.cancel()
        await asyncio.wait({starting})  # it ends the processes that it has started
        await runner.stop()
        loop.remove_signal_handler(signal.SIGTERM)  # not before: some supervisors send it twice
        journal.write("stopped")


def _tell(told: asyncio.Future[str], reason: str) -> None:
    if not told.done():
        told.set_result(reason)


def addresses(front: FrontSettings) -> Addresses:
    """Return where a service with these settings is found."""
    limits = front.service
    scheme = "https" if front.certificate else "http"
    host = _certified(local_host(limits.host), front)
    host = f"[{host}]" if ":" in host else host
    base = f"{scheme}://{host}:{limits.port}{limits.path_prefix}"
    return Addresses(f"{base}/score", f"{base}/swagger.json", f"{base}/", f"{base}/metrics")


def local_host(host: str) -> str:
    """Return where this machine finds a service that listens on `host`."""
    return "127.0.0.1" if host in _EVERYWHERE else host


def _certified(host: str, front: FrontSettings) -> str:
    """Return a name that callers can verify, when the certificate has one and `host` is ours."""
    certificate = certificate_of(front)
    if certificate is None or host in certificate.names:
        return host
    if not (host.startswith("127.") or host in _LOOPBACK):
        return host
    names = (name for name in certificate.names if not (name.startswith("*") or _is_address(name)))
    return next(names, host)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _runner(deployment: Deployment, listener: socket.socket, journal: Journal) -> _Running:
    limits = deployment.front.service
    script = deployment.script
    if script is None:
        service = model_service(deployment)
        return Front(deployment.front, service, listener, meter=Meter(), journal=journal)
    if limits.isolation == "none":
        from calotype.serving.entry.http_workers import HttpWorkers

        running: _Reloadable = HttpWorkers(deployment.front, script, listener, journal)
    else:
        from calotype.serving.entry.script_service import ScriptService

        service = ScriptService(script, limits, journal)
        running = Front(deployment.front, service, listener, meter=Meter(), journal=journal)
    return _Reloading(running, script, journal) if deployment.reload else running


def model_service(deployment: Deployment) -> Service:
    """Return the service of an image model or an ONNX file, not started."""
    limits = deployment.front.service
    if deployment.kind == "onnx":
        from calotype.serving.no_code.onnx_service import OnnxService

        return OnnxService(Path(deployment.model), limits)
    from calotype.serving.images.alone import LARGEST_BYTES
    from calotype.serving.images.image_service import ImageService

    return ImageService(
        deployment.model,
        limits,
        precision=deployment.precision,
        threads=deployment.threads,
        exact_decode=deployment.exact_decode,
        calibrated=deployment.is_calibrated,
        largest_model_for_all_cores=LARGEST_BYTES if deployment.all_cores_when_alone else 0,
    )


class _Reloading:
    """Runs a script anew when a file of its folder changes."""

    def __init__(self, inner: _Reloadable, script: ForkConfiguration, journal: Journal) -> None:
        self._inner = inner
        self._folder = script.source_directory or script.script.parent
        self._journal = journal
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        # Before it is read: what changes while the script starts is a change too.
        known = await asyncio.to_thread(state_of, self._folder)
        await self._inner.start()
        self._watcher = asyncio.get_running_loop().create_task(self._watch(known))

    async def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})  # it ends what a reload has started
        await self._inner.stop()

    async def _watch(self, known: _State) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now = await asyncio.to_thread(state_of, self._folder)
            if now == known:
                continue
            known = now
            try:
                await self._inner.reload()
            except errors.ScriptFailed as failure:
                self._journal.write("reload failed", level="error", trace=failure.trace)
            except Exception:  # noqa: BLE001 - the next change may be a better one
                trace = traceback.format_exc()
                self._journal.write("reload failed", level="error", trace=trace)
            else:
                self._journal.write("script reloaded")


def state_of(folder: Path) -> _State:
    """Return time and size of every Python file below a folder, beside what is installed there."""
    found: _State = {}
    for parent, folders, files in os.walk(folder):  # unlike rglob, bears folders that vanish
        folders[:] = [name for name in folders if not _is_foreign(parent, name)]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(parent, name)
                with contextlib.suppress(OSError):  # it was replaced just now
                    status = os.stat(path)
                    found[path] = (status.st_mtime_ns, status.st_size)
    return found


def _is_foreign(parent: str, name: str) -> bool:
    is_environment = Path(parent, name, "pyvenv.cfg").exists()
    return name.startswith(".") or name in _FOREIGN or is_environment
