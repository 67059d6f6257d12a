"""Registered environments: what Python, packages and variables a script needs."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import sqlalchemy
from sqlalchemy import Connection, RowMapping

from calotype import errors
from calotype.workspace import tables
from calotype.workspace.naming import Reference, check_name, next_version, not_found
from calotype.workspace.sealed_variables import (
    VARIABLES,
    SealedVariables,
    check_variables,
    masked,
    sealed,
    unsealed,
)
from calotype.workspace.services import now, user

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

LATEST: Final = "latest"


@dataclass(frozen=True, slots=True)
class EnvironmentDefinition:
    """What an entry script runs in.

    Attributes:
        name: of the environment.
        version: given at registration; None before.
        interpreter: path of the Python that runs the script; empty for our own.
        python_version: such as "3.11"; empty when nothing was said.
        pip_requirements: lines of a requirements file.
        pip_options: options of pip, such as --extra-index-url; never with a password.
        conda_dependencies: packages of conda, such as "numpy=2.1".
        conda_channels: where conda looks for them.
        is_user_managed: the interpreter has all that is needed already.
        environment_variables: for the script; their values are secrets.
        base_image: of the container in `model package`.
        dockerfile: text that takes the place of `base_image`.
        docker_registry: address of the base image's registry.
        tags: of the environment.
    """

    name: str
    version: int | None = None
    interpreter: str = ""
    python_version: str = ""
    pip_requirements: tuple[str, ...] = ()
    pip_options: tuple[str, ...] = ()
    conda_dependencies: tuple[str, ...] = ()
    conda_channels: tuple[str, ...] = ()
    is_user_managed: bool = False
    environment_variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    base_image: str = ""
    dockerfile: str = ""
    docker_registry: str = ""
    tags: dict[str, str] = field(default_factory=dict[str, str])

    def to_document(self) -> dict[str, Any]:
        """Return this as JSON shows it, without values of variables; what is empty is left out."""
        return masked(self.whole_document())

    def whole_document(self) -> dict[str, Any]:
        """Return `to_document` with the values of the variables: to be sealed, never shown."""
        said = {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if getattr(self, item.name)
        }
        return {
            "name": self.name,
            **{
                key: list(value) if isinstance(value, tuple) else value
                for key, value in said.items()
            },
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Self:
        """Return what `whole_document` was made of.

        Raises:
            UnparsableValue: it has an unknown key, or a value of another type.
        """
        known = {item.name: item for item in dataclasses.fields(cls)}
        for key in document:
            if key not in known:
                raise errors.UnparsableValue(
                    "expected a part of an environment",
                    where="environment",
                    got=f"'{key}'",
                    action=errors.suggest(key, known),
                )
        values: dict[str, Any] = {"name": ""}
        values |= {key: _converted(key, value) for key, value in document.items()}
        return cls(**values)


class EnvironmentRegistry:
    """The environments of a workspace.

    Args:
        workspace: whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._database = workspace.database

    def register(
        self, definition: EnvironmentDefinition, *, labels: Iterable[str] = ()
    ) -> EnvironmentDefinition:
        """Register an environment and return it with its version.

        The same definition as the latest one of its name stays that version.

        Raises:
            UnparsableValue: the name is none, or that of a variable.
            CorruptWorkspace: there are variables, and not the key file of this workspace.
        """
        check_name(definition.name, kind="environment")
        check_variables(definition.environment_variables)
        plain = dataclasses.replace(definition, version=None, tags={}).whole_document()
        kept = sealed(plain, self._workspace.key_file)
        with self._database.writing() as connection:
            latest = _row(connection, Reference(definition.name))
            if latest is not None and self._document(latest) == plain:
                version = latest["version"]
                if VARIABLES in latest["definition"]:  # in clear, by an earlier build
                    _change(connection, definition.name, version, definition=kept)
                if definition.tags:
                    tags = {**latest["tags"], **definition.tags}
                    _change(connection, definition.name, version, tags=tags)
            else:
                version = next_version(connection, tables.environments, definition.name)
                connection.execute(
                    sqlalchemy.insert(tables.environments).values(
                        name=definition.name,
                        version=version,
                        definition=kept,
                        labels=[],
                        tags=definition.tags,
                        properties={},
                        created_at=now(),
                        created_by=user(),
                    )
                )
            _label(connection, definition.name, version, labels)
            return self._definition(_existing(connection, Reference(definition.name, version)))

    def get(
        self, name: str, version: int | None = None, *, label: str | None = None
    ) -> EnvironmentDefinition:
        """Return an environment: that version, the one with that label, or the latest.

        Raises:
            NotFound: there is none.
        """
        with self._database.reading() as connection:
            if label in (None, LATEST):
                return self._definition(_existing(connection, Reference(name, version)))
            for row in _rows(connection, name):
                if label in row["labels"]:
                    return self._definition(row)
            known = {one for row in _rows(connection, name) for one in row["labels"]}
        raise errors.NotFound(
            f"expected a version with the label '{label}'",
            where=f"environment '{name}'",
            got=", ".join(sorted(known)) or "no labels",
        )

    def list(
        self, name: str | None = None, *, latest: bool = False
    ) -> builtins.list[EnvironmentDefinition]:
        """Return environments, by name, the newest version first."""
        with self._database.reading() as connection:
            found = [self._definition(row) for row in _rows(connection, name)]
        if not latest:
            return found
        newest = {one.name: one for one in reversed(found)}
        return [one for one in found if newest[one.name] is one]

    def labels(self, name: str, version: int) -> builtins.list[str]:
        """Return the labels of a version.

        Raises:
            NotFound: there is none.
        """
        with self._database.reading() as connection:
            return list(_existing(connection, Reference(name, version))["labels"])

    def label(self, name: str, version: int, labels: Iterable[str]) -> None:
        """Give a version these labels, and take them from the version that had them.

        Raises:
            NotFound: there is no such version.
        """
        with self._database.writing() as connection:
            _existing(connection, Reference(name, version))
            _label(connection, name, version, labels)

    def _document(self, row: RowMapping) -> dict[str, Any]:
        return unsealed(row["definition"], self._workspace.key_file)

    def _definition(self, row: RowMapping) -> EnvironmentDefinition:
        said = EnvironmentDefinition.of_document(self._document(row))
        return dataclasses.replace(said, version=row["version"], tags=row["tags"])


def _converted(key: str, value: Any) -> Any:
    is_list = key in ("pip_requirements", "pip_options", "conda_dependencies", "conda_channels")
    if is_list and isinstance(value, list | tuple):
        return tuple(str(one) for one in value)
    if isinstance(value, SealedVariables):
        return value
    if key in ("environment_variables", "tags") and isinstance(value, Mapping):
        return {str(name): str(one) for name, one in value.items()}
    expected: Any = {"version": (int, type(None)), "is_user_managed": bool}.get(key, str)
    if not is_list and isinstance(value, expected):
        return value
    raise errors.UnparsableValue(
        "expected a value of another type",
        where=f"environment: '{key}'",
        got=repr(value)[:80],
    )


def _rows(connection: Connection, name: str | None) -> list[RowMapping]:
    key = tables.environments.c
    query = sqlalchemy.select(tables.environments).order_by(key.name, key.version.desc())
    if name is not None:
        query = query.where(key.name == name)
    return list(connection.execute(query).mappings())


def _row(connection: Connection, reference: Reference) -> RowMapping | None:
    rows = _rows(connection, reference.name)
    return next((row for row in rows if reference.version in (None, row["version"])), None)


def _existing(connection: Connection, reference: Reference) -> RowMapping:
    row = _row(connection, reference)
    if row is None:
        rows = _rows(connection, None)
        versions = [one["version"] for one in rows if one["name"] == reference.name]
        names = {one["name"] for one in rows}
        raise not_found("environment", reference, versions, names)
    return row


def _label(connection: Connection, name: str, version: int, labels: Iterable[str]) -> None:
    given = [label for label in dict.fromkeys(labels) if label != LATEST]
    for row in _rows(connection, name) if given else []:
        kept = [label for label in row["labels"] if label not in given]
        wanted = [*kept, *given] if row["version"] == version else kept
        if wanted != row["labels"]:
            _change(connection, name, row["version"], labels=wanted)


def _change(connection: Connection, name: str, version: int, **values: Any) -> None:
    key = tables.environments.c
    connection.execute(
        sqlalchemy.update(tables.environments)
        .where(key.name == name, key.version == version)
        .values(**values)
    )
