"""A program that forks writers of one workspace, and kills them when it is told to.

`python writers.py FOLDER WRITERS ROUNDS SECONDS` with SECONDS 0: every writer does its five
rounds of work and ends. Otherwise one after the other is killed, up to that time after a random
number of things has been registered, while the others write; some of them before they have opened
the workspace. What a writer was told to be registered it appends to a file `reported`, one line
each.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Final

# What is loaded here, forked writers need not load.
import cryptography.fernet
import psycopg
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite

from calotype.workspace import audit, blob_folder, model_registry
from calotype.workspace.credentials import Credentials
from calotype.workspace.runs import Run
from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings
from calotype.workspace.services import Revision, Service, Version, machine, now, user
from calotype.workspace.workspace import Workspace

_LOADED: Final = (
    audit,
    blob_folder,
    cryptography.fernet,
    model_registry,
    psycopg,
    sqlalchemy.dialects.postgresql.psycopg,
    sqlalchemy.dialects.sqlite,
)
ROUNDS_OF_ONE: Final = 5


def service(workspace: Workspace, name: str) -> Service:
    """Return a service with one version of one revision."""
    return Service(
        name=name,
        target="local",
        is_endpoint=False,
        access=AccessSettings(),
        credentials=Credentials("a" * 32, "b" * 32, "pem").sealed(workspace.key_file),
        desired="running",
        state="Transitioning",
        error=None,
        host=machine(),
        description="",
        tags={},
        properties={},
        created_by=user(),
        created_at=now(),
        updated_at=now(),
        versions=(
            Version(
                name="default",
                traffic_percent=100,
                is_default=True,
                is_control=True,
                wanted_revision=1,
                serving_revision=None,
                state="Transitioning",
                error=None,
                revisions=(Revision(1, (), Inference(), RuntimeSettings()),),
            ),
        ),
    )


def write(folder: Path, rounds: int, opened: int) -> None:
    """Register things, and report each when it is registered."""
    workspace = Workspace.from_config(folder)
    os.write(opened, b".")
    reported = os.open(folder / "reported", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    source = folder / f"model-{os.getpid()}"
    for number in range(rounds):
        name = f"s{os.getpid()}-{number}"
        run = workspace.runs.add(Run("test", name, "Queued"))
        os.write(reported, f"run {run.id}\n".encode())
        workspace.runs.change(run.id, state="Running")
        workspace.services.add(service(workspace, name))
        os.write(reported, f"service {name}\n".encode())
        workspace.services.change_version(name, "default", serving_revision=1)
        source.write_text(name)
        model = workspace.models.register(source, "shared")
        os.write(reported, f"model {model.version} {name}\n".encode())
        workspace.set_fact("last", name)
        workspace.audit.note("test.write", name)
        os.write(reported, f"audit {name}\n".encode())
    workspace.close()


def main() -> int:
    """Fork writers, kill them, and return how many ended by themselves with an error."""
    folder, writers, rounds, within_s = Path(sys.argv[1]), *map(float, sys.argv[2:])
    failed = 0
    for _ in range(int(rounds)):
        children = [start(folder, is_endless=within_s > 0) for _ in range(int(writers))]
        for child, opened in children:
            if within_s:
                if random.random() < 0.8:
                    os.read(opened, 1)
                    wait_for_growth(folder / "reported", random.randrange(150))
                time.sleep(random.uniform(0, within_s))
                os.kill(child, signal.SIGKILL)
            os.close(opened)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            failed += code != (-signal.SIGKILL if within_s else 0)
    return failed


def wait_for_growth(path: Path, bytes_more: int) -> None:
    """Wait until a file has grown by that much: on a busy machine work takes longer."""
    until_s = time.monotonic() + 120
    wanted = bytes_more + (path.stat().st_size if path.exists() else 0)
    while not path.exists() or path.stat().st_size < wanted:
        assert time.monotonic() < until_s, "nobody writes"
        time.sleep(0.001)


def start(folder: Path, *, is_endless: bool) -> tuple[int, int]:
    """Fork a writer; return its process id and a pipe that has a byte when it is at work."""
    opened, tell = os.pipe()
    child = os.fork()
    if not child:
        write(folder, 1_000_000 if is_endless else ROUNDS_OF_ONE, tell)
        os._exit(0)
    os.close(tell)
    return child, opened


if __name__ == "__main__":
    sys.exit(main())
