"""Looks for records of services that contradict each other."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from calotype import errors

if TYPE_CHECKING:
    from calotype.workspace.services import Service, Version
    from calotype.workspace.workspace import Workspace

Problem = tuple[str, str, str]
"""Where, what and what to do."""

_DEPLOY = "Deploy it again: `calotype model deploy --overwrite`."


def problems(workspace: Workspace) -> Generator[Problem]:
    """Give what is wrong in the records of services and in what they refer to."""
    for service in workspace.services.list():
        where = f"service '{service.name}'"
        yield from ((where, *said) for said in _of_versions(service))
        for version in service.versions:
            place = f"version '{version.name}' of {where}"
            yield from ((place, *said) for said in _of_revisions(workspace, version))


def _of_versions(service: Service) -> Generator[tuple[str, str]]:
    defaults = [one.name for one in service.versions if one.is_default]
    if len(defaults) != 1:
        yield (
            f"It should have one default version and has {', '.join(defaults) or 'none'}.",
            "`calotype service update-version --default` chooses one."
            if service.versions
            else _DEPLOY,
        )
    total = sum(one.traffic_percent for one in service.versions)
    if total > 100:
        yield (
            f"Its versions have {total} percent of the traffic together.",
            "`calotype service traffic` shares it out anew.",
        )


def _of_revisions(workspace: Workspace, version: Version) -> Generator[tuple[str, str]]:
    known = {one.number: one for one in version.revisions}
    referenced = {version.wanted_revision, version.serving_revision} - {None}
    for number in sorted(one for one in referenced if one is not None):
        if number not in known:
            yield f"It has no revision {number}, which should run.", _DEPLOY
            continue
        for model in known[number].models:
            try:
                workspace.models.find(model)
            except errors.NotFound:
                yield (
                    f"Model '{model}' of revision {number} is not registered.",
                    "`calotype service update` with another model.",
                )
