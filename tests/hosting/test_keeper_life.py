"""Services from their record to their end: start, update, failure, deletion."""

from __future__ import annotations

import contextlib
import http.client
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hosted import ECHO, Hosted, ask, is_listening, until

from calotype.hosting import keeping
from calotype.hosting.management import Management
from calotype.serving.auth.keys import ServiceKeys

RAISES = (
    "def init():\n    raise ValueError('no such weights')\n\n\ndef run(data):\n    return data\n"
)
HOLDS = """
import os, time


def init():
    pass


def run(data):
    if "hold" in data:
        open({gate!r} + ".held", "w").close()
        while not os.path.exists({gate!r}):
            time.sleep(0.01)
    return data
"""
GATED = """
import os, time


def init():
    while not os.path.exists({gate!r}):
        time.sleep(0.01)


def run(data):
    return {{"revision": 2}}
"""
SAMPLE_FAILS = """
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema


def init():
    pass


@input_schema("data", StandardPythonParameterType([1.0]))
def run(data):
    raise RuntimeError("the first request shows it")
"""


def test_a_service_answers_and_leaves_nothing_when_deleted(hosted: Hosted) -> None:
    hosted.add("echo", access={"port": 0})
    seen = hosted.until_state("echo", "Healthy")
    assert seen.scoring_uri == f"http://127.0.0.1:{hosted.port('echo')}/score"
    assert [one.state for one in seen.replicas] == ["ready"]
    assert hosted.score("echo", 5) == (200, {"revision": 1, "data": '{"data": 5}'})
    record = hosted.workspace.services.get("echo")
    assert (record.state, record.version().serving_revision) == ("Healthy", 1)
    port = hosted.port("echo")

    hosted.delete("echo")
    hosted.until_gone()
    assert not is_listening(port)
    assert not hosted.layout.service("echo").exists()
    assert not hosted.layout.sockets.exists()


def test_an_update_keeps_address_and_replaces_the_script(hosted: Hosted) -> None:
    hosted.add("echo")
    port = hosted.port("echo")
    hosted.until_state("echo", "Healthy")
    gate = hosted.folder / "gate"
    hosted.update("echo", GATED.format(gate=str(gate)))
    assert hosted.observe("echo").state == "Transitioning"
    assert hosted.score("echo")[1]["revision"] == 1
    gate.touch()
    hosted.until_state("echo", "Healthy")
    assert hosted.port("echo") == port
    assert hosted.score("echo")[1]["revision"] == 2
    hosted.until("echo", lambda seen: len(seen.replicas) == 1, "the old replica has left")
    folders = hosted.layout.service("echo") / "revisions"
    hosted.until("echo", lambda _: os.listdir(folders) == ["default-2"], "old files are removed")


def test_a_failed_update_keeps_the_old_one_and_tells_why(hosted: Hosted) -> None:
    hosted.add("echo")
    hosted.until_state("echo", "Healthy")
    hosted.update("echo", RAISES)
    seen = hosted.until("echo", lambda seen: seen.versions["default"].error, "the failure is told")
    version = seen.versions["default"]
    assert seen.state == "Healthy"
    assert (version.wanted_revision, version.serving_revision) == (2, 1)
    assert version.error is not None
    assert "no such weights" in version.error["trace"]
    assert hosted.score("echo")[1]["revision"] == 1
    hosted.update("echo", ECHO.replace("1", "3"))
    hosted.until("echo", lambda seen: seen.versions["default"].serving_revision == 3, "the next")
    assert hosted.observe("echo").versions["default"].error is None


def test_a_failed_start_is_failed_with_trace_log_and_listing(hosted: Hosted) -> None:
    hosted.add("broken", RAISES)
    seen = hosted.until_state("broken", "Failed")
    assert seen.error is not None
    assert "ValueError" in seen.error["trace"]
    assert "source/score.py" in seen.error["files"]
    with open(seen.error["log"]) as log:
        assert "no such weights" in log.read()
    assert seen.replicas == ()
    assert not is_listening(hosted.port("broken"))


def test_a_sample_on_which_run_raises_fails_the_start(hosted: Hosted) -> None:
    hosted.add("sample", SAMPLE_FAILS)
    seen = hosted.until_state("sample", "Failed")
    assert seen.error is not None
    assert "the first request shows it" in seen.error["trace"]


def test_new_keys_count_at_once_without_a_new_process(
    hosted: Hosted, caplog: pytest.LogCaptureFixture
) -> None:
    gate = hosted.folder / "gate"
    hosted.add("locked", HOLDS.format(gate=str(gate)), access={"auth": "none"})
    before = hosted.until_state("locked", "Healthy").replicas[0].pid
    access = hosted.workspace.services.get("locked").access
    hosted.change("locked", access=access.model_copy(update={"auth": "key"}))
    assert hosted.score("locked")[0] == 401
    key = hosted.credentials("locked").primary_key
    assert hosted.score("locked", Authorization=f"Bearer {key}")[0] == 200
    assert [one.pid for one in hosted.observe("locked").replicas] == [before]

    name = hosted.observe("locked").replicas[0].replica
    hosted.layout.replica_socket(name).unlink()  # as who cleans up temporary folders does
    assert exchange_key(hosted, "locked") == key
    bearer = f"Bearer {key}"
    until(lambda: hosted.score("locked", Authorization=bearer)[0] == 401, "it listens anew")

    bearer = f"Bearer {hosted.credentials('locked').primary_key}"
    with ThreadPoolExecutor() as threads, contextlib.closing(hosted.connect("locked")) as idle:
        try:
            assert ask(idle, Authorization=bearer)[0] == 200
            held = threads.submit(hosted.score, "locked", "hold", Authorization=bearer)
            until((hosted.folder / "gate.held").exists, "the old replica has a request")
            hosted.update("locked", ECHO)
            until(lambda: '"stopping"' in hosted.logs(), "the old replica takes its leave")
            exchange_key(hosted, "locked")
            until(lambda: keeping.notify(hosted.workspace, "locked") == [], "it has them")
            statuses: list[int] = []
            with contextlib.suppress(OSError, http.client.HTTPException):  # closed when long idle
                statuses.append(ask(idle, Authorization=bearer)[0])
            assert statuses in ([401], [])

            # One that cannot be reached is named, and gets them as soon as it can be.
            control = hosted.layout.replica_socket(name)
            control.unlink()
            control.touch()
            Management(hosted.workspace).regenerate_key("locked", "primary")
            late = caplog.text.partition("may still take old keys and rules: ")[2].partition(".")[0]
            assert name in late.split(", ")
            assert name in [one.replica for one in hosted.observe("locked").replicas]
            control.unlink()
            until(lambda: keeping.notify(hosted.workspace, "locked") == [], "it listens anew")
            assert name in [one.replica for one in hosted.observe("locked").replicas]
        finally:
            gate.touch()
        assert held.result()[0] == 200


def exchange_key(hosted: Hosted, name: str) -> str:
    """Give a service another primary key; return the old one."""
    old = hosted.credentials(name)
    new = replace(old, primary_key=ServiceKeys.generate().primary)
    hosted.change(name, credentials=new.sealed(hosted.workspace.key_file))
    return old.primary_key


@pytest.mark.slow
def test_a_service_is_transitioning_until_init_returns(hosted: Hosted) -> None:
    gate = hosted.folder / "gate"
    hosted.add("slow", GATED.format(gate=str(gate)))
    assert hosted.observe("slow").state == "Transitioning"
    gate.touch()
    hosted.until_state("slow", "Healthy")
    hosted.change("slow", desired="stopped")
    seen = hosted.until_state("slow", "Unhealthy")
    hosted.until("slow", lambda seen: not seen.replicas, "its process ends")
    assert seen.error is not None
    assert seen.versions["default"].state == "Unhealthy"
    hosted.change("slow", desired="running")
    hosted.until_state("slow", "Healthy")


def test_a_service_of_a_folder_reloads_its_script(hosted: Hosted) -> None:
    folder = hosted.folder / "live"
    folder.mkdir()
    (folder / "score.py").write_text(ECHO)
    hosted.add("live", live_source=str(folder))
    before = hosted.until_state("live", "Healthy").replicas[0].pid
    (folder / "score.py").write_text(ECHO.replace("1", "7"))
    keeping.reload(hosted.workspace, "live")
    assert hosted.score("live")[1]["revision"] == 7
    assert [one.pid for one in hosted.observe("live").replicas] == [before]
