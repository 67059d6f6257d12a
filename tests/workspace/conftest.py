"""A workspace for each test, on SQLite; and databases of both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, running_server

from calotype.workspace import sqlite
from calotype.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Make an empty workspace."""
    made = Workspace.create("tests", tmp_path / "place")
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Start a server that all tests of this process share."""
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return sqlite.url_of(tmp_path / "database" / "workspace.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()
