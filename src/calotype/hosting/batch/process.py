"""The process of one batch job: `python -m calotype.hosting.batch.process ROOT JOB LOCK`.

It lives in a session of its own, holds the job's lock file, whose descriptor LOCK it was given,
and writes what becomes of the job into its record.
"""

from __future__ import annotations

import shutil
import signal
import sys
import traceback
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

from calotype import errors
from calotype.hosting.batch.image_items import ImageItems
from calotype.hosting.batch.image_job import ImageJob
from calotype.hosting.batch.places import JobPlaces
from calotype.hosting.batch.preparing import Prepared, prepare
from calotype.hosting.batch.recording import RecordedProgress
from calotype.hosting.batch.row_items import RowItems
from calotype.hosting.batch.script_job import ScriptJob
from calotype.hosting.batch.settings import BatchSettings
from calotype.hosting.batch.states import RUNNING_STATES
from calotype.hosting.locks import Held
from calotype.workspace.location import Location
from calotype.workspace.runs import Run
from calotype.workspace.services import now
from calotype.workspace.workspace import Workspace

_STOPPED: Final = 130


def main(root: str, id: str, lock: str) -> int:
    """Run a job to its end; return the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    workspace = Workspace(Location.read(Path(root)))
    run = workspace.runs.get(id)
    places = JobPlaces.of(workspace.place, run.subject, id)
    held = Held(places.lock, int(lock))
    held.say({"job": id})
    try:
        return _lived(workspace, run, places)
    finally:
        workspace.close()
        held.release()


def _lived(workspace: Workspace, run: Run, places: JobPlaces) -> int:
    progress = RecordedProgress(workspace.runs, run.id)
    try:
        workspace.runs.change(run.id, only_in=("Starting",), state="Running", started_at=now())
        outputs = _worked(workspace, run, places, progress)
    except KeyboardInterrupt:
        is_wanted = workspace.runs.get(run.id).state == "Canceling"
        state = "Canceled" if is_wanted else "Interrupted"
        progress.say(f"{state.lower()}; what is done stays, and `resume-job` goes on from there")
        workspace.runs.change(run.id, state=state, ended_at=now())
        return _STOPPED
    except Exception as error:  # noqa: BLE001 - the last boundary of this process
        _fail(workspace, run, progress, error)
        return 1
    workspace.runs.change(
        run.id,
        state="Completed",
        ended_at=now(),
        outputs={**run.outputs, **outputs},
        error=None,
        only_in=RUNNING_STATES,
    )
    shutil.rmtree(places.scratch, ignore_errors=True)
    progress.say("completed")
    return 0


def _worked(
    workspace: Workspace, run: Run, places: JobPlaces, progress: RecordedProgress
) -> dict[str, Any]:
    """Do the job; return what its record says of the result."""
    said = run.inputs
    prepared = prepare(workspace, run.subject, said["version"], said["revision"])
    job = _job(prepared, said, places)
    done = job.run(progress)
    rates = {name: done[name] for name in ("images_per_s", "rows_per_s") if name in done}
    outputs: dict[str, Any] = {"counts": done["counts"], **rates}
    if name := said.get("register_as"):
        dataset = workspace.datasets.register(
            name, job.out, description=f"Result of batch job {run.id} of service {run.subject}."
        )
        outputs["dataset"] = dataset.id
    return outputs


def _job(prepared: Prepared, said: dict[str, Any], places: JobPlaces) -> ImageJob | ScriptJob:
    source, out = Path(said["images"]), Path(said["out"])
    settings = BatchSettings.of(said["settings"])
    if prepared.model is not None:
        return ImageJob(
            prepared.model,
            source,
            out,
            places.scratch,
            settings,
            precision=prepared.runtime.precision,
            part_s=settings.part_s,
        )
    assert prepared.script is not None
    by_rows = partial(RowItems.opened, columns=settings.columns)
    of_rows = {"columns": [*settings.columns]} if prepared.takes_rows else {}
    return ScriptJob(
        prepared.script,
        {**prepared.identity, **of_rows},
        source,
        out,
        places.scratch,
        settings,
        workers=prepared.runtime.workers,
        part_s=settings.part_s,
        opened=by_rows if prepared.takes_rows else ImageItems.opened,
    )


def _fail(workspace: Workspace, run: Run, progress: RecordedProgress, error: Exception) -> None:
    is_ours = isinstance(error, errors.CalotypeError)
    message = str(error) if is_ours else f"{type(error).__name__}: {error}"
    trace = "" if is_ours else traceback.format_exc()
    if isinstance(error, errors.ScriptFailed):
        trace = error.trace
    progress.say(f"failed: {message}\n{trace}".rstrip())
    told = {
        "number": error.number if isinstance(error, errors.CalotypeError) else 1000,
        "message": message,
        "trace": trace,
        "at": now().isoformat(),
    }
    workspace.runs.change(run.id, state="Failed", ended_at=now(), error=told)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: it ends in good order
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
