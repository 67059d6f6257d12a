"""A PostgreSQL server of the tests' own, on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

START_S = 120.0
# Fast stop: clients are sent away. A test run that is killed leaves no server behind.
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "INT")


class PostgresServer:
    """A running server.

    Args:
        sockets: the folder of its socket.
    """

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets

    def new_database(self) -> str:
        """Make an empty schema, which is a database for less, and return its URL."""
        name = f"test_{uuid4().hex[:12]}"
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        options = quote(f"-csearch_path={name}")
        return f"postgresql://postgres@/postgres?host={self._sockets}&options={options}"

    def wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Wait until it answers."""
        until_s = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self._conninfo).close()
            except psycopg.OperationalError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until_s, log.read_text()
                time.sleep(0.05)
            else:
                return

    @contextlib.contextmanager
    def away(self) -> Generator[None]:
        """Send all clients away and let none in."""
        place = next(self._sockets.glob(".s.PGSQL.*[0-9]"))
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            place.rename(place.with_name("away"))
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        try:
            yield
        finally:
            place.with_name("away").rename(place)

    @property
    def _conninfo(self) -> str:
        return f"host={self._sockets} user=postgres dbname=postgres"


@contextlib.contextmanager
def running_server() -> Generator[PostgresServer]:
    """Start a server; a test that wants one is skipped where none is installed."""
    programs = _programs()
    # The server runs as another user, who may not enter pytest's folders; sockets want short names.
    folder = Path(tempfile.mkdtemp(prefix="calotype-pg-"))
    try:
        prefix = _as_other_user(folder)
        data, log = folder / "data", folder / "log"
        new = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        subprocess.run(
            [*prefix, programs / "initdb", "-D", data, *new],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        settings = ("listen_addresses=", "fsync=off", "max_connections=60", "timezone=UTC")
        options = ["-k", folder, *(part for setting in settings for part in ("-c", setting))]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*_ENDS_WITH_US, *prefix[1:], programs / "postgres", "-D", data, *options],
                stdout=output,
                stderr=output,
                cwd=folder,
            )
        try:
            server = PostgresServer(folder)
            server.wait(process, log)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nobody needs the data again
            process.wait(START_S)
    finally:
        shutil.rmtree(folder)


def _as_other_user(folder: Path) -> Sequence[str | Path]:
    """Return what starts a program as a user whom the server accepts: anyone but root."""
    if os.geteuid() != 0:
        return ["setpriv"]
    names = {entry.pw_name for entry in pwd.getpwall()}
    other = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, other.pw_uid, other.pw_gid)
    return ["setpriv", f"--reuid={other.pw_uid}", f"--regid={other.pw_gid}", "--clear-groups"]


def _programs() -> Path:
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path))
    if not found:
        wanted = os.environ.get("CALOTYPE_TOOLCHAINS", "required" if os.environ.get("CI") else "")
        message = "needs PostgreSQL's server; install the Debian package 'postgresql'"
        assert wanted != "required", message
        pytest.skip(message)
    return found[0].parent
