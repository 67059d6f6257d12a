"""Changes of one service that are made together, or not at all."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Connection

from calotype.workspace import service_rows
from calotype.workspace.secrets import KeyFile
from calotype.workspace.service_values import Revision, Service, Version


class ServiceEdit:
    """One service inside a transaction; got from `ServiceRecords.editing`.

    Only what is named is written: the keeper writes other columns of the same rows at any time.

    Args:
        connection: the only writer.
        key_file: seals the secrets of new revisions.
        service: as it is now.

    Attributes:
        service: as it was when the transaction began, which nobody else can change meanwhile.
    """

    def __init__(self, connection: Connection, key_file: KeyFile, service: Service) -> None:
        self.service = service
        self._connection = connection
        self._key_file = key_file

    def change(self, **values: Any) -> None:
        """Change columns of the service: access, credentials, desired, tags…"""
        service_rows.change(self._connection, self.service.name, values)

    def change_version(self, version: str, **values: Any) -> None:
        """Change columns of a version: traffic_percent, rollout…

        Raises:
            NotFound: there is none of that name.
        """
        if not service_rows.change_version(self._connection, self.service.name, version, values):
            self.service.version(version)

    def add_version(self, version: Version) -> None:
        """Write down a new version with its revisions."""
        service_rows.add_version(self._connection, self._key_file, self.service.name, version)

    def delete_version(self, version: str) -> None:
        """Forget a version and its revisions."""
        service_rows.delete_version(self._connection, self.service.name, version)

    def put_revision(self, version: str, revision: Revision) -> int:
        """Make a revision the wanted one of a version, under the next number; return that.

        What serves goes on until the new one is ready; in a service without processes it is at
        once.

        Raises:
            NotFound: there is no such version, or a model has been deleted.
        """
        there = self.service.version(version)
        number = max((one.number for one in there.revisions), default=0) + 1
        numbered = dataclasses.replace(revision, number=number)
        service_rows.add_revision(
            self._connection, self._key_file, self.service.name, version, numbered
        )
        values: dict[str, Any] = {"wanted_revision": number, "error": None}
        if self.service.target == "batch":
            values["serving_revision"] = number
        elif there.serving_revision is None:  # nobody sees a service that is healthy go away
            values["state"] = "Transitioning"
        self.change_version(version, **values)
        return number
