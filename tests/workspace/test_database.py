"""Writers wait for each other and are undone whole; lost connections are made anew."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy

from calotype import errors
from calotype.workspace import tables
from calotype.workspace.database import Database

SOON_MS = 300


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give a database with tables, of each kind, whose writers are not patient."""
    made = Database(database_url, make=True, busy_timeout_ms=SOON_MS)
    made.migrate()
    yield made
    made.close()


def put(connection: sqlalchemy.Connection, name: str, value: object) -> None:
    connection.execute(sqlalchemy.insert(tables.facts).values(name=name, value=value))


def names(database: Database) -> list[str]:
    with database.reading() as connection:
        return sorted(connection.execute(sqlalchemy.select(tables.facts.c.name)).scalars())


def test_a_writer_waits_for_another(database: Database) -> None:
    other = Database(database.url)
    begun = threading.Event()
    order: list[str] = []

    def write() -> None:
        begun.set()
        with other.writing() as connection:
            order.append("second")
            put(connection, "b", len(names(other)))

    thread = threading.Thread(target=write)
    with database.writing() as connection:
        thread.start()
        assert begun.wait(60)
        put(connection, "a", None)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    with database.reading() as connection:
        seen = sqlalchemy.select(tables.facts.c.value).where(tables.facts.c.name == "b")
        assert connection.execute(seen).scalar_one() == 1
    other.close()


def test_a_writer_that_waits_in_vain_is_told(database: Database) -> None:
    other = Database(database.url, busy_timeout_ms=SOON_MS)
    with database.writing() as connection:
        put(connection, "a", None)
        with pytest.raises(errors.Busy) as caught, other.writing():
            pass
    assert caught.value.number == 2002
    assert names(other) == ["a"]
    other.close()


def test_readers_see_one_state_beside_a_writer(database: Database) -> None:
    with database.reading() as reader:
        query = sqlalchemy.select(sqlalchemy.func.count()).select_from(tables.facts)
        assert reader.execute(query).scalar_one() == 0
        with database.writing() as connection:
            put(connection, "a", None)
        assert reader.execute(query).scalar_one() == 0
    assert names(database) == ["a"]


def test_readers_do_not_write(database: Database) -> None:
    if database.url.startswith("sqlite"):  # has no such transactions: what is written is undone
        with database.reading() as connection:
            put(connection, "a", None)
    else:
        with pytest.raises(errors.CannotWrite), database.reading() as connection:
            put(connection, "a", None)
    assert names(database) == []


def test_what_fails_is_undone_whole(database: Database) -> None:
    def write() -> None:
        with database.writing() as connection:
            put(connection, "a", None)
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert names(database) == []


def test_a_writer_inside_a_writer_is_a_defect_that_is_seen_at_once(database: Database) -> None:
    with (
        pytest.raises(AssertionError, match="wait for itself"),
        database.writing(),
        database.writing(),
    ):
        pass
    with database.writing() as connection:
        put(connection, "a", None)
    assert names(database) == ["a"]


def test_forty_threads_read_and_write(database: Database) -> None:
    patient = Database(database.url)

    def write(number: int) -> None:
        with patient.writing() as connection:
            put(connection, f"{number:02}", None)
        assert f"{number:02}" in names(patient)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(patient) == [f"{number:02}" for number in range(40)]
    patient.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_connections_that_the_server_has_closed_are_made_anew(
    database: Database, database_url: str
) -> None:
    with database.writing() as connection:
        put(connection, "a", None)
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute(end).fetchall() != []
    assert names(database) == ["a"]
    with database.writing() as connection:
        put(connection, "b", None)
    assert names(database) == ["a", "b"]


FORKED = """
import json, os, sys
from calotype.workspace.database import Database

def connected():
    with database.reading() as connection:
        return id(connection.connection.dbapi_connection)

database = Database(sys.argv[1], make=True)
before = connected()
ours, theirs = os.pipe()
if os.fork() == 0:
    os.write(theirs, str(connected()).encode())
    os._exit(0)
os.wait()
print(json.dumps([before, int(os.read(ours, 100)), connected()]))
database.close()
"""


def test_a_forked_process_has_connections_of_its_own(database_url: str) -> None:
    """Entry scripts may open a workspace before their workers are forked."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, database_url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, inside, after = json.loads(done.stdout)
    assert inside != before
    assert after == before
