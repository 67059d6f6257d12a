"""`calotype service update|delete`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype import errors
from calotype.cli.deploy_options import (
    FLAGS,
    access_options,
    given,
    inference_options,
    label_options,
    runtime_options,
)
from calotype.cli.deployment_progress import is_another_revision, wait_for
from calotype.cli.inference import inference_of, models_of
from calotype.cli.machine_notes import warn_of_replicas
from calotype.cli.options import PATH
from calotype.cli.service_option import management, name_option, pairs
from calotype.cli.service_show import observed, show_service
from calotype.cli.terminal import Terminal, command, examples
from calotype.cli.workspace_option import current_workspace

if TYPE_CHECKING:
    from calotype.webservice.parameter_wording import Words
    from calotype.workspace.services import Service


@command(
    epilog=examples(
        "calotype service update -n flowers -m flowers:2",
        "calotype service update -n diabetes --entry-script score.py",
        "calotype service update -n flowers --auth key --ama 8",
        "calotype service update -n flowers --tag stage=live --remove-tag trial",
    )
)
@name_option
@inference_options
@click.option(
    "--dc",
    "--deploy-config-file",
    "deployment_file",
    type=PATH,
    help="deploymentconfig.json; what it does not say stays.",
)
@label_options
@click.option("--remove-tag", multiple=True, metavar="NAME", help="Repeatable.")
@click.option("--version", help="Which of its versions.  [default: its default one]")
@click.option("--no-wait", is_flag=True, help="Come back before the change is made.")
@click.option("--timeout-s", type=click.FloatRange(min=1), help="[default: 20 minutes]")
@access_options
@runtime_options
def update(
    terminal: Terminal,
    name: str,
    models: tuple[str, ...],
    inference_file: Path | None,
    entry_script: str | None,
    source_directory: Path | None,
    environment: str | None,
    deployment_file: Path | None,
    description: str | None,
    tag: tuple[str, ...],
    property_: tuple[str, ...],
    remove_tag: tuple[str, ...],
    version: str | None,
    no_wait: bool,
    timeout_s: float | None,
    **options: Any,
) -> None:
    """Change a service in place: what is not said stays, and so do its URI and keys.

    What serves goes on until the changed one is ready, and when that fails.
    """
    workspace = current_workspace()
    service = workspace.services.get(name)
    values = given(options)
    said, words = _said(deployment_file, values)
    check_replicas(said, service, version, words)
    inference = inference_of(
        terminal,
        workspace,
        inference_file=inference_file,
        entry_script=entry_script,
        source_directory=source_directory,
        environment=environment,
        is_local=service.target == "local",
    )
    changes = management()
    updated = changes.update(
        name,
        version=version,
        models=models_of(terminal, workspace, models) or None,
        inference=inference,
        runtime=runtime_values(said, words) or None,
        access=access_values(service, said) or None,
        add_tags=pairs(tag, option="--tag") or said.get("tags"),
        remove_tags=_removed(service, remove_tag),
        properties=pairs(property_, option="--property") or said.get("properties"),
        description=description if description is not None else said.get("description"),
    )
    if said.keys() & {"num_replicas", "autoscale_min_replicas", "memory_gb"}:
        warn_of_replicas(terminal, updated, version)
    chosen = version or next(one.name for one in updated.versions if one.is_default)
    is_started = is_another_revision(service, updated, chosen)
    if is_started and not no_wait and updated.target != "batch":
        wait_for(terminal, changes, name, timeout_s=timeout_s, version=chosen)
    show_service(terminal, workspace.services.get(name), observed(updated))


def _said(path: Path | None, values: dict[str, Any]) -> tuple[dict[str, Any], Words]:
    """Return what a file and options say, and what they call each parameter."""
    from calotype.webservice.deployment_files import parameters_of, read_deployment
    from calotype.webservice.parameter_wording import words_of

    document = read_deployment(path) if path else {}
    said = parameters_of(document) | values
    if said.get("primary_key") or said.get("secondary_key"):
        raise click.UsageError("Keys are exchanged by `calotype service regen-key`.")
    return said, words_of(document, values, FLAGS)


def runtime_values(said: dict[str, Any], words: Words = FLAGS) -> dict[str, Any]:
    """Return the runtime settings that values of the SDK's parameters change.

    Args:
        said: by parameter.
        words: what each is called in messages; options when left out.

    Raises:
        UnparsableValue: they cannot be used; with all that is wrong.
    """
    from calotype.webservice import configuration_checks
    from calotype.webservice.deployment_parameters import problems_of, runtime_of
    from calotype.webservice.parameter_wording import as_written, told_in
    from calotype.workspace.service_settings import RuntimeSettings

    problems = [*problems_of(said), *configuration_checks.autoscale(said, is_update=True)]
    if problems:
        raise errors.UnparsableValue(
            "expected settings without faults",
            got="; ".join(as_written(problem, words) for problem in problems),
        )
    values = runtime_of(said)
    with told_in(words):
        RuntimeSettings.of(values)
    return values


def check_replicas(
    said: dict[str, Any], service: Service, version: str | None, words: Words = FLAGS
) -> None:
    """Refuse a number of replicas while that follows the load, and the other way round.

    Raises:
        UnparsableValue: so it is.
    """
    from calotype.hosting.management.shares import default_of
    from calotype.webservice.configuration_checks import autoscale_kept
    from calotype.webservice.parameter_wording import as_written

    if service.target != "cluster":
        return
    changed = service.version(version) if version else default_of(service)
    if problems := list(autoscale_kept(said, changed.wanted.runtime)):
        raise errors.UnparsableValue(
            "expected settings without faults",
            got="; ".join(as_written(problem, words) for problem in problems),
        )


def access_values(service: Service, said: dict[str, Any]) -> dict[str, Any]:
    """Return the access settings that values of the SDK's parameters change."""
    from calotype.webservice.deployment_parameters import access_of

    values = access_of(said)
    if said.get("ssl_enabled") is False:
        values |= {"tls_certificate": "", "tls_key": "", "cname": ""}
    if "auth" in said:
        values["auth"] = said["auth"]
    elif said.get("token_auth_enabled"):
        values["auth"] = "token"
    elif said.get("auth_enabled") is not None:
        values["auth"] = "key" if said["auth_enabled"] else "none"
    elif said.get("token_auth_enabled") is False and service.access.auth == "token":
        values["auth"] = "none"
    return values


def _removed(service: Service, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in service.tags:
            hint = errors.suggest(name, service.tags)
            raise click.UsageError(f"The service has no tag '{name}'. {hint}".rstrip())
    return names


@command(
    epilog=examples("calotype service delete -n flowers", "calotype service delete -n flowers -y")
)
@name_option
@click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
def delete(terminal: Terminal, name: str, yes: bool) -> None:
    """Remove a service: its address, processes, files, keys and logs. Its models stay.

    Collected inputs and predictions stay too.
    """
    service = current_workspace().services.get(name)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete {service.target} service '{name}'?", abort=True, err=True)
    is_gone = management().delete(name)
    terminal.show(
        {"name": name, "deleted": is_gone}, lambda console: console.print(f"Deleted {name}.")
    )
