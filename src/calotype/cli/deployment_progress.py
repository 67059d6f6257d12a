"""Watching a service start: each step on stderr, and the whole reason when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from calotype.cli.terminal import Terminal

if TYPE_CHECKING:
    from calotype.hosting.keeping import Observation
    from calotype.hosting.management import Management
    from calotype.workspace.services import Service

INTERRUPTED: Final = 130


def wait_for(
    terminal: Terminal,
    management: Management,
    name: str,
    *,
    timeout_s: float | None = None,
    version: str | None = None,
) -> Observation:
    """Wait until a service, or one of its versions, is ready, telling each step.

    Raises:
        OperationFailed: it does not become ready; trace and model folder are on stderr by then.
    """
    from calotype.hosting.management.waiting import DeploymentFailed

    said: set[str] = set()
    last: list[Observation] = []

    def tell(observation: Observation) -> None:
        last[:] = [observation]
        for line in _steps(name, observation):
            if line not in said:
                said.add(line)
                terminal.progress.say(line)

    try:
        return management.wait(name, on_change=tell, timeout_s=timeout_s, version=version)
    except KeyboardInterrupt:
        click.echo(_goes_on(name, last[-1] if last else None), err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except DeploymentFailed as failure:
        if failure.details:
            click.echo(failure.details, err=True)
        raise


def _goes_on(name: str, observation: Observation | None) -> str:
    versions = observation.versions.values() if observation else ()
    has_served = any(one.serving_revision is not None for one in versions)
    undo = f"`calotype service {'rollback' if has_served else 'delete'} -n {name}`"
    return (
        f"Interrupted. It goes on in the background: `calotype service show -n {name}` shows how "
        f"far it is, {undo} {'takes it back' if has_served else 'deletes it'}."
    )


def is_another_revision(before: Service, after: Service, version: str) -> bool:
    """Whether a change made a revision of a version, which has to start; labels make none."""
    return before.version(version).wanted_revision != after.version(version).wanted_revision


def _steps(name: str, observation: Observation) -> list[str]:
    """Return what there is to tell, in the order in which it happens: Healthy comes last."""
    state = [f"{name}: {observation.state}"]
    wanted = {version: seen.wanted_revision for version, seen in observation.versions.items()}
    lines = [
        f"{name}: replica {one.replica} of {one.version}, revision {one.revision}: {one.state}"
        for one in observation.replicas
        if one.revision == wanted.get(one.version, one.revision)
    ]
    for version, seen in observation.versions.items():
        if seen.serving_revision is not None and seen.serving_revision == seen.wanted_revision:
            lines.append(f"{name}: {version} serves revision {seen.serving_revision}")
    return [*lines, *state] if observation.state == "Healthy" else [*state, *lines]
