"""Several processes on this machine that train one network: this one starts the others."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import torch

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.resources import usable_cores
from calotype.training.checkpoints import Checkpoints
from calotype.training.fit import fit_job
from calotype.training.group import ALONE, Group, ProcessLost, joined
from calotype.training.job import Job
from calotype.training.outcome import Listeners

_POLL_S = 0.05
_ORDER, _MEETING = "order.json", "meeting"


@contextlib.contextmanager
def started(
    processes: int, job: Job, training: ImageDirectory, validation: ImageDirectory, folder: Path
) -> Generator[Group]:
    """Start all processes of a run but this one, and join them; they end with this one.

    Args:
        processes: how many there are to be.
        job: what to train.
        training: the images to learn from.
        validation: the images to choose the epoch by.
        folder: of the checkpoints, which all of them take up.

    Raises:
        NotInRange: fewer than one process, or more than there are cores (0008).
        OperationFailed: one of them has ended (0039).
    """
    _check(processes)
    if processes == 1:
        yield ALONE
        return
    with tempfile.TemporaryDirectory(prefix="calotype-") as place:
        order = {
            "job": job.model_dump(mode="json"),
            "training": str(training.folder.absolute()),
            "validation": str(validation.folder.absolute()),
            "checkpoints": str(folder.absolute()),
            "processes": processes,
            "threads": torch.get_num_threads(),
        }
        (Path(place) / _ORDER).write_text(json.dumps(order), encoding="utf-8")
        others = [_start(Path(place), rank) for rank in range(1, processes)]
        try:
            _wait(Path(place), others)
            with joined(Path(place) / _MEETING, rank=0, size=processes) as group:
                yield group
        except ProcessLost as error:
            raise _with_reason(error, Path(place), others) from error
        finally:
            for other in others:
                other.kill()
                other.wait()


def _check(processes: int) -> None:
    most = max(usable_cores(), torch.cuda.device_count())
    if not 1 <= processes <= most:
        raise errors.NotInRange(
            f"must lie between 1 and {most}, the number of cores or GPUs",
            where="parameter 'processes'",
            got=str(processes),
        )


def _start(place: Path, rank: int) -> subprocess.Popen[bytes]:
    with (place / f"{rank}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "calotype.training.processes", str(place), str(rank)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the process that the user talks to
        )


def _wait(place: Path, others: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all have come so far that they can join: one that fails before never would."""
    while not all((place / f"{rank}.ready").exists() for rank in range(1, len(others) + 1)):
        if any(other.poll() is not None for other in others):
            raise ProcessLost(
                "expected all training processes to start",
                where="training",
                got="one that ended",
                action="Use fewer processes if memory was short.",
            )
        time.sleep(_POLL_S)


def _with_reason(
    error: ProcessLost, place: Path, others: list[subprocess.Popen[bytes]]
) -> ProcessLost:
    """Return the error with how the first process ended, and with its last words."""
    ended = [rank for rank, other in enumerate(others, start=1) if other.poll() is not None]
    for rank in ended:
        code = others[rank - 1].returncode
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        got = f"the end of process {rank} ({reason})"
        words = (place / f"{rank}.log").read_text(encoding="utf-8", errors="replace").strip()
        if words and ProcessLost.__name__ not in words.splitlines()[-1]:
            got += f": {words.splitlines()[-1]}"
        return ProcessLost(error.expected, where=error.where, got=got, action=error.action)
    return error


def _take_part(place: Path, rank: int) -> None:
    """Be one of the other processes."""
    order = json.loads((place / _ORDER).read_text(encoding="utf-8"))
    torch.set_num_threads(order["threads"])
    # Temporary for whoever opened them: nothing may refer to them for longer than this run.
    training = ImageDirectory.load(order["training"], is_temporary=True)
    validation = ImageDirectory.load(order["validation"], is_temporary=True)
    checkpoints = Checkpoints(Path(order["checkpoints"]))
    (place / f"{rank}.ready").touch()
    with joined(place / _MEETING, rank=rank, size=order["processes"]) as group:
        job = Job.model_validate(order["job"])
        fit_job(
            job, training, validation, group=group, checkpoints=checkpoints, listeners=Listeners()
        )


if __name__ == "__main__":
    _take_part(Path(sys.argv[1]), int(sys.argv[2]))
