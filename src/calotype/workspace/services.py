"""What services there should be: records of services, their versions and revisions.

Management writes what is wanted; the keeper of the machine writes what has become of it.
"""

from __future__ import annotations

import dataclasses
import getpass
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import sqlalchemy
from sqlalchemy import Connection, RowMapping

from calotype import errors
from calotype.workspace import tables
from calotype.workspace.service_settings import (
    AccessSettings,
    Inference,
    RuntimeSettings,
    Target,
)

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

State = Literal["Transitioning", "Healthy", "Unhealthy", "Unschedulable", "Failed"]
Desired = Literal["running", "stopped"]
Fault = dict[str, str]
"""`message`, `trace` (may be empty) and `at` (ISO 8601) of why something is not Healthy."""

ONLY_VERSION: Final = "default"


@dataclass(frozen=True, slots=True)
class Revision:
    """What one deployment or update asked for; never changed afterwards."""

    number: int
    models: tuple[str, ...]
    inference: Inference
    runtime: RuntimeSettings


@dataclass(frozen=True, slots=True)
class Version:
    """One of the versions under a service's name; services that are no endpoints have one.

    Attributes:
        serving_revision: the last one that became ready; it goes on while `wanted_revision` is
            started, and when that fails. None: none ever did.
        rollout: rules and progress of a canary; empty for none.
    """

    name: str
    traffic_percent: int
    is_default: bool
    is_control: bool
    wanted_revision: int
    serving_revision: int | None
    state: State
    error: Fault | None
    revisions: tuple[Revision, ...] = ()
    mirror_percent: int = 0
    rollout: dict[str, Any] = field(default_factory=dict[str, Any])

    def revision(self, number: int) -> Revision:
        """Return one of its revisions."""
        return next(one for one in self.revisions if one.number == number)

    @property
    def wanted(self) -> Revision:
        """What should run."""
        return self.revision(self.wanted_revision)


@dataclass(frozen=True, slots=True)
class Service:
    """One service as the workspace knows it."""

    name: str
    target: Target
    is_endpoint: bool
    access: AccessSettings
    credentials: bytes = field(repr=False)
    desired: Desired
    state: State
    error: Fault | None
    host: str
    description: str
    tags: dict[str, str]
    properties: dict[str, str]
    created_by: str
    created_at: datetime
    updated_at: datetime
    versions: tuple[Version, ...] = ()

    def version(self, name: str = ONLY_VERSION) -> Version:
        """Return one of its versions.

        Raises:
            NotFound: it has none of that name.
        """
        for one in self.versions:
            if one.name == name:
                return one
        raise errors.NotFound(
            f"expected a version '{name}'",
            where=f"service '{self.name}'",
            got=", ".join(one.name for one in self.versions) or "none",
        )

    @property
    def models(self) -> tuple[str, ...]:
        """`name:version` of all models that its versions want or serve."""
        used: dict[str, None] = {}
        for version in self.versions:
            for number in {version.wanted_revision, version.serving_revision} - {None}:
                used |= dict.fromkeys(version.revision(number or 0).models)
        return tuple(used)


class ServiceRecords:
    """The services of a workspace.

    Args:
        workspace: whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._database = workspace.database

    def list(self) -> list[Service]:
        """Return all, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(
                sqlalchemy.select(tables.services).order_by(tables.services.c.name)
            ).mappings()
            return [_service(row, _versions(connection, row["name"])) for row in rows]

    def get(self, name: str) -> Service:
        """Return one.

        Raises:
            NotFound: there is none of that name.
        """
        with self._database.reading() as connection:
            found = self._find(connection, name)
            if found is None:
                names = connection.execute(sqlalchemy.select(tables.services.c.name)).scalars()
                raise errors.NotFound(
                    f"expected a service '{name}'",
                    where="this workspace",
                    got="none of that name",
                    action=errors.suggest(name, names) or "`calotype service list` shows all.",
                )
        return found

    def add(self, service: Service) -> None:
        """Register a new service with its versions and their revisions.

        Raises:
            AlreadyExists: the name is taken.
        """
        with self._database.writing() as connection:
            if self._find(connection, service.name) is not None:
                raise errors.AlreadyExists(
                    "expected a name that no service has",
                    where=f"service '{service.name}'",
                    got="one of that name",
                    action="Choose another, or say overwrite=True (--overwrite).",
                )
            connection.execute(sqlalchemy.insert(tables.services).values(**_row(service)))
            for version in service.versions:
                _put_version(connection, service.name, version)

    def change(self, name: str, **values: Any) -> None:
        """Change columns of a service: access, credentials, desired, state, error, tags…

        Raises:
            NotFound: there is none of that name.
        """
        with self._database.writing() as connection:
            _change(connection, name, values)

    def put_version(self, service: str, version: Version, **values: Any) -> None:
        """Write a version and those of its revisions that are new, and columns of its service.

        Raises:
            NotFound: there is no such service.
        """
        with self._database.writing() as connection:
            _change(connection, service, values)
            _put_version(connection, service, version)

    def change_version(self, service: str, version: str, **values: Any) -> None:
        """Change columns of a version: serving_revision, state, error, traffic_percent…"""
        key = tables.service_versions.c
        with self._database.writing() as connection:
            connection.execute(
                sqlalchemy.update(tables.service_versions)
                .where(key.service == service, key.name == version)
                .values(**values, updated_at=now())
            )

    def delete_version(self, service: str, version: str) -> None:
        """Forget a version and its revisions."""
        key = tables.service_versions.c
        with self._database.writing() as connection:
            connection.execute(
                sqlalchemy.delete(tables.service_versions).where(
                    key.service == service, key.name == version
                )
            )

    def delete(self, name: str) -> bool:
        """Forget a service and all of it; return whether there was one."""
        with self._database.writing() as connection:
            gone = connection.execute(
                sqlalchemy.delete(tables.services).where(tables.services.c.name == name)
            )
            return gone.rowcount > 0

    def fingerprint(self) -> tuple[object, ...]:
        """Return what differs whenever a service or a version has changed; cheap to ask for."""
        services, versions = tables.services, tables.service_versions
        query = sqlalchemy.select(
            *(
                sqlalchemy.select(what).scalar_subquery()
                for table in (services, versions)
                for what in (
                    sqlalchemy.func.count(table.c.state),
                    sqlalchemy.func.max(table.c.updated_at),
                )
            )
        )
        with self._database.reading() as connection:
            return tuple(connection.execute(query).one())

    def users_of(self, model: str) -> list[str]:
        """Return the names of the services that want or serve a model (`name:version`)."""
        return [service.name for service in self.list() if model in service.models]

    def _find(self, connection: Connection, name: str) -> Service | None:
        query = sqlalchemy.select(tables.services).where(tables.services.c.name == name)
        row = connection.execute(query).mappings().one_or_none()
        return _service(row, _versions(connection, name)) if row is not None else None


def now() -> datetime:
    """Return the time for a record."""
    return datetime.now(UTC)


def user() -> str:
    """Return who is at work, for `created_by` and the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def machine() -> str:
    """Return the name of this machine, which runs the services that were deployed on it."""
    return socket.gethostname()


def aware(moment: datetime) -> datetime:
    """Return a time of the database with its zone, which SQLite does not keep."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _service(row: RowMapping, versions: Sequence[Version]) -> Service:
    names = [item.name for item in dataclasses.fields(Service) if item.name != "versions"]
    values = {name: row[name] for name in names}
    values["access"] = AccessSettings.of(row["access"])
    values["created_at"], values["updated_at"] = aware(row["created_at"]), aware(row["updated_at"])
    return Service(**values, versions=tuple(versions))


def _versions(connection: Connection, service: str) -> list[Version]:
    key = tables.service_versions.c
    query = sqlalchemy.select(tables.service_versions).where(key.service == service)
    found: list[Version] = []
    for row in connection.execute(query.order_by(key.name)).mappings():
        names = [item.name for item in dataclasses.fields(Version) if item.name != "revisions"]
        values = {name: row[name] for name in names}
        found.append(Version(**values, revisions=_revisions(connection, service, row["name"])))
    return found


def _revisions(connection: Connection, service: str, version: str) -> tuple[Revision, ...]:
    key = tables.service_revisions.c
    query = sqlalchemy.select(tables.service_revisions).where(
        key.service == service, key.version == version
    )
    return tuple(
        Revision(
            row["number"],
            tuple(row["models"]),
            Inference.of(row["inference"]),
            RuntimeSettings.of(row["runtime"]),
        )
        for row in connection.execute(query.order_by(key.number)).mappings()
    )


def _row(service: Service) -> dict[str, Any]:
    values = {
        item.name: getattr(service, item.name)
        for item in dataclasses.fields(service)
        if item.name != "versions"
    }
    return {**values, "access": service.access.model_dump(mode="json")}


def _change(connection: Connection, name: str, values: dict[str, Any]) -> None:
    if isinstance(values.get("access"), AccessSettings):
        values = {**values, "access": values["access"].model_dump(mode="json")}
    changed = connection.execute(
        sqlalchemy.update(tables.services)
        .where(tables.services.c.name == name)
        .values(**values, updated_at=now())
    )
    if changed.rowcount == 0:
        raise errors.NotFound(
            f"expected a service '{name}'", where="this workspace", got="none of that name"
        )


def _put_version(connection: Connection, service: str, version: Version) -> None:
    values = {
        item.name: getattr(version, item.name)
        for item in dataclasses.fields(version)
        if item.name != "revisions"
    }
    key = tables.service_versions.c
    known = sqlalchemy.and_(key.service == service, key.name == version.name)
    if connection.execute(sqlalchemy.select(key.name).where(known)).first() is None:
        connection.execute(
            sqlalchemy.insert(tables.service_versions).values(
                service=service, **values, created_at=now(), updated_at=now()
            )
        )
    else:
        connection.execute(
            sqlalchemy.update(tables.service_versions)
            .where(known)
            .values(**values, updated_at=now())
        )
    there = {one.number for one in _revisions(connection, service, version.name)}
    for revision in version.revisions:
        if revision.number not in there:
            _check_models(connection, revision.models)
            connection.execute(
                sqlalchemy.insert(tables.service_revisions).values(
                    service=service,
                    version=version.name,
                    number=revision.number,
                    models=list(revision.models),
                    inference=revision.inference.model_dump(mode="json"),
                    runtime=revision.runtime.model_dump(mode="json"),
                    created_at=now(),
                )
            )


def _check_models(connection: Connection, models: Sequence[str]) -> None:
    """Refuse models that somebody has deleted since they were looked up."""
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
