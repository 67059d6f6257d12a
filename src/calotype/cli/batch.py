"""`calotype service submit`, `jobs`, `job` and their kin: whole datasets through a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype import errors
from calotype.cli.completion import complete_services
from calotype.cli.options import PATH, parameter_options
from calotype.cli.service_option import name_option
from calotype.cli.terminal import Terminal, command, examples, facts, moment, table
from calotype.cli.workspace_option import current_workspace, workspace_option
from calotype.hosting.batch.settings import BatchSettings

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.hosting.batch.job import Job
    from calotype.hosting.batch.jobs import BatchJobs


@command(
    epilog=examples(
        "calotype model deploy -n flowers-batch -m flowers --compute batch",
        "calotype service submit -n flowers-batch --images photos/ --out scored --wait",
        "calotype service submit -n prices --images scans.zip --mini-batch-size 50 --retries 1",
        "calotype service submit -n churn --data customers.csv --mini-batch-size 1000 --wait",
    )
)
@name_option
@click.option(
    "--images",
    "--data",
    "images",
    required=True,
    metavar="SOURCE",
    help="An image directory, a folder, an archive, one image, or a registered dataset; for a "
    "model of rows a CSV, Parquet or JSON lines file, or a folder of such.",
)
@click.option(
    "--out",
    type=PATH,
    help="The folder of the result; what an interrupted job of the same left there is continued.  "
    "[default: one in the workspace]",
)
@click.option(
    "--register-as", default="", metavar="NAME", help="Register the result as a dataset too."
)
@parameter_options(BatchSettings)
@click.option("--wait", is_flag=True, help="Show the progress, and end with the job.")
def submit(
    terminal: Terminal,
    name: str,
    images: str,
    out: Path | None,
    register_as: str,
    wait: bool,
    **settings: Any,
) -> None:
    """Send all of SOURCE through a batch service, in a process that goes on by itself.

    An image model writes a scored dataset, as `calotype score` does. An ONNX file or a
    scikit-learn model takes rows, a script with run(mini_batch) lists of file paths; what they
    return becomes predictions.parquet and predictions.csv. Images and rows without a prediction
    are in errors.parquet.
    """
    jobs = _jobs()
    job = jobs.submit(
        name, images, out=out, settings=BatchSettings.of(settings), register_as=register_as
    )
    if not wait:
        terminal.progress.say(f"`calotype service job {job.id} --wait` follows it.")
    _finish(terminal, jobs, job, wait=wait)


@command(name="jobs", epilog=examples("calotype service jobs -n flowers-batch"))
@workspace_option
@click.option("-n", "--name", shell_complete=complete_services, help="Of one service only.")
def jobs(terminal: Terminal, name: str | None) -> None:
    """List batch jobs, newest first."""
    found = _jobs().list(name)
    rows = [(one.id, one.service, one.state, _done(one), moment(one.created_at)) for one in found]
    columns = ("job", "service", "state", "done", "submitted")
    terminal.show(
        [one.to_document() for one in found],
        lambda console: table(console, columns, rows, less=("service", "submitted")),
    )


@command(name="job", epilog=examples("calotype service job 0123456789abcdef --wait"))
@workspace_option
@click.argument("id")
@click.option("--wait", is_flag=True, help="Show the progress, and end with the job.")
def job(terminal: Terminal, id: str, wait: bool) -> None:
    """Show the batch job ID."""
    jobs = _jobs()
    _finish(terminal, jobs, jobs.get(id), wait=wait)


@command(name="job-logs", epilog=examples("calotype service job-logs 0123456789abcdef"))
@workspace_option
@click.argument("id")
@click.option("--num-lines", type=click.IntRange(min=1), default=5000, show_default=True)
def job_logs(terminal: Terminal, id: str, num_lines: int) -> None:
    """Show what the batch job ID and its script said."""
    text = _jobs().log(id, num_lines=num_lines)
    terminal.show({"job": id, "log": text}, lambda _: click.echo(text, nl=False))


@command(name="cancel-job", epilog=examples("calotype service cancel-job 0123456789abcdef"))
@workspace_option
@click.argument("id")
def cancel_job(terminal: Terminal, id: str) -> None:
    """End the batch job ID; what is done stays, and `resume-job` goes on from there."""
    _show(terminal, _jobs().cancel(id))


@command(name="resume-job", epilog=examples("calotype service resume-job 0123456789abcdef --wait"))
@workspace_option
@click.argument("id")
@click.option("--wait", is_flag=True, help="Show the progress, and end with the job.")
def resume_job(terminal: Terminal, id: str, wait: bool) -> None:
    """Go on with the batch job ID, which was interrupted or cancelled or has failed."""
    jobs = _jobs()
    _finish(terminal, jobs, jobs.resume(id), wait=wait)


def _jobs() -> BatchJobs:
    from calotype.hosting.batch.jobs import BatchJobs

    return BatchJobs(current_workspace())


def _finish(terminal: Terminal, jobs: BatchJobs, job: Job, *, wait: bool) -> None:
    if not wait:
        _show(terminal, job)
        return
    job = jobs.wait(job.id, on_change=_Bar(terminal))
    _show(terminal, job)
    if job.state != "Completed":
        raise errors.OperationFailed(
            "expected the job to be completed",
            where=f"batch job '{job.id}'",
            got=job.state,
            action=f"`calotype service job-logs {job.id}` shows what it said, `calotype service "
            f"resume-job {job.id}` goes on where it stopped.",
        )


class _Bar:
    """Shows the progress of a job as if it were our own."""

    def __init__(self, terminal: Terminal) -> None:
        self._progress = terminal.progress
        self._done = 0
        self._is_begun = False

    def __call__(self, job: Job) -> None:
        told = job.progress
        if told and not self._is_begun:
            self._is_begun = True
            self._progress.begin(f"job {job.id}", total=told["total"], unit=told["unit"])
        if told and told["done"] > self._done:
            self._progress.advance(told["done"] - self._done, note=told["note"])
            self._done = told["done"]
        if job.is_over and self._is_begun:
            self._progress.end()


def _show(terminal: Terminal, job: Job) -> None:
    terminal.show(job.to_document(), lambda console: _render(console, job))


def _render(console: Console, job: Job) -> None:
    rows: list[tuple[str, object]] = [
        ("job", job.id),
        ("service", job.service),
        ("state", job.state),
        ("source", job.images),
        ("result", job.out),
        ("done", _done(job)),
    ]
    counts = job.outputs.get("counts", {})
    rows += [(name.replace("_", " "), f"{value:,}") for name, value in counts.items()]
    if dataset := job.outputs.get("dataset"):
        rows.append(("dataset", dataset))
    if job.error is not None:
        rows.append(("error", f"{job.error['number']:04d}: {job.error['message']}"))
    facts(console, rows)
    if job.error is not None and job.error.get("trace"):
        console.print(job.error["trace"], markup=False)


def _done(job: Job) -> str:
    told = job.progress
    if not told:
        return ""
    of = f" of {told['total']:,}" if told.get("total") else ""
    return ", ".join(filter(None, [f"{told['done']:,}{of} {told['unit']}", told.get("note")]))
