"""Changes of a service that exists: a new revision, other access, other tags."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from calotype import errors
from calotype.hosting.management import checking, credentials, keeper
from calotype.hosting.management.access import changed_access
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.services import ONLY_VERSION, Revision, Service, Version
from calotype.workspace.workspace import Workspace

_OF_LISTENERS: Final = ("host", "port", "tls_certificate", "tls_key", "tls_exact_1_2")


@dataclass(frozen=True, slots=True)
class Changes:
    """What shall become different; None leaves a thing as it is.

    Attributes:
        version: the version that gets a new revision.
        runtime: settings by name, or all of them.
        access: settings by name.
        always_new_revision: start anew even when nothing differs.
    """

    version: str = ONLY_VERSION
    models: Sequence[str] | None = None
    inference: Inference | None = None
    runtime: Mapping[str, Any] | RuntimeSettings | None = None
    access: Mapping[str, Any] | None = None
    tags: dict[str, str] | None = None
    properties: dict[str, str] | None = None
    description: str | None = None
    primary_key: str | None = field(default=None, repr=False)
    secondary_key: str | None = field(default=None, repr=False)
    always_new_revision: bool = False


def apply(
    workspace: Workspace, service: Service, changes: Changes, *, action: str = "service.update"
) -> Service:
    """Write changes down and have them made; the caller holds the lock of the service.

    Raises:
        CalotypeError: they cannot be made; nothing has changed then.
    """
    values = _values(workspace, service, changes)
    old = service.version(changes.version)
    revision = next_revision(workspace, service, old, changes)
    is_new = revision != old.wanted or changes.always_new_revision or _has_moved(service, values)
    if is_new:
        put_revision(workspace, service, old, revision, **values)
    elif values:
        workspace.services.change(service.name, **values)
    workspace.audit.note(
        action,
        service.name,
        changed=sorted(values),
        **(
            {"version": old.name, "revision": _number(old), "models": list(revision.models)}
            if is_new
            else {}
        ),
    )
    if is_new or values.keys() & {"access", "credentials"}:
        keeper.tell(workspace, service)
    return workspace.services.get(service.name)


def next_revision(
    workspace: Workspace, service: Service, version: Version, changes: Changes
) -> Revision:
    """Return what a version shall run, checked; its number is still that of the wanted one.

    Raises:
        CalotypeError: it could not run.
    """
    old = version.wanted
    models = old.models
    if changes.models is not None:
        models = checking.resolved(workspace, changes.models)
    inference = old.inference if changes.inference is None else changes.inference
    runtime = _runtime(old.runtime, changes.runtime)
    revision = Revision(old.number, models, inference, runtime)
    if changes.models is not None or changes.inference is not None or revision != old:
        checking.check_inference(workspace, models, inference, runtime)
        checking.check_runtime(service.target, runtime)
    return revision


def put_revision(
    workspace: Workspace, service: Service, version: Version, revision: Revision, **values: Any
) -> None:
    """Make a revision the wanted one of a version; the serving one goes on until it is ready.

    `values` are columns of the service, changed in the same moment.
    """
    number = _number(version)
    is_batch = service.target == "batch"
    workspace.services.put_version(
        service.name,
        dataclasses.replace(
            version,
            wanted_revision=number,
            serving_revision=number if is_batch else version.serving_revision,
            # What serves goes on serving: nobody sees a service that is healthy go away.
            state=version.state if version.serving_revision is not None else "Transitioning",
            error=None,
            revisions=(*version.revisions, dataclasses.replace(revision, number=number)),
        ),
        **values,
    )


def _has_moved(service: Service, values: Mapping[str, Any]) -> bool:
    """Whether replicas would have to listen otherwise; keys and rules they take while they run."""
    new = values.get("access", service.access)
    return any(getattr(new, name) != getattr(service.access, name) for name in _OF_LISTENERS)


def _number(version: Version) -> int:
    return max(one.number for one in version.revisions) + 1


def _runtime(
    old: RuntimeSettings, given: Mapping[str, Any] | RuntimeSettings | None
) -> RuntimeSettings:
    if given is None:
        return old
    if isinstance(given, RuntimeSettings):
        return given
    return RuntimeSettings.of({**old.model_dump(), **given}, where="runtime")


def _values(workspace: Workspace, service: Service, changes: Changes) -> dict[str, Any]:
    """Return the columns of the service that become different."""
    values: dict[str, Any] = {}
    if changes.tags is not None and changes.tags != service.tags:
        values["tags"] = dict(changes.tags)
    if changes.properties is not None:
        _check_added_only(service, changes.properties)
        if changes.properties.items() - service.properties.items():
            values["properties"] = {**service.properties, **changes.properties}
    if changes.description is not None and changes.description != service.description:
        values["description"] = changes.description
    if changes.access:
        access = changed_access(
            workspace, service.name, service.target, service.access, dict(changes.access)
        )
        if access != service.access:
            values["access"] = access
    if changes.primary_key or changes.secondary_key:
        secrets = credentials.with_chosen_keys(
            credentials.opened(workspace, service), changes.primary_key, changes.secondary_key
        )
        values["credentials"] = secrets.sealed(workspace.key_file)
    return values


def _check_added_only(service: Service, properties: Mapping[str, str]) -> None:
    for name, value in properties.items():
        if service.properties.get(name, value) != value:
            raise errors.NotSupported(
                "expected properties to be added only",
                where=f"property '{name}' of service '{service.name}'",
                got=f"another value than '{service.properties[name]}'",
                action="Use a tag for what changes.",
            )
