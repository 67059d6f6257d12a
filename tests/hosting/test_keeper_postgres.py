"""Services go on while the server of the workspace's database is away."""

from __future__ import annotations

import contextlib
import os
import signal
from http.client import HTTPConnection

import pytest
from hosted import ECHO, ask, hosting, until
from postgres_server import running_server

from calotype import errors


def revision(port: int) -> int:
    """Return the number of the revision that answers; 0 for none."""
    with contextlib.suppress(OSError):
        with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            status, answer = ask(connection)
        return answer["revision"] if status == 200 else 0
    return 0


@pytest.mark.slow
def test_services_go_on_without_the_database_server() -> None:
    with running_server() as server, hosting(database=server.new_database()) as hosted:
        hosted.add("echo")
        (replica,) = hosted.until_state("echo", "Healthy").replicas
        port = hosted.port("echo")
        with server.away():
            assert revision(port) == 1
            with pytest.raises(errors.OperationFailed, match="a database server that answers"):
                hosted.observe("echo")
            os.kill(replica.pid, signal.SIGKILL)
            until(lambda: not {replica.pid} & {*hosted.pids("hosting.replica")}, "it has ended")
            until(lambda: revision(port) == 1, "another one answers")
        hosted.until_state("echo", "Healthy")
        hosted.update("echo", ECHO.replace("1", "2"))
        until(lambda: revision(port) == 2, "it can be changed again")
        assert "Traceback" not in hosted.layout.keeper_log.read_text()
