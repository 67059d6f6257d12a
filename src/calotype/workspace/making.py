"""Makes a workspace: key file, tables, its first facts, and last its configuration."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection

from calotype import errors, files
from calotype.workspace import postgres, store_url, tables
from calotype.workspace.database import Database
from calotype.workspace.location import CONFIGURATION, FOLDER, Location, is_database
from calotype.workspace.locking import waiting
from calotype.workspace.secrets import KeyFile, write_private

MANAGEMENT_KEY: Final = "management_key"
_ARTIFACTS: Final = "artifacts"
_NAME_RULE: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a workspace.

    Raises:
        UnparsableValue: it has other characters, or none, or too many.
    """
    if not _NAME_RULE.fullmatch(name):
        raise errors.UnparsableValue(
            "expected 1 to 255 letters, digits, dashes and underscores",
            where="the name of the workspace",
            got=f"'{name[:80]}'",
        )


def make(name: str, place: Location) -> bool:
    """Make a workspace; return False when there is one. Another process may do the same.

    Raises:
        NotSupported: the URL of the database or of the artifacts has a secret.
    """
    _refuse_other_urls(place)
    _refuse_password(place.database)
    store_url.refuse_secrets(place.artifacts)
    _make_folder(place)
    with waiting(place.root / "making.lock"):
        if place.is_made:
            return False
        database = Database(place.database, make=True)
        try:
            database.migrate()
            with database.writing() as connection:
                if _fact(connection, "name") is not None:
                    _refuse_taken(connection, name, database)
                KeyFile(place.key_file).make()
                _put_facts(connection, name, place)
            _write_configuration(place)
        finally:
            database.close()
    return True


def join(url: str, folder: Path) -> Location:
    """Write the configuration of a workspace that is in a database already.

    Raises:
        NotSupported: the URL has a password.
        NotFound: there is no workspace in that database.
    """
    _refuse_password(url)
    database = Database(url)
    try:
        database.open()
        with database.reading() as connection:
            artifacts = str(_fact(connection, _ARTIFACTS) or "")
    except errors.CorruptWorkspace as error:
        raise errors.NotFound(
            "expected a workspace in that database",
            where=database.shown,
            got=error.got,
            action="Make one with `calotype workspace create NAME --database URL`.",
        ) from error
    finally:
        database.close()
    place = Location.of_folder(folder, database=url, artifacts=artifacts)
    if not artifacts:
        raise errors.NotSupported(
            "expected a workspace whose artifacts are on a store that all machines reach",
            where=database.shown,
            got="artifacts in a folder of the machine where it was made",
            action="Use it there, or make one with --artifacts.",
        )
    _make_folder(place)
    _write_configuration(place)
    return place


def _make_folder(place: Location) -> None:
    try:
        place.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.write_error(error, where=str(place.root)) from error


def _put_facts(connection: Connection, name: str, place: Location) -> None:
    sealed = KeyFile(place.key_file).seal({"key": secrets.token_urlsafe(32)}).decode()
    values: dict[str, Any] = {
        "name": name,
        "id": secrets.token_hex(16),
        MANAGEMENT_KEY: sealed,
        _ARTIFACTS: place.to_document()["artifacts"],
    }
    for fact, value in values.items():
        connection.execute(sqlalchemy.delete(tables.facts).where(tables.facts.c.name == fact))
        connection.execute(sqlalchemy.insert(tables.facts).values(name=fact, value=value))


def _refuse_taken(connection: Connection, name: str, database: Database) -> None:
    """Refuse a shared database with a workspace; that of a half-made folder may be made again."""
    if database.url.startswith("sqlite"):
        return
    raise errors.AlreadyExists(
        "expected a database without a workspace",
        where=database.shown,
        got=f"the workspace '{_fact(connection, 'name')}'",
        action="Use that with `-w URL`.",
    )


def _write_configuration(place: Location) -> None:
    # No commit shall take the key file along.
    files.write_text(place.root / ".gitignore", "*\n")
    text = json.dumps(place.to_document(), indent=2) + "\n"
    write_private(place.root / CONFIGURATION, text.encode())  # last: now it is made


def _fact(connection: Connection, name: str) -> Any:
    query = sqlalchemy.select(tables.facts.c.value).where(tables.facts.c.name == name)
    return connection.execute(query).scalar_one_or_none()


def _refuse_password(url: str) -> None:
    """Refuse what would lie in clear text in the configuration."""
    if is_database(url) and postgres.has_password(url):
        raise errors.NotSupported(
            "expected the URL of a database without a password, as it is written to a file",
            where=postgres.shown(url),
            got="one with a password",
            action="Leave it out, and give it in the variable PGPASSWORD, in ~/.pgpass, or in a "
            "service file (postgresql://?service=NAME).",
        )


def _refuse_other_urls(place: Location) -> None:
    assert place.root.name == FOLDER
    folder = store_url.local_folder(place.artifacts)
    if folder is not None and not folder.is_absolute():
        raise errors.UnparsableValue(
            "expected an absolute folder or a URL", where="artifacts", got=f"'{folder}'"
        )
