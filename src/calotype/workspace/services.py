"""What services there should be: records of services, their versions and revisions.

Management writes what is wanted; the keeper of the machine writes what has become of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from sqlalchemy import Connection

from calotype import errors
from calotype.workspace import service_rows, tables
from calotype.workspace.origin import aware, machine, now, user
from calotype.workspace.service_edit import ServiceEdit
from calotype.workspace.service_values import (
    ONLY_VERSION,
    Desired,
    Fault,
    Revision,
    Service,
    State,
    Version,
)

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

__all__ = [
    "ONLY_VERSION",
    "Desired",
    "Fault",
    "Revision",
    "Service",
    "ServiceEdit",
    "ServiceRecords",
    "State",
    "Version",
    "aware",
    "machine",
    "now",
    "user",
]

_CHANGES: Final = "service_changes"


class ServiceRecords:
    """The services of a workspace.

    Args:
        workspace: whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._database = workspace.database
        self._key_file = workspace.key_file

    def list(self) -> list[Service]:
        """Return all, by name."""
        with self._database.reading() as connection:
            return service_rows.read_all(connection, self._key_file)

    def get(self, name: str) -> Service:
        """Return one.

        Raises:
            NotFound: there is none of that name.
        """
        with self._database.reading() as connection:
            found = service_rows.read(connection, self._key_file, name)
            if found is None:
                raise service_rows.missing(connection, name)
        return found

    def add(self, service: Service) -> None:
        """Register a new service with its versions and their revisions.

        Raises:
            AlreadyExists: the name is taken.
        """
        with self._writing() as connection:
            if service_rows.read(connection, self._key_file, service.name) is not None:
                raise errors.AlreadyExists(
                    "expected a name that no service has",
                    where=f"service '{service.name}'",
                    got="one of that name",
                    action="Choose another, or say overwrite=True (--overwrite).",
                )
            service_rows.add(connection, self._key_file, service)

    @contextlib.contextmanager
    def editing(self, name: str) -> Generator[ServiceEdit]:
        """Give a service to be changed in one transaction; an error undoes all of it.

        Raises:
            NotFound: there is none of that name.
        """
        with self._writing() as connection:
            found = service_rows.read(connection, self._key_file, name)
            if found is None:
                raise service_rows.missing(connection, name)
            yield ServiceEdit(connection, self._key_file, found)

    def change(self, name: str, **values: Any) -> None:
        """Change columns of a service: access, credentials, desired, state, error, tags…

        Raises:
            NotFound: there is none of that name.
        """
        with self._writing() as connection:
            service_rows.change(connection, name, values)

    def change_version(self, service: str, version: str, **values: Any) -> None:
        """Change columns of a version, if there is one of that name: state, serving_revision…"""
        with self._writing() as connection:
            service_rows.change_version(connection, service, version, values)

    def delete(self, name: str) -> bool:
        """Forget a service and all of it; return whether there was one."""
        with self._writing() as connection:
            gone = connection.execute(
                sqlalchemy.delete(tables.services).where(tables.services.c.name == name)
            )
            return gone.rowcount > 0

    def fingerprint(self) -> int:
        """Return what differs whenever a service or a version has changed; cheap to ask for.

        A count, as the clocks of machines that share a workspace are apart.
        """
        with self._database.reading() as connection:
            return _changes(connection)

    def sealed_of_token_services(self) -> dict[str, bytes]:
        """Return the sealed credentials of the services that take tokens, by name."""
        column = tables.services.c
        query = sqlalchemy.select(column.name, column.access, column.credentials)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return {
            row["name"]: row["credentials"] for row in rows if row["access"].get("auth") == "token"
        }

    def users_of(self, model: str) -> list[str]:
        """Return the names of the services that want or serve a model (`name:version`)."""
        return [service.name for service in self.list() if model in service.models]

    @contextlib.contextmanager
    def _writing(self) -> Generator[Connection]:
        with self._database.writing() as connection:
            yield connection
            number = _changes(connection) + 1
            key = tables.facts.c.name
            connection.execute(sqlalchemy.delete(tables.facts).where(key == _CHANGES))
            connection.execute(sqlalchemy.insert(tables.facts).values(name=_CHANGES, value=number))


def _changes(connection: Connection) -> int:
    query = sqlalchemy.select(tables.facts.c.value).where(tables.facts.c.name == _CHANGES)
    return int(connection.execute(query).scalar_one_or_none() or 0)
