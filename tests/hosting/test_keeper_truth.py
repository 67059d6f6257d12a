"""What a keeper tells is true, whatever its database, its versions and its scripts do."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest
from hosted import ECHO, Hosted, until

from calotype.hosting import keeping
from calotype.hosting.management import calling, waiting
from calotype.workspace.services import Version

FRAIL = """
import os


def init():
    if os.path.exists({flag!r}):
        raise RuntimeError("its weights have gone")


def run(data):
    return data
"""
LEAVES_A_PROCESS = """
import subprocess


def init():
    left = subprocess.Popen(["sleep", "600"], env={{}}, start_new_session=True)
    with open({file!r}, "w") as file:
        file.write(str(left.pid))


def run(data):
    return data
"""
NEVER_READY = "import time\n\n\ndef init():\n    time.sleep(600)\n\n\ndef run(data): ...\n"


@contextlib.contextmanager
def locked_database(hosted: Hosted) -> Generator[None]:
    """Let nobody write, as a full disk or a server that is away would."""
    path = hosted.workspace.place.root / "workspace.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def add_version(hosted: Hosted, name: str, version: str, script: str) -> None:
    """Give a service a second version, which gets no requests."""
    default = hosted.workspace.services.get(name).version()
    source = default.wanted.inference.model_copy(update={"source": hosted.source(script)})
    revision = replace(default.wanted, inference=source)
    with hosted.workspace.services.editing(name) as edit:
        edit.add_version(
            Version(version, 0, False, False, 1, None, "Transitioning", None, (revision,))
        )
    keeping.notify(hosted.workspace, name)


def test_states_are_told_by_what_answers_and_without_the_database(hosted: Hosted) -> None:
    flag = hosted.folder / "broken"
    hosted.add("frail", FRAIL.format(flag=str(flag)), target="cluster", num_replicas=1)
    hosted.until_state("frail", "Healthy")
    add_version(hosted, "frail", "blue", "raise ValueError")

    seen = hosted.until("frail", lambda seen: seen.versions["blue"].state == "Failed", "it fails")
    assert seen.state == "Healthy"  # nobody asks that version
    hosted.workspace.services.change_version("frail", "blue", traffic_percent=50)
    hosted.workspace.services.change_version("frail", "default", traffic_percent=50)
    keeping.notify(hosted.workspace, "frail")
    assert hosted.observe("frail").state == "Failed"
    credential = hosted.credentials("frail").primary_key
    headers = {"authorization": f"Bearer {credential}"}
    assert calling.run(hosted.workspace, "frail", b"{}", headers=headers).status == 200
    hosted.workspace.services.change_version("frail", "blue", traffic_percent=0)
    hosted.workspace.services.change_version("frail", "default", traffic_percent=100)
    keeping.notify(hosted.workspace, "frail")

    (replica,) = hosted.until_state("frail", "Healthy").replicas
    flag.touch()
    with locked_database(hosted):
        os.kill(replica.pid, signal.SIGKILL)
        hosted.until("frail", lambda seen: seen.state != "Healthy", "it is told")
        assert hosted.workspace.services.get("frail").state == "Healthy"
    until(
        lambda: hosted.workspace.services.get("frail").state != "Healthy", "the record says it too"
    )


def test_a_version_made_again_runs_its_new_script(hosted: Hosted) -> None:
    """Nothing of the one before has run when it was deleted, so that nothing of it ends."""
    hosted.add("echo", target="cluster", num_replicas=1)
    add_version(hosted, "echo", "blue", "raise ValueError")
    hosted.until("echo", lambda seen: seen.versions["blue"].state == "Failed", "it fails")
    hosted.until_state("echo", "Healthy")
    with hosted.workspace.services.editing("echo") as edit:
        edit.delete_version("blue")
    keeping.notify(hosted.workspace, "echo")
    add_version(hosted, "echo", "blue", ECHO)
    hosted.until("echo", lambda seen: seen.versions["blue"].state == "Healthy", "it serves")


def test_down_during_an_update_ends_the_waiting_and_all_processes(hosted: Hosted) -> None:
    file = hosted.folder / "pid"
    hosted.add("echo", LEAVES_A_PROCESS.format(file=str(file)))
    hosted.until_state("echo", "Healthy")
    left = psutil.Process(int(file.read_text()))
    hosted.update("echo", NEVER_READY)
    try:
        with ThreadPoolExecutor(1) as beside:
            waits = beside.submit(waiting.wait, hosted.workspace, "echo", timeout_s=60)
            keeping.down(hosted.workspace)
            with pytest.raises(waiting.DeploymentFailed, match="It was stopped"):
                waits.result(timeout=60)
        until(lambda: is_over(left), "what the script left has ended")
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    seen = hosted.observe("echo")
    assert (seen.state, seen.versions["default"].state) == ("Unhealthy", "Unhealthy")


def is_over(process: psutil.Process) -> bool:
    """Whether a process has ended, even where nobody asks for its exit code."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    except psutil.NoSuchProcess:
        return True
