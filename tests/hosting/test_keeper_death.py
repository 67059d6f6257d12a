"""Whoever dies: services go on, somebody takes over, and states are true."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from hosted import ECHO, Hosted, is_listening, kill, until

from calotype.hosting import keeping, locks

IMPATIENT = """
from calotype.hosting import standby

standby.HANGS_AFTER_S = 0.5
standby.main()
"""


def test_the_standby_takes_over_and_adopts_what_runs(hosted: Hosted) -> None:
    hosted.add("echo")
    pid = hosted.until_state("echo", "Healthy").replicas[0].pid
    keeper, standby = hosted.until_kept(), hosted.until_awaited()
    kill(keeper)
    assert hosted.score("echo")[0] == 200
    assert hosted.until_kept(but_by=keeper) == standby
    seen = hosted.until_state("echo", "Healthy")
    assert [one.pid for one in seen.replicas] == [pid]
    hosted.update("echo", ECHO.replace("1", "2"))  # with the listening socket of the old one
    hosted.until_state("echo", "Healthy")
    assert hosted.score("echo")[1]["revision"] == 2


def test_a_keeper_that_hangs_is_replaced(hosted: Hosted) -> None:
    hosted.add("echo")
    pid = hosted.until_state("echo", "Healthy").replicas[0].pid
    hosted.until_awaited()
    keeper = hosted.freeze_keeper()
    hosted.kill_standbys()
    root = str(hosted.workspace.place.root)
    subprocess.run([sys.executable, "-c", IMPATIENT, root], check=True)
    kept = hosted.layout.keeper_lock
    until(lambda: locks.facts(kept).get("pid") != keeper, "the standby takes its place")
    hosted.until_kept(but_by=keeper)
    assert [one.pid for one in hosted.until_state("echo", "Healthy").replicas] == [pid]
    assert keeper not in hosted.processes()


@pytest.mark.slow
def test_without_keeper_and_standby_a_replica_brings_one_back(hosted: Hosted) -> None:
    hosted.add("echo", cpu_cores_limit=0.5)
    hosted.until_state("echo", "Healthy")
    keeper = hosted.freeze_keeper()  # it would start another standby
    hosted.kill_standbys()
    kill(keeper)
    assert hosted.score("echo")[0] == 200
    fresh = hosted.until_kept(but_by=keeper)
    if hasattr(os, "sched_getaffinity"):  # it is no part of that replica, and not limited with it
        assert os.sched_getaffinity(fresh) == os.sched_getaffinity(0)
    hosted.until_state("echo", "Healthy")


def test_a_replica_that_crashes_is_replaced_at_the_same_address(hosted: Hosted) -> None:
    hosted.add("echo")
    before = hosted.until_state("echo", "Healthy").replicas[0].pid
    kill(before)
    hosted.until("echo", lambda seen: all(one.pid != before for one in seen.replicas), "it is gone")
    seen = hosted.until_state("echo", "Healthy")
    assert [(one.state, one.pid != before) for one in seen.replicas] == [("ready", True)]
    assert hosted.score("echo")[0] == 200  # perhaps after waiting in the socket's own queue


@pytest.mark.slow
def test_a_replica_that_hangs_is_unhealthy_and_then_replaced(hosted: Hosted) -> None:
    hosted.add("echo", probe_period_s=0.3, probe_timeout_s=0.3, probe_failure_threshold=2)
    before = hosted.until_state("echo", "Healthy").replicas[0].pid
    os.kill(before, signal.SIGSTOP)
    hosted.until_state("echo", "Unhealthy")
    seen = hosted.until_state("echo", "Healthy")
    assert [(one.state, one.pid != before) for one in seen.replicas] == [("ready", True)]


def test_after_a_power_failure_up_brings_all_back(hosted: Hosted) -> None:
    hosted.add("one")
    hosted.add("two", target="instance")
    ports = [hosted.port(name) for name in ("one", "two")]
    for name in ("one", "two"):
        hosted.until_state(name, "Healthy")
    hosted.kill_all()
    assert locks.facts(hosted.layout.keeper_lock)["pid"]  # what is left lies
    until(lambda: not any(map(is_listening, ports)), "the sockets are closed")
    keeping.up(hosted.workspace)
    for name in ("one", "two"):
        hosted.until_state(name, "Healthy")
        assert hosted.score(name)[0] == 200
    assert [hosted.port(name) for name in ("one", "two")] == ports
    keeping.down(hosted.workspace)
    hosted.until_gone()
    assert hosted.observe("one").state == "Unhealthy"
    assert {one["state"] for one in keeping.status(hosted.workspace)["services"]} == {"Unhealthy"}


def test_without_the_key_file_what_runs_goes_on(hosted: Hosted) -> None:
    hosted.add("tokens", target="cluster", access={"auth": "token"}, num_replicas=1)
    hosted.add("echo", target="cluster", access={"auth": "none"}, num_replicas=1)
    for name in ("tokens", "echo"):
        hosted.until_state(name, "Healthy")
    keeper, key_file = hosted.until_kept(), hosted.workspace.place.key_file
    (door,) = hosted.pids("hosting.front_door")
    away = key_file.rename(key_file.with_suffix(".away"))
    kill(keeper)
    hosted.until_kept(but_by=keeper)
    kill(door)  # the next one needs the routes of all services
    hosted.until("echo", lambda seen: hosted.answers("echo"), "another door")
    (before,) = hosted.until_state("tokens", "Healthy").replicas
    kill(before.pid)
    why = "expected the key file of the workspace"
    hosted.until("tokens", lambda seen: why in str(seen.error), "why there is no other replica")
    assert hosted.answers("echo")
    away.rename(key_file)
    hosted.until_state("tokens", "Healthy")
    key_file.rename(away)
    keeper = hosted.until_kept()
    kill(keeper)
    hosted.until_kept(but_by=keeper)
    started_s = time.monotonic()
    keeping.down(hosted.workspace)
    assert time.monotonic() - started_s < 50  # it would end what hangs after a minute
    hosted.until_gone()


def test_workers_that_are_killed_come_back(hosted: Hosted) -> None:
    hosted.add("echo", workers=2)
    hosted.until_state("echo", "Healthy")
    for pid in hosted.pids("serving.entry.fork_server"):
        kill(pid)
    until(lambda: hosted.answers("echo"), "the workers are back")
    hosted.until_state("echo", "Healthy")


def test_when_the_workspace_is_deleted_all_ends(hosted: Hosted) -> None:
    hosted.add("echo")
    hosted.until_state("echo", "Healthy")
    shutil.rmtree(hosted.workspace.place.root)
    hosted.until_gone()


@pytest.mark.slow
def test_a_name_that_is_used_again_is_another_service(hosted: Hosted) -> None:
    hosted.add("echo")
    hosted.until_state("echo", "Healthy")
    hosted.workspace.services.delete("echo")
    hosted.add("echo", ECHO.replace("1", "9"))
    hosted.until(
        "echo", lambda seen: seen.state == "Healthy" and hosted.answers("echo"), "it answers"
    )
    assert hosted.score("echo")[1]["revision"] == 9
