"""`calotype model deploy`: a service of registered models, or of files."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype import errors
from calotype.cli.completion import complete_services
from calotype.cli.deploy_options import (
    FLAGS,
    Target,
    access_options,
    check_target,
    given,
    inference_options,
    label_options,
    runtime_options,
)
from calotype.cli.deployment_progress import wait_for
from calotype.cli.inference import are_paths, inference_of, models_of, told
from calotype.cli.machine_notes import warn_of_replicas
from calotype.cli.options import PATH
from calotype.cli.service_option import pairs
from calotype.cli.service_show import document_of
from calotype.cli.terminal import Terminal, command, examples, facts
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.hosting.keeping import Observation
    from calotype.hosting.management import DeployRequest, Management
    from calotype.workspace.service_settings import Inference
    from calotype.workspace.services import Service

_MOST_EXAMPLE_CHARACTERS = 400


@command(
    epilog=examples(
        "calotype model deploy -n flowers -m flowers",
        "calotype model deploy -n flowers -m MODEL/ --compute cluster --ami 1 --ama 4",
        "calotype model deploy -n diabetes -m ridge:2 --entry-script score.py --auth key",
        "calotype model deploy -n diabetes -m ridge --ic inferenceconfig.json "
        "--dc deploymentconfig.json --overwrite",
    )
)
@click.option(
    "-n",
    "--name",
    required=True,
    shell_complete=complete_services,
    help="Of the service: 3 to 32 lower-case letters, digits and dashes.",
)
@workspace_option
@inference_options
@click.option(
    "--dc",
    "--deploy-config-file",
    "deployment_file",
    type=PATH,
    help="deploymentconfig.json; options go before what it says.",
)
@click.option(
    "--compute",
    "--ct",
    type=Target(),
    help="local: to try it, no keys; instance: an address of its own; cluster: replicas behind the "
    "front door, keys on; batch: for folders.  [default: what --dc says, else local]",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Update the service of that name in place; not needed for one that never answered and is "
    "Failed or Unschedulable.",
)
@click.option("--no-wait", is_flag=True, help="Come back before it is ready.")
@click.option("--timeout-s", type=click.FloatRange(min=1), help="[default: 20 minutes]")
@label_options
@access_options
@click.option(
    "--primary-key",
    "--pk",
    envvar="CALOTYPE_PRIMARY_KEY",
    show_envvar=True,
    help="With --auth key.  [default: one is made]",
)
@click.option(
    "--secondary-key",
    "--sk",
    envvar="CALOTYPE_SECONDARY_KEY",
    show_envvar=True,
    help="With --auth key.  [default: one is made]",
)
@click.option("--version-name", "--vn", help="Of the first version of an endpoint.")
@click.option("--traffic-percentile", type=int, hidden=True)
@runtime_options
def deploy(
    terminal: Terminal,
    name: str,
    models: tuple[str, ...],
    inference_file: Path | None,
    entry_script: str | None,
    source_directory: Path | None,
    environment: str | None,
    deployment_file: Path | None,
    compute: str | None,
    overwrite: bool,
    no_wait: bool,
    timeout_s: float | None,
    description: str | None,
    tag: tuple[str, ...],
    property_: tuple[str, ...],
    primary_key: str | None,
    secondary_key: str | None,
    version_name: str | None,
    traffic_percentile: int | None,
    **options: Any,
) -> None:
    """Deploy models as a service that goes on running after this command, and after reboots.

    An image model, an .onnx file and a scikit-learn model need no script.
    """
    from calotype.hosting.management import Management

    values = given(options) | {
        key: value
        for key, value in (
            ("description", description),
            ("tags", pairs(tag, option="--tag")),
            ("properties", pairs(property_, option="--property")),
            ("version_name", version_name),
            ("traffic_percentile", traffic_percentile),
        )
        if value is not None
    }
    keys = (primary_key or None, secondary_key or None)
    workspace = current_workspace(make=are_paths(models))
    document = _document(deployment_file, compute, is_endpoint=version_name is not None)
    check_target(values, document["computeType"])
    inference = inference_of(
        terminal,
        workspace,
        inference_file=inference_file,
        entry_script=entry_script,
        source_directory=source_directory,
        environment=environment,
        is_local=document["computeType"] == "local",
    )
    references = models_of(terminal, workspace, models)
    request = _request(
        terminal,
        name,
        references,
        inference,
        document=document,
        values=values,
        keys=keys,
        overwrite=overwrite,
        file=deployment_file,
    )
    management = Management(workspace)
    service = management.deploy(request)
    warn_of_replicas(terminal, service)
    observation = None
    if request.target != "batch":
        if not no_wait:
            observation = wait_for(terminal, management, name, timeout_s=timeout_s)
        else:
            observation = management.observe(name)
    _show(terminal, management, service, observation, is_ready=not no_wait)


def _document(path: Path | None, compute: str | None, *, is_endpoint: bool) -> dict[str, Any]:
    from calotype.webservice.deployment_files import read_deployment

    document = read_deployment(path) if path else {}
    said = str(compute or document.get("computeType") or "local").lower()
    if is_endpoint and said in ("cluster", "aks"):  # versions have names there
        said = "endpoint"
    return {**document, "computeType": said}


def _request(
    terminal: Terminal,
    name: str,
    references: tuple[str, ...],
    inference: Inference | None,
    *,
    document: dict[str, Any],
    values: dict[str, Any],
    keys: tuple[str | None, str | None],
    overwrite: bool,
    file: Path | None,
) -> DeployRequest:
    from calotype.webservice.deployment_files import request_of

    if keys != (None, None) and values.get("auth", "key") == "key":
        values |= {"primary_key": keys[0], "secondary_key": keys[1]}
    with told(terminal):
        return request_of(
            document,
            values,
            name=name,
            models=references,
            inference=inference,
            overwrite=overwrite,
            options=FLAGS,
            where=str(file or ""),
            folder=file.absolute().parent if file else None,
        )


def _show(
    terminal: Terminal,
    management: Management,
    service: Service,
    observation: Observation | None,
    *,
    is_ready: bool,
) -> None:
    line = ""
    if observation is not None and observation.scoring_uri:
        line = _curl(management, service, observation.scoring_uri, is_ready=is_ready)
    document = document_of(service, observation) | ({"call_it_with": line} if line else {})

    def render(console: Console) -> None:
        rows: list[tuple[str, object]] = [
            ("name", service.name),
            ("target", service.target),
            ("state", document["state"]),
            *(
                (key.replace("_uri", " URI"), document[key])
                for key in ("scoring_uri", "swagger_uri")
                if document[key]
            ),
            ("auth", _auth(service)),
            ("models", ", ".join(service.models) or "none"),
        ]
        facts(console, rows)
        if line:
            click.echo(f"\nCall it with\n  {line}")

    terminal.show(document, render)


def _auth(service: Service) -> str:
    hint = {
        "none": "",
        "key": f" (`calotype service get-keys -n {service.name}` shows both)",
        "token": f" (`calotype service get-access-token -n {service.name}` gets one)",
    }[service.access.auth]
    return service.access.auth + hint


def _curl(management: Management, service: Service, uri: str, *, is_ready: bool) -> str:
    """Return a command that works as it stands, but for the name of a file."""
    command = {
        "none": "",
        "key": f"$(calotype service get-keys -n {service.name} --only primary)",
        "token": f"$(calotype service get-access-token -n {service.name} --only-token)",
    }[service.access.auth]
    parts = ["curl", *([f'-H "Authorization: Bearer {command}"'] if command else [])]
    if service.access.tls_certificate:
        parts.append(f"--cacert {shlex.quote(service.access.tls_certificate)}")
    if service.access.cname:  # its name may lead here only later, or from elsewhere
        parts.append(f"--resolve {service.access.cname}:{service.access.port}:127.0.0.1")
    body = ""
    if is_ready:
        from calotype.clients.described import describe

        try:
            described = describe(uri, fetch=management.document_reader(service.name, uri))
        except errors.CalotypeError:  # it has a document of its own, which is none of Swagger's
            described = None
        if described is not None and described.is_image:
            parts += ["-H 'Content-Type: image/jpeg'", "--data-binary @photo.jpg"]
            return " ".join([*parts, uri])
        # A script that describes nothing takes any JSON: an empty object would be no example.
        text = json.dumps(described.example) if described and described.example else ""
        body = text if 0 < len(text) <= _MOST_EXAMPLE_CHARACTERS else ""
    if not body:  # our own program finds address and credential, and any JSON may be what it takes
        return f"calotype service run -n {service.name} -d '…'"
    parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
    return " ".join([*parts, uri])
