"""`calotype service versions|create-version|update-version|delete-version`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from calotype.cli.deploy_options import given, inference_options, runtime_options
from calotype.cli.deployment_progress import is_another_revision, wait_for
from calotype.cli.inference import inference_of, models_of
from calotype.cli.machine_notes import warn_of_replicas
from calotype.cli.service_option import management, name_option
from calotype.cli.service_show import document_of, observed, render_versions
from calotype.cli.service_update import check_replicas, runtime_values
from calotype.cli.terminal import Terminal, command, examples
from calotype.cli.workspace_option import current_workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from calotype.workspace.services import Service

_ROLES = (
    click.option("--traffic", type=click.IntRange(0, 100), help="Percent of the requests."),
    click.option("--default", "is_default", is_flag=True, help="It takes what others leave."),
    click.option(
        "--control",
        "is_control",
        is_flag=True,
        help="Canaries are measured by it while it gets requests.",
    ),
    click.option("--no-wait", is_flag=True, help="Come back before it is ready."),
    click.option("--timeout-s", type=click.FloatRange(min=1), help="[default: 20 minutes]"),
)


def _role_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_ROLES):
        function = option(function)
    return function


@command(epilog=examples("calotype service versions -n flowers"))
@name_option
def versions(terminal: Terminal, name: str) -> None:
    """List the versions of a service with their shares of the traffic, as they are now."""
    show_versions(terminal, current_workspace().services.get(name))


def show_versions(terminal: Terminal, service: Service) -> None:
    """Print the versions of a service."""
    document = document_of(service, observed(service))
    terminal.show(
        document["versions"], lambda console: render_versions(console, document, always=True)
    )


@command(
    name="create-version",
    epilog=examples(
        "calotype service create-version -n flowers --version blue -m flowers:2",
        "calotype service create-version -n flowers --version blue -m flowers:2 --traffic 10",
        "calotype service run -n flowers --version blue --image photo.jpg",
    ),
)
@name_option
@click.option("--version", required=True, help="Name of the new version.")
@inference_options
@_role_options
@runtime_options
def create_version(
    terminal: Terminal,
    name: str,
    version: str,
    models: tuple[str, ...],
    traffic: int | None,
    is_default: bool,
    is_control: bool,
    no_wait: bool,
    timeout_s: float | None,
    **options: Any,
) -> None:
    """Add a version to a service on target cluster; what is not said is as in the default one.

    Without --traffic, only callers get it who ask with the header x-calotype-version.
    """
    workspace = current_workspace()
    runtime = runtime_values(given(options))
    changes = management()
    service = changes.create_version(
        name,
        version,
        models=models_of(terminal, workspace, models) or None,
        inference=inference_of(terminal, workspace, is_local=False, **options),
        runtime=runtime or None,
        traffic_percent=traffic or 0,
        is_default=is_default,
        is_control=is_control,
    )
    warn_of_replicas(terminal, service, version)
    if not no_wait:
        wait_for(terminal, changes, name, timeout_s=timeout_s, version=version)
    show_versions(terminal, service)


@command(
    name="update-version",
    epilog=examples("calotype service update-version -n flowers --version blue -m flowers:3"),
)
@name_option
@click.option("--version", required=True, help="Name of the version.")
@inference_options
@_role_options
@runtime_options
def update_version(
    terminal: Terminal,
    name: str,
    version: str,
    models: tuple[str, ...],
    traffic: int | None,
    is_default: bool,
    is_control: bool,
    no_wait: bool,
    timeout_s: float | None,
    **options: Any,
) -> None:
    """Change a version in place; what is not said stays."""
    workspace = current_workspace()
    said = given(options)
    before = workspace.services.get(name)
    runtime = runtime_values(said)
    check_replicas(said, before, version)
    changes = management()
    service = changes.update_version(
        name,
        version,
        models=models_of(terminal, workspace, models) or None,
        inference=inference_of(terminal, workspace, is_local=False, **options),
        runtime=runtime or None,
        traffic_percent=traffic,
        is_default=is_default,
        is_control=is_control,
    )
    if runtime:
        warn_of_replicas(terminal, service, version)
    if is_another_revision(before, service, version) and not no_wait:
        wait_for(terminal, changes, name, timeout_s=timeout_s, version=version)
    show_versions(terminal, service)


@command(
    name="delete-version",
    epilog=examples("calotype service delete-version -n flowers --version blue"),
)
@name_option
@click.option("--version", required=True, help="Name of the version.")
def delete_version(terminal: Terminal, name: str, version: str) -> None:
    """Remove a version; its share of the traffic goes to the default one."""
    show_versions(terminal, management().delete_version(name, version))
