"""A new service, or one of the same name updated in place."""

from __future__ import annotations

import dataclasses

from calotype import errors
from calotype.hosting.layout import Layout
from calotype.hosting.management import checking, credentials, keeper, labels, updating
from calotype.hosting.management.access import new_access
from calotype.hosting.management.locking import changing
from calotype.hosting.management.request import DeployRequest
from calotype.hosting.management.shares import default_of
from calotype.workspace.machine import identity
from calotype.workspace.naming import checked_texts
from calotype.workspace.services import Revision, Service, Version, now, user
from calotype.workspace.workspace import Workspace


def deploy(workspace: Workspace, request: DeployRequest) -> Service:
    """Write down that there should be a service, and have it started.

    After `calotype down` this brings the other services of the workspace back too.

    Raises:
        CalotypeError: the request cannot be met; nothing has changed then.
    """
    checking.check_name(request.name)
    models = checking.resolved(workspace, request.models)
    checking.check_inference(workspace, models, request.inference, request.runtime)
    checking.check_runtime(request.target, request.runtime)
    request = dataclasses.replace(request, models=models)
    if request.target != "batch":
        keeper.warn_of_password(workspace.place)
    with changing(Layout.of(workspace.place), request.name):
        existing = _existing(workspace, request)
        if existing is not None:
            return _overwrite(workspace, existing, request)
        return _add(workspace, request)


def _existing(workspace: Workspace, request: DeployRequest) -> Service | None:
    try:
        existing = workspace.services.get(request.name)
    except errors.NotFound:
        return None
    if not request.overwrite and not _has_failed_at_once(existing):
        raise errors.AlreadyExists(
            "expected a name that no service has",
            where=f"service '{request.name}'",
            got="one of that name",
            action="Choose another, or say overwrite=True (--overwrite).",
        )
    keeper.require_kept_here(workspace, existing)
    if (existing.target, existing.is_endpoint) != (request.target, request.is_endpoint):
        raise errors.AlreadyExists(
            f"expected a service on target '{request.target}', to be updated in place",
            where=f"service '{request.name}'",
            got=f"one on target '{existing.target}'"
            if existing.target != request.target
            else "another kind of endpoint",
            action=f"Delete it first (`calotype service delete -n {request.name}`): on another "
            "target it gets another address.",
        )
    return existing


def _has_failed_at_once(service: Service) -> bool:
    """Whether nobody can miss a service: it never answered, and will not by itself."""
    has_failed = service.state in ("Failed", "Unschedulable")
    return has_failed and all(one.serving_revision is None for one in service.versions)


def _add(workspace: Workspace, request: DeployRequest) -> Service:
    checking.check_version_name(request.version)
    service = _service(workspace, request)
    with keeper.told(workspace, service, starts=True):
        workspace.services.add(service)
        workspace.audit.note(
            "service.deploy",
            service.name,
            target=service.target,
            version=request.version,
            models=list(request.models),
            auth=service.access.auth,
        )
    return workspace.services.get(service.name)


def _service(workspace: Workspace, request: DeployRequest) -> Service:
    _check_chosen_keys(request)
    access = new_access(workspace, request.target, request.access)
    if request.primary_key or request.secondary_key:
        _require_keys(request, access.auth)
    if request.is_endpoint and request.target != "cluster":
        raise errors.NotSupported(
            "expected target 'cluster'", where="endpoint", got=f"'{request.target}'"
        )
    secrets = credentials.make_credentials(request.primary_key, request.secondary_key)
    is_batch = request.target == "batch"
    version = Version(
        name=request.version,
        traffic_percent=request.traffic_percent if request.is_endpoint else 100,
        is_default=True,
        is_control=request.is_endpoint,
        wanted_revision=1,
        # Nothing has to start before jobs can be submitted.
        serving_revision=1 if is_batch else None,
        state="Healthy" if is_batch else "Transitioning",
        error=None,
        revisions=(Revision(1, request.models, request.inference, request.runtime),),
    )
    return Service(
        name=request.name,
        target=request.target,
        is_endpoint=request.is_endpoint,
        access=access,
        credentials=secrets.sealed(workspace.key_file),
        desired="running",
        state=version.state,
        error=None,
        host=identity(workspace.place),
        description=request.description,
        tags=checked_texts(request.tags, what="tags"),
        properties=checked_texts(request.properties, what="properties"),
        created_by=user(),
        created_at=now(),
        updated_at=now(),
        versions=(version,),
    )


def _overwrite(workspace: Workspace, existing: Service, request: DeployRequest) -> Service:
    access = request.access.model_dump(exclude_unset=True)
    if request.primary_key or request.secondary_key:
        _require_keys(request, access.get("auth") or existing.access.auth)
    is_known = any(one.name == request.version for one in existing.versions)
    version = request.version if is_known else default_of(existing).name
    return updating.apply(
        workspace,
        existing,
        updating.Changes(
            version=version,
            models=request.models,
            inference=request.inference,
            runtime=request.runtime,
            access=access,
            labels=labels.Labels(
                tags=request.tags,
                properties=request.properties,
                description=request.description,
            ),
            primary_key=request.primary_key,
            secondary_key=request.secondary_key,
            always_new_revision=True,
        ),
        action="service.deploy",
    )


def _check_chosen_keys(request: DeployRequest) -> None:
    for key, name in ((request.primary_key, "primary"), (request.secondary_key, "secondary")):
        if key == "":
            raise errors.EmptyInput(
                "expected a key", where=f"{name} key", action="Leave it out to have one made."
            )


def _require_keys(request: DeployRequest, auth: str) -> None:
    if auth != "key":
        raise errors.NotSupported(
            "expected a service with keys",
            where=f"keys of service '{request.name}'",
            got=f"auth '{auth}' on target '{request.target}'",
            action="Say --auth key (auth_enabled=True), or leave the keys out."
            if request.target in ("instance", "cluster")
            else "Leave the keys out, or use target 'instance' or 'cluster'.",
        )
