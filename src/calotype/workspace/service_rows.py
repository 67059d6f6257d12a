"""Rows of services, their versions and revisions in the database."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, RowMapping

from calotype import errors
from calotype.workspace import tables
from calotype.workspace.origin import aware, now
from calotype.workspace.sealed_variables import sealed, unsealed
from calotype.workspace.secrets import KeyFile
from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings
from calotype.workspace.service_values import Revision, Service, Version


def read(connection: Connection, key_file: KeyFile, name: str) -> Service | None:
    """Return a service, None when there is none of that name."""
    query = sqlalchemy.select(tables.services).where(tables.services.c.name == name)
    row = connection.execute(query).mappings().one_or_none()
    return _service(connection, key_file, row) if row is not None else None


def read_all(connection: Connection, key_file: KeyFile) -> list[Service]:
    """Return all services, by name."""
    query = sqlalchemy.select(tables.services).order_by(tables.services.c.name)
    rows = connection.execute(query).mappings().all()
    return [_service(connection, key_file, row) for row in rows]


def add(connection: Connection, key_file: KeyFile, service: Service) -> None:
    """Write down a new service with its versions and their revisions."""
    values = _fields(service, but="versions")
    values["access"] = service.access.model_dump(mode="json")
    connection.execute(sqlalchemy.insert(tables.services).values(**values))
    for version in service.versions:
        add_version(connection, key_file, service.name, version)


def change(connection: Connection, name: str, values: Mapping[str, Any]) -> None:
    """Change columns of a service.

    Raises:
        NotFound: there is none of that name.
    """
    if isinstance(values.get("access"), AccessSettings):
        values = {**values, "access": values["access"].model_dump(mode="json")}
    changed = connection.execute(
        sqlalchemy.update(tables.services)
        .where(tables.services.c.name == name)
        .values(**values, updated_at=now())
    )
    if changed.rowcount == 0:
        raise missing(connection, name)


def add_version(connection: Connection, key_file: KeyFile, service: str, version: Version) -> None:
    """Write down a new version with its revisions."""
    connection.execute(
        sqlalchemy.insert(tables.service_versions).values(
            service=service,
            **_fields(version, but="revisions"),
            created_at=now(),
            updated_at=now(),
        )
    )
    for revision in version.revisions:
        add_revision(connection, key_file, service, version.name, revision)


def change_version(
    connection: Connection, service: str, version: str, values: Mapping[str, Any]
) -> bool:
    """Change columns of a version; return whether there is one of that name."""
    key = tables.service_versions.c
    changed = connection.execute(
        sqlalchemy.update(tables.service_versions)
        .where(key.service == service, key.name == version)
        .values(**values, updated_at=now())
    )
    return changed.rowcount > 0


def delete_version(connection: Connection, service: str, version: str) -> None:
    """Forget a version and its revisions."""
    key = tables.service_versions.c
    connection.execute(
        sqlalchemy.delete(tables.service_versions).where(
            key.service == service, key.name == version
        )
    )


def add_revision(
    connection: Connection, key_file: KeyFile, service: str, version: str, revision: Revision
) -> None:
    """Write down a new revision.

    Raises:
        CorruptWorkspace: it has variables, and this is not the key file of the workspace.
        NotFound: somebody has deleted a model of it since it was looked up.
    """
    _check_models(connection, revision.models)
    inference = revision.inference.model_dump(mode="json", exclude={"environment"})
    inference["environment"] = sealed(revision.inference.environment, key_file)
    connection.execute(
        sqlalchemy.insert(tables.service_revisions).values(
            service=service,
            version=version,
            number=revision.number,
            models=list(revision.models),
            inference=inference,
            runtime=revision.runtime.model_dump(mode="json"),
            created_at=now(),
        )
    )


def missing(connection: Connection, name: str) -> errors.NotFound:
    """Return the error for a service that there is not."""
    names = connection.execute(sqlalchemy.select(tables.services.c.name)).scalars()
    return errors.NotFound(
        f"expected a service '{name}'",
        where="this workspace",
        got="none of that name",
        action=errors.suggest(name, names) or "`calotype service list` shows all.",
    )


def _service(connection: Connection, key_file: KeyFile, row: RowMapping) -> Service:
    names = [item.name for item in dataclasses.fields(Service) if item.name != "versions"]
    values = {name: row[name] for name in names}
    values["access"] = AccessSettings.of(row["access"])
    values["created_at"], values["updated_at"] = aware(row["created_at"]), aware(row["updated_at"])
    return Service(**values, versions=_versions(connection, key_file, row["name"]))


def _versions(connection: Connection, key_file: KeyFile, service: str) -> tuple[Version, ...]:
    key = tables.service_versions.c
    query = sqlalchemy.select(tables.service_versions).where(key.service == service)
    found: list[Version] = []
    for row in connection.execute(query.order_by(key.name)).mappings().all():
        names = [item.name for item in dataclasses.fields(Version) if item.name != "revisions"]
        values = {name: row[name] for name in names}
        revisions = _revisions(connection, key_file, service, row["name"])
        found.append(Version(**values, revisions=revisions))
    return tuple(found)


def _revisions(
    connection: Connection, key_file: KeyFile, service: str, version: str
) -> tuple[Revision, ...]:
    key = tables.service_revisions.c
    query = sqlalchemy.select(tables.service_revisions).where(
        key.service == service, key.version == version
    )
    return tuple(
        Revision(
            row["number"],
            tuple(row["models"]),
            _inference(row["inference"], key_file),
            RuntimeSettings.of(row["runtime"]),
            aware(row["created_at"]),
        )
        for row in connection.execute(query.order_by(key.number)).mappings()
    )


def _inference(said: Mapping[str, Any], key_file: KeyFile) -> Inference:
    return Inference.of({**said, "environment": unsealed(said["environment"], key_file)})


def _fields(value: Service | Version, *, but: str) -> dict[str, Any]:
    names = [item.name for item in dataclasses.fields(value) if item.name != but]
    return {name: getattr(value, name) for name in names}


def _check_models(connection: Connection, models: Sequence[str]) -> None:
    key = tables.models.c
    for model in models:
        name, _, number = model.rpartition(":")
        query = sqlalchemy.select(key.id).where(key.name == name, key.version == int(number))
        if connection.execute(query).first() is None:
            raise errors.NotFound(
                f"expected the model '{model}'",
                where="this workspace",
                got="none of that name and version any more",
                action="`calotype model list` shows all.",
            )
