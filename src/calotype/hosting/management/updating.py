"""Changes of a service that exists: a new revision, other access, other tags."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from calotype.hosting.management import checking, credentials, keeper, rollouts
from calotype.hosting.management.access import changed_access
from calotype.hosting.management.labels import Labels
from calotype.hosting.management.shares import (
    Role,
    require_cluster,
    split,
    with_roles,
    write_roles,
    write_shares,
)
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
        labels: tags, properties, description.
        always_new_revision: start anew even when nothing differs.
        traffic_percent: the share of that version; the default one takes what is left.
        roles: that it gets, and the others lose.
    """

    version: str = ONLY_VERSION
    models: Sequence[str] | None = None
    inference: Inference | None = None
    runtime: Mapping[str, Any] | RuntimeSettings | None = None
    access: Mapping[str, Any] | None = None
    labels: Labels = field(default_factory=Labels)
    primary_key: str | None = field(default=None, repr=False)
    secondary_key: str | None = field(default=None, repr=False)
    always_new_revision: bool = False
    traffic_percent: int | None = None
    roles: tuple[Role, ...] = ()

    @property
    def is_about_revision(self) -> bool:
        """Whether something is said about what runs."""
        return not (self.models is None and self.inference is None and self.runtime is None)


def apply(
    workspace: Workspace, service: Service, changes: Changes, *, action: str = "service.update"
) -> Service:
    """Write changes down and have them made; the caller holds the lock of the service.

    Raises:
        CalotypeError: they cannot be made; nothing has changed then.
    """
    values = _values(workspace, service, changes)
    changes.labels.check(service)
    old = service.version(changes.version)
    base = base_of(old)
    revision = next_revision(workspace, service, old, changes)
    is_new = (
        revision != base
        or changes.always_new_revision
        or (changes.is_about_revision and base is not old.wanted)  # in place of what failed
        or _has_moved(service, values)
    )
    _check_shares(service, changes)
    with contextlib.ExitStack() as stack:
        if _concerns_keeper(changes, values, is_new=is_new):
            stack.enter_context(keeper.told(workspace, service, starts=is_new))
        said = _write(workspace, service, changes, values, revision if is_new else None)
        workspace.audit.note(action, service.name, changed=sorted(values), **said)
    return workspace.services.get(service.name)


def _write(
    workspace: Workspace,
    service: Service,
    changes: Changes,
    values: dict[str, Any],
    revision: Revision | None,
) -> dict[str, Any]:
    """Write all of it in one moment; return what is to be told about it."""
    said: dict[str, Any] = {}
    with workspace.services.editing(service.name) as edit:
        # Of now: what is said about a service changes without its lock.
        labels = changes.labels.changed(edit.service)
        values |= labels
        if revision is not None:
            number = edit.put_revision(changes.version, revision)
            said |= {"version": changes.version, "revision": number}
            said["models"] = list(revision.models)
        if values:
            edit.change(**values)
        write_roles(edit, changes.version, changes.roles)
        if changes.traffic_percent is not None:
            shares = _shares(edit.service, changes)
            write_shares(edit, shares)
            said |= {"version": changes.version, "percents": shares}
        if changes.traffic_percent is not None or "is_default" in changes.roles:
            said["ended_rollouts"] = rollouts.end_touched(edit, {changes.version})
    return said


def next_revision(
    workspace: Workspace, service: Service, version: Version, changes: Changes
) -> Revision:
    """Return what a version shall run, checked; its number is still that of what it builds on.

    Raises:
        CalotypeError: it could not run.
    """
    old = base_of(version)
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


def base_of(version: Version) -> Revision:
    """Return what a change of a version builds on: what serves, when what is wanted failed."""
    serving = version.serving_revision
    is_failed = version.error is not None and version.state != "Transitioning"
    if is_failed and serving is not None and serving != version.wanted_revision:
        return version.revision(serving)
    return version.wanted


def _concerns_keeper(changes: Changes, values: Mapping[str, Any], *, is_new: bool) -> bool:
    is_about_traffic = changes.traffic_percent is not None or bool(changes.roles)
    return is_new or is_about_traffic or bool(values.keys() & {"access", "credentials"})


def _check_shares(service: Service, changes: Changes) -> None:
    if changes.traffic_percent is not None:
        require_cluster(service)
        _shares(service, changes)


def _shares(service: Service, changes: Changes) -> dict[str, int]:
    assert changes.traffic_percent is not None
    as_if = with_roles(service, changes.version, changes.roles)
    return split(as_if, {changes.version: changes.traffic_percent})


def _has_moved(service: Service, values: Mapping[str, Any]) -> bool:
    """Whether replicas would have to listen otherwise; keys and rules they take while they run."""
    new = values.get("access", service.access)
    return any(getattr(new, name) != getattr(service.access, name) for name in _OF_LISTENERS)


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
