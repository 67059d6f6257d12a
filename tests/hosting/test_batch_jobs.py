"""Batch jobs in a workspace: detached processes that live, die and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from batch_services import add_service, image_model, images

from calotype import errors
from calotype.hosting import locks
from calotype.hosting.batch.image_job import ImageJob
from calotype.hosting.batch.job import Job
from calotype.hosting.batch.jobs import BatchJobs
from calotype.hosting.batch.places import JobPlaces
from calotype.hosting.batch.settings import BatchSettings
from calotype.scoring.score import score
from calotype.scoring.scorer import Scorer
from calotype.workspace.workspace import Workspace

WAIT_S = 60.0
SLOW = """
import os, time
from pathlib import Path
def run(mini_batch):
    time.sleep({pause_s})
    return [os.path.basename(file) for file in mini_batch]
"""
FAST = SLOW.format(pause_s=0)


@pytest.fixture
def workspace(tmp_path: Path) -> Generator[Workspace]:
    made = Workspace.create("test", tmp_path)
    yield made
    jobs = BatchJobs(made)
    for job in jobs.list():
        jobs.cancel(job.id)
    made.close()


@pytest.fixture
def jobs(workspace: Workspace) -> BatchJobs:
    return BatchJobs(workspace)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return images(tmp_path / "images")


def finished(jobs: BatchJobs, job: Job, state: str = "Completed") -> Job:
    """Wait for a job, and show what it said when it did not end as it should."""
    over = jobs.wait(job.id, timeout_s=WAIT_S)
    assert over.state == state, f"{over}\n{jobs.log(job.id)}"
    return over


def process_of(workspace: Workspace, job: Job) -> int:
    """Return the pid of a job, once it has one."""
    lock = JobPlaces.of(workspace.place, job.service, job.id).lock
    until(lambda: locks.facts(lock).get("pid"), "the job's process")
    return int(locks.facts(lock)["pid"])


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that happens in another process."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what}: not within {WAIT_S} s"
        time.sleep(0.03)


def names(out: Path) -> list[str]:
    return pq.read_table(out / "predictions.parquet").column("prediction").to_pylist()


def test_an_image_model_scores_exactly_as_the_command_does(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    registered = workspace.models.register(image_model(tmp_path), "colours")
    add_service(workspace, models=(registered.id,))
    job = finished(jobs, jobs.submit("batch", source, out=tmp_path / "out"))
    score(Scorer(tmp_path / "model"), source, tmp_path / "expected")
    ours, theirs = (pq.read_table(tmp_path / at / "scored.parquet") for at in ("out", "expected"))
    assert ours.equals(theirs)
    assert job.outputs["counts"] == {"images": 12, "scored": 12, "errors": 0}
    assert job.progress["done"] == job.progress["total"] == 12
    assert job.started_at is not None
    assert job.ended_at is not None
    assert job.is_over


def image_job(folder: Path, source: Path, **settings: Any) -> ImageJob:
    """Return a job as its process makes it."""
    model, out, scratch = image_model(folder), folder / "out", folder / "scratch"
    return ImageJob(model, source, out, scratch, BatchSettings(**settings))


def test_a_summary_of_an_image_model_counts_labels(source: Path, tmp_path: Path) -> None:
    run = image_job(tmp_path, source, output_action="summary_only").run()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"run.json", ".lock"}
    assert json.loads((tmp_path / "out/run.json").read_text()) == run
    assert sum(run["labels"].values()) == run["counts"]["scored"] == 12


def test_too_many_bad_images_fail_the_job_of_an_image_model(source: Path, tmp_path: Path) -> None:
    (source / "cat/000.png").write_bytes(b"no picture")
    job = image_job(tmp_path, source, error_threshold=0)
    with pytest.raises(errors.OperationFailed, match=r"at most 0 images to fail\. Got 1 of them"):
        job.run()
    assert replace(job, settings=BatchSettings(error_threshold=1)).run()["counts"]["errors"] == 1


def test_a_script_finds_its_models_and_its_neighbours(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "weights.txt").write_text("7")
    registered = workspace.models.register(tmp_path / "weights.txt", "weights")
    script = """
import os
def init():
    global weights
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "weights.txt")) as file:
        weights = int(file.read())
    print("weights are", weights)
def run(mini_batch):
    return [weights] * len(mini_batch)
"""
    add_service(workspace, models=(registered.id,), script=script, folder=tmp_path)
    job = finished(jobs, jobs.submit("batch", source))
    assert names(job.out) == [7] * 12
    assert "weights are 7" in jobs.log(job.id)
    assert [one.id for one in jobs.list("batch")] == [job.id]
    assert jobs.list("another") == []


def test_a_failed_script_is_told_with_its_trace(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    script = "def init():\n    1 / 0\ndef run(mini_batch): ..."
    add_service(workspace, script=script, folder=tmp_path)
    job = finished(jobs, jobs.submit("batch", source), "Failed")
    assert job.error is not None
    assert "ZeroDivisionError" in job.error["message"]
    assert "line 2, in init" in job.error["trace"]
    assert "line 2, in init" in jobs.log(job.id)


def test_a_job_outlives_who_submitted_it(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    add_service(workspace, script=SLOW.format(pause_s=0.3), folder=tmp_path)
    program = (
        "import sys, os; from calotype.workspace.workspace import Workspace;"
        "from calotype.hosting.batch.jobs import BatchJobs;"
        "jobs = BatchJobs(Workspace.from_config(sys.argv[1]));"
        "print(jobs.submit('batch', sys.argv[2]).id, flush=True); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path, source],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    job = finished(jobs, jobs.get(ended.stdout.strip()))
    assert len(names(job.out)) == 12


def test_a_cancelled_job_ends_soon_and_can_go_on(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    script = """
import os, time
from pathlib import Path
gate = Path({gate!r})
def run(mini_batch):
    while gate.exists():
        time.sleep(0.03)
    return [os.path.basename(file) for file in mini_batch]
"""
    gate = tmp_path / "gate"
    gate.touch()
    add_service(workspace, script=script.format(gate=str(gate)), folder=tmp_path, workers=2)
    job = jobs.submit("batch", source, settings=BatchSettings(mini_batch_size=3))
    until(lambda: jobs.get(job.id).state == "Running", "a running job")
    job = jobs.cancel(job.id)
    assert job.state == "Canceled"
    assert job.ended_at is not None
    assert jobs.cancel(job.id) == job
    gate.unlink()
    job = finished(jobs, jobs.resume(job.id))
    assert len(names(job.out)) == 12
    assert jobs.resume(job.id) == job


GATED = """
import os, time
from pathlib import Path
allowed, seen = Path({folder!r}, "allowed"), Path({folder!r}, "seen")
Path({folder!r}, "worker").write_text(str(os.getpid()))
def run(mini_batch):
    number = int(Path(mini_batch[0]).stem)
    while number >= int(allowed.read_text() or 0):
        time.sleep(0.005)
    with seen.open("a") as file:
        file.write(f"{{number}}\\n")
    return [number]
"""


def test_a_killed_job_is_interrupted_and_goes_on_without_a_lost_or_doubled_row(
    workspace: Workspace, jobs: BatchJobs, tmp_path: Path
) -> None:
    source = images(tmp_path / "many", 30, classes=("all",))
    allowed, seen = tmp_path / "allowed", tmp_path / "seen"
    allowed.write_text("0")
    add_service(workspace, script=GATED.format(folder=str(tmp_path)), folder=tmp_path)
    settings = BatchSettings(mini_batch_size=1, part_s=0)
    job = jobs.submit("batch", source, settings=settings)
    for count in (7, 15, 24):
        allowed.write_text(str(count))
        until(lambda count=count, out=job.out: _parts(out) == count, "closed parts")
        worker = int((tmp_path / "worker").read_text())
        os.kill(process_of(workspace, job), signal.SIGKILL)
        until(lambda id=job.id: jobs.get(id).state == "Interrupted", "the truth about it")
        until(lambda worker=worker: not lives(worker), "its worker has ended with it")
        job = jobs.resume(job.id)
    allowed.write_text("30")
    job = finished(jobs, job)
    assert names(job.out) == list(range(30))
    assert job.outputs["counts"]["predictions"] == 30
    assert list(map(int, seen.read_text().split())) == list(range(30))  # none was done twice


def lives(pid: int) -> bool:
    """Whether a process goes on; nobody may have asked how it has ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _parts(out: Path) -> int:
    run = out / "run.json"
    return len(json.loads(run.read_text())["parts"]) if run.exists() else 0


def test_the_same_work_may_be_submitted_again_into_the_same_folder(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    add_service(workspace, script=FAST, folder=tmp_path)
    first = finished(jobs, jobs.submit("batch", source, out=tmp_path / "out"))
    again = finished(jobs, jobs.submit("batch", source, out=tmp_path / "out"))
    assert first.id != again.id
    assert len(names(tmp_path / "out")) == 12


def test_what_cannot_be_a_job_is_refused(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    add_service(workspace, script=FAST, folder=tmp_path)
    with pytest.raises(errors.NotFound, match="'nothing'"):
        jobs.submit("nothing", source)
    with pytest.raises(errors.InvalidDataset, match="a path or the name of a registered dataset"):
        jobs.submit("batch", tmp_path / "absent")
    with pytest.raises(errors.NotFound):
        jobs.get("absent")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/letter.txt").write_text("dear")
    for out in ("foreign", "foreign/letter.txt"):
        with pytest.raises(errors.AlreadyExists, match="earlier job"):
            jobs.submit("batch", source, out=tmp_path / out)
    with pytest.raises(errors.CannotWrite):
        jobs.submit("batch", source, out=tmp_path / "foreign/letter.txt/below")
    assert jobs.list() == []
    job = finished(jobs, jobs.submit("batch", source))
    jobs.forget("batch")
    assert jobs.list() == []
    assert not JobPlaces.of(workspace.place, "batch", job.id).folder.exists()
    assert len(names(job.out)) == 12


def test_a_job_with_a_model_that_needs_a_script_says_so(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x")
    registered = workspace.models.register(tmp_path / "weights.bin", "weights")
    add_service(workspace, models=(registered.id,))
    job = finished(jobs, jobs.submit("batch", source), "Failed")
    assert job.error is not None
    assert "one image model, ONNX file or scikit-learn model" in job.error["message"]


def test_two_jobs_do_not_write_into_one_folder(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    add_service(workspace, script=SLOW.format(pause_s=600), folder=tmp_path)
    settings = BatchSettings(timeout_s=600)
    first = jobs.submit("batch", source, out=tmp_path / "out", settings=settings)
    until((tmp_path / "out/run.json").exists, "the first job at work")
    job = finished(jobs, jobs.submit("batch", source, out=tmp_path / "out"), "Failed")
    assert job.error is not None
    assert job.error["number"] == 2002
    assert jobs.get(first.id).state == "Running"


def test_the_script_sees_no_keys_of_services(
    workspace: Workspace,
    jobs: BatchJobs,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CALOTYPE_PRIMARY_KEY", "secret")
    script = "import os\ndef run(mini_batch):\n    return ['PRIMARY' in str(os.environ)]\n"
    add_service(workspace, script=script, folder=tmp_path)
    job = finished(jobs, jobs.submit("batch", source, settings=BatchSettings(mini_batch_size=12)))
    assert names(job.out) == [False]


def test_a_running_job_is_not_resumed(
    workspace: Workspace, jobs: BatchJobs, source: Path, tmp_path: Path
) -> None:
    add_service(workspace, script=SLOW.format(pause_s=600), folder=tmp_path)
    job = jobs.submit("batch", source, settings=BatchSettings(timeout_s=600))
    with pytest.raises(errors.Busy, match="expected a job that has ended"):
        jobs.resume(job.id)
