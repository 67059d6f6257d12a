"""Runs the migrations; the only place that loads Alembic."""

from __future__ import annotations

import threading
from importlib.resources import as_file, files
from typing import Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from calotype.workspace import tables
from calotype.workspace.migrations import VERSION_TABLE

_ONE_AT_A_TIME: Final = threading.Lock()  # Alembic's `op` is one for the whole process


def upgrade(connection: Connection, *, to: str) -> None:
    """Bring the tables to a revision, in the transaction of the caller.

    Args:
        connection: the only writer of the database.
        to: the number of the revision.
    """
    with as_file(files("calotype.workspace.migrations")) as folder, _ONE_AT_A_TIME:
        scripts = ScriptDirectory(folder)

        def steps(revision: Any, _context: object) -> Any:
            return scripts._upgrade_revs(to, revision)  # pyright: ignore[reportPrivateUsage] - as Alembic's own `upgrade` command does

        with EnvironmentContext(Config(), scripts, fn=steps, destination_rev=to) as context:
            context.configure(
                connection,
                target_metadata=tables.metadata,
                version_table=VERSION_TABLE,
                transactional_ddl=True,  # SQLite's is too, when nobody commits on our behalf
                render_as_batch=True,
            )
            context.run_migrations()
