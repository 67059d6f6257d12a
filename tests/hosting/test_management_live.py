"""Deploy, change, call, look into and delete services that run in real processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosted import Hosted, hosting, is_listening

from calotype import errors
from calotype.hosting.management import DeployRequest, Management
from calotype.hosting.management.waiting import DeploymentFailed
from calotype.hosting.observation import Observation
from calotype.hosting.source_folder import inference_of
from calotype.workspace.service_settings import AccessSettings, RuntimeSettings

ANSWERS = """
import json

def init():
    print('init of {0}')

def run(data):
    return ['{0}', json.loads(data)['data']]
"""
RAISES = "def init():\n    raise LookupError('no such weights')\n\n\ndef run(data): return 1\n"
WAITS = """
import os, time

def init():
    print('waits for', os.environ['AZUREML_MODEL_DIR'], flush=True)
    while not os.path.exists({gate!r}):
        time.sleep(0.02)

def run(data):
    return 'open'
"""


@pytest.fixture(scope="module")
def hosted() -> Iterator[Hosted]:
    with hosting() as made:
        model = made.folder / "weights.bin"
        model.write_bytes(b"weights")
        made.workspace.models.register(model, "weights")
        yield made


@pytest.fixture
def management(hosted: Hosted) -> Management:
    return Management(hosted.workspace)


@pytest.fixture
def ask_for(hosted: Hosted, tmp_path: Path) -> Callable[..., DeployRequest]:
    """Give a function that makes a request with a script."""

    def make(name: str, script: str, **values: Any) -> DeployRequest:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "score.py").write_text(script)
        inference = inference_of(
            hosted.workspace, entry_script="score.py", source_directory=folder, live=True
        )
        target = values.pop("target", "local")
        said: dict[str, Any] = {"models": ("weights",), "inference": inference, **values}
        return DeployRequest(name, target, **said)

    return make


def said(management: Management, name: str) -> Any:
    reply = management.run(name, json.dumps({"data": 1}).encode())
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def test_a_service_is_updated_in_place_and_deleted_whole(
    hosted: Hosted, management: Management, ask_for: Callable[..., DeployRequest]
) -> None:
    steps: list[Observation] = []
    service = management.deploy(ask_for("changing", ANSWERS.format("first")))
    first = management.wait("changing", on_change=steps.append, timeout_s=60)
    assert said(management, "changing") == ["first", 1]
    assert steps[-1].state == "Healthy"
    assert service.access.port
    assert first.scoring_uri == f"http://127.0.0.1:{service.access.port}/score"

    second = ask_for("changing", ANSWERS.format("second"))
    management.update("changing", inference=second.inference, tags={"stage": "two"})
    updated = management.wait("changing", timeout_s=60)
    assert said(management, "changing") == ["second", 1]
    assert updated.scoring_uri == first.scoring_uri

    third = ask_for("changing", ANSWERS.format("third"), overwrite=True)
    management.deploy(third)
    assert management.wait("changing", timeout_s=60).scoring_uri == first.scoring_uri
    assert said(management, "changing") == ["third", 1]

    management.roll_back("changing")
    management.wait("changing", timeout_s=60)
    assert said(management, "changing") == ["second", 1]

    log = management.logs("changing")
    assert "init of third" in log
    assert management.logs("changing", num_lines=1).count("\n") == 1

    pids = [one.pid for one in management.observe("changing").replicas]
    assert pids
    assert management.delete("changing") is True
    assert not hosted.layout.service("changing").exists()
    assert not is_listening(service.access.port)
    assert not set(pids) & hosted.processes().keys()
    with pytest.raises(errors.NotFound):
        management.observe("changing")


def test_an_init_that_raises_is_told_whole_and_serves_nothing(
    hosted: Hosted, management: Management, ask_for: Callable[..., DeployRequest]
) -> None:
    service = management.deploy(ask_for("failing", RAISES))
    with pytest.raises(DeploymentFailed) as raised:
        management.wait("failing", timeout_s=60)
    failure = raised.value
    assert failure.state == "Failed"
    assert "LookupError: no such weights" in failure.trace
    assert failure.listing == ("weights.bin",)
    assert "get-logs -n failing" in str(failure)
    assert management.observe("failing").state == "Failed"
    assert "no such weights" in management.logs("failing")
    assert "no such weights" in management.logs("failing", init=True)
    assert service.access.port
    assert not is_listening(service.access.port)
    with pytest.raises(errors.OperationFailed, match="Failed"):
        management.run("failing", b"{}")

    # Nobody can miss what never answered: it takes no `overwrite` to deploy what is mended.
    management.deploy(ask_for("failing", ANSWERS.format("well")))
    management.wait("failing", timeout_s=60)
    assert said(management, "failing") == ["well", 1]

    # An update that fails leaves what serves, and says why.
    management.update("failing", inference=ask_for("failing", RAISES).inference)
    with pytest.raises(DeploymentFailed, match="What served before goes on") as raised:
        management.wait("failing", timeout_s=60)
    assert raised.value.state == "Healthy"
    assert said(management, "failing") == ["well", 1]
    management.roll_back("failing")
    management.wait("failing", timeout_s=60)
    assert said(management, "failing") == ["well", 1]
    with pytest.raises(errors.AlreadyExists, match="overwrite"):
        management.deploy(ask_for("failing", ANSWERS.format("other")))
    management.delete("failing")


def test_keys_open_a_service_one_of_them_while_the_other_is_exchanged(
    hosted: Hosted, management: Management, ask_for: Callable[..., DeployRequest]
) -> None:
    management.deploy(
        ask_for(
            "locked",
            ANSWERS.format("locked"),
            target="instance",
            access=AccessSettings(auth="key"),
            primary_key="a-chosen-key",
        )
    )
    management.wait("locked", timeout_s=60)
    old = management.keys("locked")
    assert old.primary == "a-chosen-key"

    def status(key: str) -> int:
        return hosted.score("locked", 1, Authorization=f"Bearer {key}")[0]

    assert hosted.score("locked", 1)[0] == 401
    assert (status(old.primary), status(old.secondary)) == (200, 200)
    assert said(management, "locked") == ["locked", 1]

    management.regenerate_key("locked", "primary")
    new = management.keys("locked")
    assert new.primary != old.primary
    assert (status(old.primary), status(old.secondary), status(new.primary)) == (401, 200, 200)
    management.regenerate_key("locked", "Secondary", "another-chosen")
    assert (status(old.secondary), status("another-chosen")) == (401, 200)
    assert said(management, "locked") == ["locked", 1]

    # Auth is switched while it runs: no replica is started for that, and the keys stay.
    revision = hosted.workspace.services.get("locked").version().wanted_revision
    management.update("locked", access={"auth": "none"})
    assert hosted.score("locked", 1)[0] == 200
    management.update("locked", access={"auth": "key"})
    assert hosted.score("locked", 1)[0] == 401
    assert management.keys("locked").primary == new.primary
    assert hosted.workspace.services.get("locked").version().wanted_revision == revision
    noted = [entry.action for entry in hosted.workspace.audit.list("locked")]
    assert noted.count("service.regenerate_key") == 2
    text = str([entry.details for entry in hosted.workspace.audit.list("locked")])
    assert new.primary not in text
    assert "another-chosen" not in text
    management.delete("locked")


def test_logs_are_there_while_it_starts(
    hosted: Hosted, management: Management, ask_for: Callable[..., DeployRequest], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    management.deploy(ask_for("slow", WAITS.format(gate=str(gate))))
    hosted.until("slow", lambda _: "waits for" in management.logs("slow"), "a line of init")
    assert management.observe("slow").state == "Transitioning"
    with pytest.raises(DeploymentFailed, match="still Transitioning"):
        management.wait("slow", timeout_s=0.1)
    gate.touch()
    management.wait("slow", timeout_s=60)
    assert said(management, "slow") == "open"
    init, whole = management.logs("slow", init=True), management.logs("slow")
    assert "waits for" in init
    assert init in whole
    management.delete("slow")


def test_a_local_service_is_reloaded_from_its_folder(
    management: Management, ask_for: Callable[..., DeployRequest], tmp_path: Path
) -> None:
    management.deploy(ask_for("edited", ANSWERS.format("before")))
    management.wait("edited", timeout_s=60)
    (tmp_path / "edited" / "score.py").write_text(ANSWERS.format("after"))
    assert said(management, "edited") == ["before", 1]
    management.reload("edited")
    management.wait("edited", timeout_s=60)
    assert said(management, "edited") == ["after", 1]
    management.delete("edited")


def test_too_much_memory_asked_for_is_unschedulable(
    management: Management, ask_for: Callable[..., DeployRequest]
) -> None:
    request = ask_for("huge", ANSWERS.format("x"), runtime=RuntimeSettings(memory_gb=100_000))
    management.deploy(request)
    with pytest.raises(DeploymentFailed) as raised:
        management.wait("huge", timeout_s=60)
    assert raised.value.state == "Unschedulable"
    management.delete("huge")
