"""`calotype model profile`: how long models take as a service, and what they need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype.cli.deploy_options import inference_options
from calotype.cli.inference import are_paths, inference_of, models_of
from calotype.cli.options import PATH
from calotype.cli.references import source_path
from calotype.cli.terminal import Terminal, command, examples, facts, table
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.webservice.profiling.load import Body
    from calotype.webservice.profiling.measuring import ProfileResult

_COLUMNS = ("callers", "requests/s", "mean", "p50", "p90", "p99", "cores", "failed")


@command(
    epilog=examples(
        "calotype model profile -m flowers --images photos/",
        "calotype model profile -m ridge --entry-script score.py -d body.json --cpu 1",
        "calotype model profile -m ridge -d 'bodies/*.json'",
        "calotype model profile -m flowers --images dataset:flowers-test --requests-per-s 200",
    )
)
@workspace_option
@inference_options
@click.option(
    "--images",
    type=PATH,
    metavar="SOURCE",
    help="Images to send, 64 of them at most; also a pattern, or [dataset:]NAME[:VERSION].",
)
@click.option(
    "-d",
    "--input-data",
    "inputs",
    multiple=True,
    type=PATH,
    metavar="SOURCE",
    help="A JSON file with the body of a request, a text file with one in each line, a folder or a "
    "pattern of such, or [dataset:]NAME[:VERSION]; repeatable.  [default: the service's example]",
)
@click.option("--name", help="Of the profile.  [default: that of the first model]")
@click.option("--cpu", type=click.FloatRange(min=0.1), help="Cores it may use, whole ones.")
@click.option("--memory", type=click.FloatRange(min=0.01), help="GB it may use.")
@click.option(
    "--requests-per-s", type=click.FloatRange(min=0.001), help="What the service shall bear."
)
@click.option(
    "--duration-s",
    type=click.FloatRange(min=0.05),
    default=2.0,
    show_default=True,
    help="For each number of callers.",
)
@click.option("--allow-pickle", is_flag=True, help="Load .joblib and .pkl, which may run any code.")
def profile(
    terminal: Terminal,
    models: tuple[str, ...],
    inference_file: Path | None,
    entry_script: str | None,
    source_directory: Path | None,
    environment: str | None,
    images: Path | None,
    inputs: tuple[Path, ...],
    name: str | None,
    cpu: float | None,
    memory: float | None,
    requests_per_s: float | None,
    duration_s: float,
    allow_pickle: bool,
) -> None:
    """Serve models for real, call them alone and more and more at once, and say what they need.

    Callers and service share this machine: on another one, the service alone may be faster.
    """
    if images is not None and inputs:
        raise click.UsageError("--images and -d exclude each other.")
    from calotype.webservice.profile import recorded
    from calotype.webservice.profiling.measuring import ProfileRequest
    from calotype.workspace.service_settings import Inference

    workspace = current_workspace(make=are_paths(models))
    inference = inference_of(
        terminal,
        workspace,
        inference_file=inference_file,
        entry_script=entry_script,
        source_directory=source_directory,
        environment=environment,
        is_local=False,
    )
    references = models_of(terminal, workspace, models)
    request = ProfileRequest(
        references,
        inference or Inference(),
        requests=tuple(_requests(terminal, images, inputs)),
        cores=cpu or 0.0,
        memory_gb=memory or 0.0,
        duration_s=duration_s,
        requests_per_s=requests_per_s,
        allow_pickle=allow_pickle,
    )
    called = name or (references[0].partition(":")[0] if references else "profile")
    result = recorded(workspace, called, request, progress=terminal.progress)
    document = {"name": called, **result.to_document()}
    terminal.show(document, lambda console: _render(console, result))


def _requests(terminal: Terminal, images: Path | None, inputs: tuple[Path, ...]) -> list[Body]:
    from calotype.webservice.profiling import bodies

    if images is None:
        return [body for one in inputs for body in bodies.of_source(source_path(one, terminal))]
    found = source_path(images, terminal)
    return bodies.of_images(found) if found.exists() else bodies.of_source(found)


def _render(console: Console, result: ProfileResult) -> None:
    rows = [
        (
            one.callers,
            f"{one.requests_per_s:,.1f}",
            f"{one.mean_ms:.1f} ms",
            *(f"{one.percentile_ms(percent):.1f} ms" for percent in (50, 90, 99)),
            f"{one.cores:.1f}",
            one.failures,
        )
        for one in result.measured
    ]
    table(console, _COLUMNS, rows)
    said = result.recommendation
    found: list[tuple[str, object]] = [
        ("memory", f"{result.peak_bytes / 1e9:.2f} GB at most"),
        ("recommended", ""),
        ("  cpu cores", said.cpu_cores),
        ("  memory", f"{said.memory_gb:g} GB"),
        ("  workers", said.workers),
        ("  requests at a time", said.replica_max_concurrent_requests),
        ("one replica answers", f"{said.requests_per_s:,.1f} requests/s when 70 % busy"),
    ]
    if said.num_replicas is not None:
        found.append(("replicas", said.num_replicas))
    facts(console, found)
