"""The jobs of batch services: submit, look at, wait for, cancel, resume."""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.hosting import locks
from calotype.hosting.batch.job import Job, job_of
from calotype.hosting.batch.places import JobPlaces
from calotype.hosting.batch.settings import BatchSettings
from calotype.hosting.batch.states import KIND, RUNNING_STATES, true_state
from calotype.secret_variables import for_ours
from calotype.workspace.machine import identity, is_here, shown
from calotype.workspace.runs import Run
from calotype.workspace.services import ONLY_VERSION, now
from calotype.workspace.workspace import Workspace

_PROCESS: Final = "calotype.hosting.batch.process"
_LOOK_EVERY_S: Final = 0.2
_GRACE_S: Final = 10.0  # for the part that is being written


class BatchJobs:
    """The batch jobs of a workspace.

    Args:
        workspace: whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._runs = workspace.runs

    def submit(
        self,
        service: str,
        images: str | Path,
        *,
        out: str | Path | None = None,
        settings: BatchSettings | None = None,
        register_as: str = "",
    ) -> Job:
        """Begin to send all of a source through a service, in a process of its own.

        Args:
            service: with target "batch".
            images: an image directory, a folder, an archive, one image, or a registered dataset;
                for an ONNX file or a scikit-learn model a CSV, Parquet or JSON lines file of rows,
                or a folder of such.
            out: the folder of the result; one in the workspace when left out. The result of an
                interrupted job of the same is continued.
            settings: mini-batches, retries, threshold, timeout, output.
            register_as: also register the result as a dataset of this name.

        Raises:
            NotFound: there is no such service or dataset.
            NotSupported: the service is none for batches.
            InvalidDataset: there is nothing at `images`.
        """
        version = self._batch_version(service)
        source = self._source(images)
        run = Run(KIND, service, "Starting", host=identity(self._workspace.place))
        places = JobPlaces.of(self._workspace.place, service, run.id)
        result = Path(out).absolute() if out else places.results
        inputs = {
            "version": ONLY_VERSION,
            "revision": version,
            "source": str(images),
            "images": source,
            "out": str(result),
            "settings": (settings or BatchSettings()).model_dump(mode="json"),
            "register_as": register_as,
        }
        held = _taken(places)
        with contextlib.closing(_Releasing(held)):
            self._runs.add(replace(run, inputs=inputs))
            self._launch(run.id, places, held)
        self._workspace.audit.note("batch.submit", service, job=run.id)
        return self.get(run.id)

    def resume(self, id: str) -> Job:
        """Go on with a job that was interrupted, was cancelled or has failed, where it stopped.

        Raises:
            NotFound: there is no such job.
            Busy: it is still running.
        """
        job = self.get(id)
        if job.state == "Completed":
            return job
        self._check_here(job)
        places = self._places(job)
        held = _taken(places) if job.is_over else None
        if held is None:
            raise errors.Busy("expected a job that has ended", where=f"job '{id}'", got=job.state)
        with contextlib.closing(_Releasing(held)):
            self._runs.change(id, state="Starting", error=None, ended_at=None)
            self._launch(id, places, held)
        self._workspace.audit.note("batch.resume", job.service, job=id)
        return self.get(id)

    def get(self, id: str) -> Job:
        """Return a job as it is now.

        Raises:
            NotFound: there is none of that id.
        """
        run = self._runs.get(id)
        if run.kind != KIND:
            raise errors.NotFound("expected a batch job", where=f"run '{id}'", got=run.kind)
        return self._seen(run)

    def list(self, service: str | None = None) -> list[Job]:
        """Return the jobs of a service or of all, newest first."""
        return [self._seen(run) for run in self._runs.list(subject=service, kind=KIND)]

    def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[Job], None] = lambda _: None,
    ) -> Job:
        """Return a job when it is over.

        Args:
            id: of the job.
            timeout_s: how long to wait at most; for ever when left out.
            on_change: called with every new state or progress.

        Raises:
            OperationFailed: it is not over by then.
        """
        ends_s = None if timeout_s is None else time.monotonic() + timeout_s
        told: object = None
        while True:
            job = self.get(id)
            if (job.state, job.progress) != told:
                told = (job.state, job.progress)
                on_change(job)
            if job.is_over:
                return job
            if ends_s is not None and time.monotonic() > ends_s:
                raise errors.OperationFailed(
                    f"expected job '{id}' to end within {timeout_s:g} s", got=job.state
                )
            time.sleep(_LOOK_EVERY_S)

    def cancel(self, id: str) -> Job:
        """End a job; what is done stays. One that is over already stays as it is.

        Raises:
            NotFound: there is no such job.
            NotSupported: it runs on another machine.
        """
        job = self.get(id)
        if job.is_over:
            return job
        self._check_here(job)
        self._runs.change(id, state="Canceling", only_in=RUNNING_STATES)
        lock = self._places(job).lock
        ends_s = time.monotonic() + _GRACE_S
        asked = 0
        while locks.is_held(lock):
            pid = int(locks.facts(lock).get("pid", 0))
            if pid and pid != asked:  # it says its pid once it can be asked
                _signal(pid, signal.SIGTERM)
                asked = pid
            if time.monotonic() > ends_s and pid:
                _signal(pid, signal.SIGKILL)
            time.sleep(0.02)
        # A process that was killed has not said so.
        self._runs.change(id, only_in=RUNNING_STATES, state="Canceled", ended_at=now())
        self._workspace.audit.note("batch.cancel", job.service, job=id)
        return self.get(id)

    def log(self, id: str, *, num_lines: int = 5000) -> str:
        """Return the last lines of what a job and its script have said."""
        job = self.get(id)
        try:
            with self._places(job).log.open(encoding="utf-8", errors="replace") as lines:
                return "".join(collections.deque(lines, maxlen=num_lines))
        except FileNotFoundError:
            return ""

    def forget(self, service: str) -> None:
        """End and forget all jobs of a service; results stay where they are."""
        for job in self.list(service):
            with contextlib.suppress(errors.NotSupported):  # another machine ends its own
                self.cancel(job.id)
            self._runs.delete(job.id)
            shutil.rmtree(self._places(job).folder, ignore_errors=True)

    def _batch_version(self, name: str) -> int:
        service = self._workspace.services.get(name)
        if service.target != "batch":
            raise errors.NotSupported(
                "expected a batch service",
                where=f"service '{name}'",
                got=f"one with the target '{service.target}'",
                action="Deploy one with `calotype model deploy --compute batch`.",
            )
        return service.version().wanted.number

    def _source(self, images: str | Path) -> str:
        """Return the path that the images are found at."""
        path = Path(images)
        if path.exists():
            return str(path.absolute())
        reference = str(images).removeprefix("dataset:")
        try:
            dataset = self._workspace.datasets.find(reference)
        except (errors.NotFound, errors.UnparsableValue) as error:
            raise errors.InvalidDataset(
                "expected a path or the name of a registered dataset",
                where=str(images),
                got="neither",
            ) from error
        return str(Path(dataset.path_or_unpacked()).absolute())

    def _places(self, job: Job) -> JobPlaces:
        return JobPlaces.of(self._workspace.place, job.service, job.id)

    def _seen(self, run: Run) -> Job:
        is_ours = is_here(self._workspace.place, run.host)
        lock = JobPlaces.of(self._workspace.place, run.subject, run.id).lock
        if is_ours and run.state in RUNNING_STATES and not locks.is_held(lock):
            # Asked again: the process may have ended between the two looks.
            run = self._runs.get(run.id)
            state = true_state(run.state, is_alive=locks.is_held(lock))
        else:
            state = run.state
        return job_of(run, state)

    def _check_here(self, job: Job) -> None:
        if not is_here(self._workspace.place, job.host):
            raise errors.NotSupported(
                "expected a job of this machine",
                where=f"job '{job.id}'",
                got=f"one of '{shown(job.host)}'",
                action="Run the command there.",
            )

    def _launch(self, id: str, places: JobPlaces, held: locks.Held) -> None:
        root = str(self._workspace.place.root)
        held.say({"pid": 0})  # what an earlier process of the job said is of the past
        with places.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", _PROCESS, root, id, str(held.descriptor)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[held.descriptor],
                env=for_ours(os.environ),
                start_new_session=True,  # it outlives whoever asked for it
                cwd=root,
            )
        # Somebody has to ask how it ended, or it stays as a zombie while this process lives.
        threading.Thread(target=process.wait, daemon=True).start()


class _Releasing:
    """Lets go of a lock that a child has by now, without freeing it."""

    def __init__(self, held: locks.Held) -> None:
        self._held = held

    def close(self) -> None:
        self._held.release()


def _taken(places: JobPlaces) -> locks.Held:
    """Take the lock of a job; who only looks holds it for microseconds."""
    ends_s = time.monotonic() + 1.0
    while (held := locks.Held.take(places.lock)) is None:
        if time.monotonic() > ends_s:
            raise errors.Busy(
                "expected a job that has ended", where=str(places.folder), got="one that runs"
            )
        time.sleep(0.005)
    return held


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal a job, or kill it with all that belongs to it."""
    with contextlib.suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
