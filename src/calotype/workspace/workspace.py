"""A workspace: its name, its place, and doors to everything in it."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy

from calotype import errors
from calotype.workspace import making, tables
from calotype.workspace.database import Database
from calotype.workspace.location import Location, find
from calotype.workspace.secrets import KeyFile

if TYPE_CHECKING:
    from calotype.workspace.artifacts import ArtifactStore
    from calotype.workspace.audit import AuditLog
    from calotype.workspace.datasets import DatasetRegistry
    from calotype.workspace.environments import EnvironmentRegistry
    from calotype.workspace.model_registry import ModelRegistry
    from calotype.workspace.presence import Presence
    from calotype.workspace.runs import RunRecords
    from calotype.workspace.services import ServiceRecords


class Workspace:
    """Datasets, models, environments, runs and services, and where they are kept.

    Made by `create`, `from_config` or `get`. Safe to use from several threads and processes.

    Args:
        location: where it is.

    Raises:
        NotFound: there is no workspace (2004).
        CorruptWorkspace: it cannot be read (2007).
    """

    def __init__(self, location: Location) -> None:
        if not location.is_made:
            raise errors.NotFound(
                "expected a workspace",
                where=str(location.root),
                got="none",
                action="Make one with `calotype workspace create`.",
            )
        self.place = location
        self.key_file = KeyFile(location.key_file, lambda: self._sealed_management_key)
        self.database = Database(location.database)
        with contextlib.ExitStack() as stack:
            stack.callback(self.database.close)
            self.database.open()
            stack.pop_all()

    @classmethod
    def create(
        cls,
        name: str,
        location: str | Path | None = None,
        exist_ok: bool = False,
        *,
        database: str = "",
        artifacts: str = "",
    ) -> Self:
        """Make a workspace.

        Args:
            name: 1 to 255 letters, digits, dashes and underscores.
            location: the folder that gets a `.calotype`; the working folder when left out.
            exist_ok: return the one that is there.
            database: SQLAlchemy URL of a database elsewhere.
            artifacts: fsspec URL of a store elsewhere.

        Raises:
            AlreadyExists: there is one, and `exist_ok` is false (0057).
            UnparsableValue: the name has other characters (0002).
            CannotWrite: the folder cannot be written to (0046).
        """
        making.check_name(name)
        place = Location.of_folder(
            Path(location or Path.cwd()), database=database, artifacts=artifacts
        )
        if not making.make(name, place) and not exist_ok:
            raise errors.AlreadyExists(
                "expected a place without a workspace",
                where=str(place.root),
                got="one",
                action="Use it as it is (`calotype workspace show`, `Workspace.from_config`), or "
                "say --exist-ok (exist_ok=True).",
            )
        return cls(Location.read(place.root))

    @classmethod
    def join(cls, database: str, location: str | Path) -> Self:
        """Use a workspace that another machine has made, through its database.

        What is sealed in it, such as keys of services, needs its key file too.

        Args:
            database: SQLAlchemy URL.
            location: the folder that gets a `.calotype`.

        Raises:
            NotFound: there is no workspace in that database.
        """
        return cls(making.join(database, Path(location)))

    @classmethod
    def from_config(cls, path: str | Path | None = None) -> Self:
        """Return the workspace at `path`, or the one that a command would use here.

        Raises:
            NotFound: there is none.
        """
        return cls(Location.read(find(str(path) if path else None)))

    @classmethod
    def get(cls, name: str, location: str | Path | None = None) -> Self:
        """Return the workspace of that name.

        Raises:
            NotFound: there is none here, or it has another name.
        """
        workspace = cls.from_config(location)
        if workspace.name != name:
            raise errors.NotFound(
                f"expected the workspace '{name}'",
                where=str(workspace.place.root),
                got=f"'{workspace.name}'",
            )
        return workspace

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.fact("name"))

    @property
    def location(self) -> str:
        """The `.calotype` folder."""
        return str(self.place.root)

    @property
    def management_key(self) -> str:
        """What gets tokens of all services over HTTP: a secret.

        Raises:
            CorruptWorkspace: the key file is missing or another one (2007).
        """
        return self.key_file.open(self._sealed_management_key)["key"]

    @property
    def _sealed_management_key(self) -> bytes:
        return str(self.fact(making.MANAGEMENT_KEY)).encode()

    def counts(self) -> dict[str, int]:
        """Return how many datasets, models, environments, runs and services there are."""
        counted = (
            tables.datasets,
            tables.models,
            tables.environments,
            tables.runs,
            tables.services,
        )
        query = sqlalchemy.select(
            *(
                sqlalchemy.select(sqlalchemy.func.count())
                .select_from(one)
                .scalar_subquery()
                .label(one.name)
                for one in counted
            )
        )
        with self.database.reading() as connection:
            return dict(connection.execute(query).mappings().one())

    def fact(self, name: str) -> Any:
        """Return a single value about the workspace, None when it was never set."""
        with self.database.reading() as connection:
            query = sqlalchemy.select(tables.facts.c.value).where(tables.facts.c.name == name)
            return connection.execute(query).scalar_one_or_none()

    def set_fact(self, name: str, value: Any) -> None:
        """Set a single value about the workspace."""
        with self.database.writing() as connection:
            connection.execute(sqlalchemy.delete(tables.facts).where(tables.facts.c.name == name))
            connection.execute(sqlalchemy.insert(tables.facts).values(name=name, value=value))

    @functools.cached_property
    def artifacts(self) -> ArtifactStore:
        """Files by their content."""
        from calotype.workspace.artifacts import open_store

        return open_store(self.place.artifacts)

    @functools.cached_property
    def audit(self) -> AuditLog:
        """Who changed what."""
        from calotype.workspace.audit import AuditLog

        return AuditLog(self.database)

    @functools.cached_property
    def datasets(self) -> DatasetRegistry:
        """Registered datasets."""
        from calotype.workspace.datasets import DatasetRegistry

        return DatasetRegistry(self)

    @functools.cached_property
    def models(self) -> ModelRegistry:
        """Registered models."""
        from calotype.workspace.model_registry import ModelRegistry

        return ModelRegistry(self)

    @functools.cached_property
    def environments(self) -> EnvironmentRegistry:
        """Registered environments."""
        from calotype.workspace.environments import EnvironmentRegistry

        return EnvironmentRegistry(self)

    @functools.cached_property
    def runs(self) -> RunRecords:
        """What was run: batch jobs."""
        from calotype.workspace.runs import RunRecords

        return RunRecords(self)

    @functools.cached_property
    def services(self) -> ServiceRecords:
        """What services there should be, and how they are."""
        from calotype.workspace.services import ServiceRecords

        return ServiceRecords(self)

    @functools.cached_property
    def presence(self) -> Presence:
        """Which machines look after their services now."""
        from calotype.workspace.presence import Presence

        return Presence(self)

    def close(self) -> None:
        """Let go of its database."""
        self.database.close()
