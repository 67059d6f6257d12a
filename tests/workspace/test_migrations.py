"""Databases become what this version needs, whatever they were, and whoever else is at it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from calotype import errors
from calotype.workspace import migrations, tables
from calotype.workspace.database import Database
from calotype.workspace.migrations import NEWEST, REVISIONS, VERSION_TABLE
from calotype.workspace.workspace import Workspace

KILLED_AT_EVERY_STATEMENT = """
import itertools, os, signal, sys
from sqlalchemy import Engine, event
from calotype.workspace.database import Database
from calotype.workspace.migrations import upgrade

for last in itertools.count(1):
    if not (pid := os.fork()):
        steps = itertools.count(1)

        def step(*_):
            if next(steps) == last:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", step)
        event.listen(Engine, "commit", step)
        Database(sys.argv[1]).migrate()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    database = Database(sys.argv[1])
    print(status, database.revision)
    database.close()
    if not status:
        break
"""
OLD_RUN = {
    "id": "1",
    "kind": "batch",
    "subject": "flowers",
    "state": "Completed",
    "inputs": {},
    "outputs": {},
    "progress": {},
    "host": "here",
    "started_at": datetime(2026, 1, 2, tzinfo=UTC),
    "description": "",
    "tags": {"a": "b"},
    "properties": {},
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    "created_by": "me",
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an empty database."""
    made = Database(database_url, make=True)
    yield made
    made.close()


def differences(database: Database) -> list[Any]:
    with database.writing() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return compare_metadata(context, tables.metadata)


def test_migrations_make_the_tables_that_the_program_knows(database: Database) -> None:
    assert database.revision is None
    database.migrate()
    assert database.revision == NEWEST
    assert differences(database) == []


def test_a_difference_would_be_seen(database: Database) -> None:
    database.migrate(to="0001")
    assert database.revision == "0001"
    assert len(differences(database)) >= 2


def test_an_older_database_is_brought_up_to_date_with_its_rows(database: Database) -> None:
    database.migrate(to="0001")
    columns = [sqlalchemy.column(c.name, c.type) for c in tables.runs.c if c.name in OLD_RUN]
    old = sqlalchemy.table("runs", *columns)
    with database.writing() as connection:
        connection.execute(sqlalchemy.insert(old).values(**OLD_RUN))
    put_service(database)
    database.open()
    assert database.revision == NEWEST
    with database.reading() as connection:
        row = connection.execute(sqlalchemy.select(tables.runs)).mappings().one()
        revisions = connection.execute(sqlalchemy.select(tables.service_revisions)).all()
    assert {key: row[key] for key in ("id", "state", "tags")} == {
        "id": "1",
        "state": "Completed",
        "tags": {"a": "b"},
    }
    assert row["updated_at"].replace(tzinfo=UTC) == OLD_RUN["started_at"]
    assert len(revisions) == 1
    assert database.problems() == []


def test_rows_of_a_service_go_with_it_after_a_migration(database: Database) -> None:
    database.migrate(to="0001")
    put_service(database)
    database.migrate()
    with database.writing() as connection:
        connection.execute(sqlalchemy.delete(tables.services))
    with database.reading() as connection:
        assert connection.execute(sqlalchemy.select(tables.service_revisions)).all() == []


def test_the_list_of_revisions_is_what_alembic_finds() -> None:
    scripts = ScriptDirectory(Path(migrations.__file__).parent)
    found = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS
    assert scripts.get_current_head() == NEWEST


def test_a_newer_database_is_refused(database: Database) -> None:
    database.migrate()
    with database.writing() as connection:
        version = sqlalchemy.table(VERSION_TABLE, sqlalchemy.column("version_num"))
        connection.execute(sqlalchemy.update(version).values(version_num="9999"))
    for use in (database.open, database.migrate):
        with pytest.raises(errors.CorruptWorkspace, match="revision 9999, which a newer") as caught:
            use()
        assert caught.value.number == 2007


def test_a_database_without_tables_is_no_workspace(database: Database) -> None:
    with pytest.raises(errors.CorruptWorkspace, match="expected the tables of a workspace"):
        database.open()


def test_tables_of_another_program_are_not_touched(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE models (title TEXT)"))
    with pytest.raises(errors.AlreadyExists, match="another program"):
        database.migrate()
    assert database.revision is None
    with database.reading() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == ["models"]


def test_four_processes_migrate_one_database_at_once(database_url: str, tmp_path: Path) -> None:
    code = (
        "import sys; from calotype.workspace.database import Database\n"
        "database = Database(sys.argv[1], make=True)\n"
        "database.migrate(); print(database.revision); database.close()"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, database_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=60) for process in started]
    assert answers == [(f"{NEWEST}\n", "")] * 4


def test_a_migration_that_is_killed_has_done_nothing(database_url: str) -> None:
    database = Database(database_url, make=True)
    database.migrate(to="0001")
    put_service(database)
    database.close()
    command = [sys.executable, "-W", "error", "-c", KILLED_AT_EVERY_STATEMENT, database_url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    *killed, last = said.stdout.splitlines()
    assert last == f"0 {NEWEST}"
    assert killed == [f"{signal.SIGKILL.value} 0001"] * len(killed)
    assert len(killed) > 10
    with database.reading() as connection:
        assert connection.execute(sqlalchemy.select(tables.services.c.name)).all() == [("flowers",)]
    assert differences(database) == []
    database.close()


def test_opening_loads_no_alembic_when_nothing_is_to_be_done(workspace: Workspace) -> None:
    code = (
        "import sys; from calotype.workspace.workspace import Workspace\n"
        "Workspace.from_config(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", code, workspace.location]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def put_service(database: Database) -> None:
    with database.writing() as connection:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        connection.execute(
            sqlalchemy.insert(tables.services).values(
                name="flowers",
                target="local",
                access={},
                credentials=b"",
                desired="running",
                state="Healthy",
                host="here",
                updated_at=moment,
                description="",
                tags={},
                properties={},
                created_at=moment,
                created_by="me",
            )
        )
        connection.execute(
            sqlalchemy.insert(tables.service_versions).values(
                service="flowers",
                name="default",
                traffic_percent=100,
                is_default=True,
                is_control=True,
                wanted_revision=1,
                state="Healthy",
                rollout={},
                created_at=moment,
                updated_at=moment,
            )
        )
        connection.execute(
            sqlalchemy.insert(tables.service_revisions).values(
                service="flowers",
                version="default",
                number=1,
                models=[],
                inference={},
                runtime={},
                created_at=moment,
            )
        )
