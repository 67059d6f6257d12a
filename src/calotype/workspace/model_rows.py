"""Registered models as rows of their table."""

from __future__ import annotations

import dataclasses

import sqlalchemy
from sqlalchemy import Connection, RowMapping

from calotype import errors
from calotype.workspace import tables
from calotype.workspace.naming import Reference, not_found, note_deleted
from calotype.workspace.registered_model import RegisteredModel
from calotype.workspace.services import aware


def is_(model: RegisteredModel) -> sqlalchemy.ColumnElement[bool]:
    """Return the condition for the row of a model."""
    key = tables.models.c
    return sqlalchemy.and_(key.name == model.name, key.version == model.version)


def get(connection: Connection, reference: Reference) -> RegisteredModel:
    """Return what a reference means.

    Raises:
        NotFound: there is none.
    """
    key = tables.models.c
    query = sqlalchemy.select(tables.models).where(key.name == reference.name)
    if reference.version is not None:
        query = query.where(key.version == reference.version)
    row = connection.execute(query.order_by(key.version.desc()).limit(1)).mappings().first()
    if row is None:
        raise missing(connection, reference)
    return of_row(row)


def every(connection: Connection, name: str | None) -> list[RegisteredModel]:
    """Return all models, or those of a name: by name, the newest version first."""
    key = tables.models.c
    query = sqlalchemy.select(tables.models).order_by(key.name, key.version.desc())
    if name is not None:
        query = query.where(key.name == name)
    return [of_row(row) for row in connection.execute(query).mappings()]


def remove(connection: Connection, model: RegisteredModel) -> None:
    """Delete the row of a model; its version is never given again.

    Raises:
        NotFound: it was deleted already.
    """
    gone = connection.execute(sqlalchemy.delete(tables.models).where(is_(model)))
    if gone.rowcount == 0:
        raise missing(connection, Reference(model.name, model.version))
    note_deleted(connection, tables.models, model.name, model.version)


def missing(connection: Connection, reference: Reference) -> errors.NotFound:
    """Return the error for a reference that means nothing; it suggests what is there."""
    key = tables.models.c
    query = sqlalchemy.select(key.version).where(key.name == reference.name)
    versions = connection.execute(query).scalars().all()
    return not_found("model", reference, versions, names(connection))


def names(connection: Connection) -> list[str]:
    """Return all names, sorted."""
    key = tables.models.c
    query = sqlalchemy.select(key.name).distinct().order_by(key.name)
    return list(connection.execute(query).scalars())


def of_row(row: RowMapping) -> RegisteredModel:
    """Return the model of a row."""
    values = {item.name: row[item.name] for item in dataclasses.fields(RegisteredModel)}
    values["created_at"], values["updated_at"] = aware(row["created_at"]), aware(row["updated_at"])
    return RegisteredModel(**values)
