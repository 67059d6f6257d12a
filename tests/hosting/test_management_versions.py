"""Versions, shares and revisions: written together, and over nothing that the keeper wrote."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from calotype import errors
from calotype.hosting.canary import Action, Verdict
from calotype.hosting.kept_load import write_verdict
from calotype.hosting.management import Management, keeper, updating
from calotype.hosting.management.credentials import make_credentials
from calotype.hosting.management.updating import Changes
from calotype.workspace.check import check
from calotype.workspace.location import Location
from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings
from calotype.workspace.services import Revision, Service, Version, now
from calotype.workspace.workspace import Workspace

FAULT = {"message": "no such weights", "revision": "2"}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    # Records only: the keeper of another machine looks by itself, and none is started here.
    def is_here(place: Location, host: str) -> bool:
        return False

    monkeypatch.setattr(keeper, "is_here", is_here)
    made = Workspace.create("versions", tmp_path / "home")
    for name in ("ridge.onnx", "lasso.onnx"):
        path = tmp_path / name
        path.write_bytes(name.encode())
        made.models.register(path, path.stem)
    made.services.add(_endpoint(made))
    return made


def _endpoint(workspace: Workspace) -> Service:
    """Return a service with two versions."""
    settings = RuntimeSettings(num_replicas=1)
    first = Revision(1, ("ridge:1",), Inference(), settings)
    blue = Version("blue", 90, True, True, 1, 1, "Healthy", None, (first,))
    green = Version("green", 10, False, False, 1, 1, "Healthy", None, (first,))
    return Service(
        name="garden",
        target="cluster",
        is_endpoint=True,
        access=AccessSettings(auth="none"),
        credentials=make_credentials(None, None).sealed(workspace.key_file),
        desired="running",
        state="Healthy",
        error=None,
        host="elsewhere",
        description="",
        tags={},
        properties={},
        created_by="tests",
        created_at=now(),
        updated_at=now(),
        versions=(blue, green),
    )


def garden(workspace: Workspace) -> Service:
    return workspace.services.get("garden")


def shares(workspace: Workspace) -> dict[str, int]:
    return {one.name: one.traffic_percent for one in garden(workspace).versions}


def test_what_the_keeper_wrote_meanwhile_stays(workspace: Workspace) -> None:
    read_early = garden(workspace)
    workspace.services.change_version("garden", "blue", serving_revision=None)
    updating.apply(workspace, read_early, Changes("blue", runtime={"workers": 2}))
    assert garden(workspace).version("blue").serving_revision is None
    assert garden(workspace).version("blue").state == "Transitioning"

    read_early = garden(workspace)
    updating.apply(workspace, read_early, Changes("blue", runtime={"workers": 3}))
    workspace.services.change_version("garden", "blue", serving_revision=3)
    updating.apply(workspace, read_early, Changes("blue", runtime={"workers": 4}))
    blue = garden(workspace).version("blue")
    assert (blue.wanted_revision, blue.serving_revision) == (4, 3)
    assert [one.runtime.workers for one in blue.revisions] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "values", "after"),
    [
        ("create_version", {"version": "red", "traffic_percent": 20}, {"blue": 70, "red": 20}),
        ("delete_version", {"version": "green"}, {"blue": 100}),
        ("set_traffic", {"percents": {"green": 60}, "mirror": {"green": 5}}, {"blue": 40}),
        ("start_canary", {"version": "green", "step_percent": 30}, {"blue": 70, "green": 30}),
        (
            "update_version",
            {"version": "green", "is_default": True, "runtime": {"workers": 2}},
            {"blue": 90, "green": 10},
        ),
        (
            "update_version",
            {"version": "green", "traffic_percent": 35, "models": ("lasso",), "is_control": True},
            {"blue": 65, "green": 35},
        ),
    ],
)
def test_a_change_of_versions_is_one_transaction(
    workspace: Workspace, change: str, values: dict[str, Any], after: dict[str, int]
) -> None:
    before = workspace.services.fingerprint()
    getattr(Management(workspace), change)("garden", **values)
    assert workspace.services.fingerprint() == before + 1
    found = garden(workspace)
    assert shares(workspace).items() >= after.items()
    assert sum(shares(workspace).values()) == 100
    assert [one.is_default for one in found.versions].count(True) == 1
    assert [one.is_control for one in found.versions].count(True) == 1
    assert not [one for one in check(workspace) if one.is_damage]


def test_an_edit_that_fails_has_changed_nothing(workspace: Workspace) -> None:
    before = garden(workspace)

    def share_out(*names: str) -> None:
        with workspace.services.editing("garden") as edit:
            for name in names:
                edit.change_version(name, traffic_percent=50)

    with pytest.raises(errors.NotFound, match="'red'"):
        share_out("blue", "red")
    assert garden(workspace) == before
    with pytest.raises(errors.NotInRange):  # green would be the default, and blue keeps its 90
        Management(workspace).update_version("garden", "green", traffic_percent=5, is_default=True)
    assert garden(workspace) == before


@pytest.mark.parametrize(
    ("change", "values"),
    [
        ("set_traffic", {"percents": {"green": 0}}),
        ("set_traffic", {"percents": {"blue": 60, "green": 40}}),
        ("update_version", {"version": "green", "traffic_percent": 40}),
        ("update_version", {"version": "green", "is_default": True}),
    ],
)
def test_a_share_set_by_hand_ends_a_roll_out(
    workspace: Workspace, change: str, values: dict[str, Any]
) -> None:
    management = Management(workspace)
    management.start_canary("garden", "green", step_percent=20)
    management.set_traffic("garden", {}, mirror={"green": 5})
    management.create_version("garden", "red", traffic_percent=10)
    management.set_traffic("garden", {"red": 5})
    assert garden(workspace).version("green").rollout["state"] == "in progress"
    management.delete_version("garden", "red")
    getattr(management, change)("garden", **values)
    rollout = garden(workspace).version("green").rollout
    assert (rollout["state"], rollout["reason"]) == ("ended", "The traffic was shared out by hand.")
    noted = workspace.audit.list("garden")
    assert [one for one in noted if one.details.get("ended_rollouts") == ["green"]]
    before = shares(workspace)
    with pytest.raises(errors.NotFound, match="a revision before the one that runs"):
        management.roll_back("garden")  # of the default version: no roll-out gave that share
    assert shares(workspace) == before


def test_a_canary_is_measured_against_the_control_version_while_that_gets_requests(
    workspace: Workspace,
) -> None:
    management = Management(workspace)

    def control(version: str) -> str:
        return management.start_canary("garden", version).version(version).rollout["control"]

    management.create_version("garden", "red")
    workspace.services.change_version("garden", "red", state="Healthy")
    assert control("red") == "blue"  # the default, and the control too
    management.update_version("garden", "green", is_control=True)
    assert control("red") == "green"
    assert control("green") == "blue"
    management.delete_version("garden", "green")
    red = garden(workspace).version("red").rollout
    assert (red["state"], red["reason"]) == ("ended", "Version 'green' was deleted.")
    assert control("red") == "blue"


@pytest.mark.parametrize("state", ["Failed", "Unhealthy", "Transitioning"])
def test_what_does_not_answer_is_not_rolled_out(workspace: Workspace, state: str) -> None:
    workspace.services.change_version("garden", "green", state=state)
    before = garden(workspace)
    with pytest.raises(errors.NotSupported, match=f"expected a version that is Healthy.*{state}"):
        Management(workspace).start_canary("garden", "green")
    assert garden(workspace) == before


def test_a_verdict_counts_only_for_the_shares_that_were_judged(workspace: Workspace) -> None:
    management = Management(workspace)
    judged = management.start_canary("garden", "green", step_percent=20)
    verdict = Verdict("advance", 40, "as good as the new version should be")
    management.set_traffic("garden", {"green": 0})
    write_verdict(workspace, judged, judged.version("green"), verdict)
    assert shares(workspace) == {"blue": 100, "green": 0}
    judged = management.start_canary("garden", "green", step_percent=20)
    workspace.services.change_version("garden", "green", serving_revision=2)
    write_verdict(workspace, judged, judged.version("green"), verdict)
    assert shares(workspace) == {"blue": 80, "green": 20}
    judged = garden(workspace)
    write_verdict(workspace, judged, judged.version("green"), verdict)
    assert shares(workspace) == {"blue": 60, "green": 40}


def test_a_roll_out_is_done_when_the_last_step_was_as_good(workspace: Workspace) -> None:
    Management(workspace).start_canary("garden", "green", step_percent=50)
    steps: tuple[tuple[Action, str], ...] = (("advance", "in progress"), ("finish", "done"))
    for action, state in steps:
        judged = garden(workspace)
        write_verdict(workspace, judged, judged.version("green"), Verdict(action, 100, "as good"))
        assert garden(workspace).version("green").rollout["state"] == state
        assert shares(workspace) == {"blue": 0, "green": 100}


def fail_an_update(workspace: Workspace) -> Version:
    Management(workspace).update_version("garden", "blue", models=("lasso",))
    workspace.services.change_version("garden", "blue", error=FAULT)
    return garden(workspace).version("blue")


def test_after_a_failed_update_the_next_builds_on_what_serves(workspace: Workspace) -> None:
    failed = fail_an_update(workspace)
    assert (failed.wanted_revision, failed.serving_revision) == (2, 1)
    updated = Management(workspace).update("garden", runtime={"workers": 2})
    wanted = updated.version("blue").wanted
    assert (wanted.number, wanted.models, wanted.runtime.workers) == (3, ("ridge:1",), 2)


def test_labels_start_nothing_after_a_failed_update(workspace: Workspace) -> None:
    failed = fail_an_update(workspace)
    updated = Management(workspace).update("garden", tags={"a": "b"})
    assert updated.tags == {"a": "b"}
    assert updated.version("blue") == failed
    again = Management(workspace).update("garden", models=("ridge:1",)).version("blue")
    assert (again.wanted_revision, again.wanted.models) == (3, ("ridge:1",))


def test_an_update_that_is_under_way_is_built_on(workspace: Workspace) -> None:
    Management(workspace).update("garden", models=("lasso",))
    updated = Management(workspace).update("garden", runtime={"workers": 2}).version("blue")
    assert (updated.wanted.models, updated.wanted.runtime.workers) == (("lasso:1",), 2)


def test_a_roll_back_to_a_deleted_model_says_so(workspace: Workspace) -> None:
    management = Management(workspace)
    for version in ("blue", "green"):
        management.update_version("garden", version, models=("lasso",))
        workspace.services.change_version("garden", version, serving_revision=2)
    workspace.models.delete(workspace.models.get("ridge"))
    assert not [one for one in check(workspace) if one.is_damage]
    with pytest.raises(errors.NotFound, match=r"models of revision 1.*ridge:1.*deleted"):
        management.roll_back("garden", "blue")
    assert garden(workspace).version("blue").wanted_revision == 2


def test_another_machine_notices_every_change(workspace: Workspace) -> None:
    seen = [workspace.services.fingerprint()]
    services = workspace.services

    def is_new() -> bool:
        seen.append(services.fingerprint())
        return seen[-1] not in seen[:-1]

    services.change("garden", description="of another machine")
    assert is_new()
    services.change_version("garden", "green", state="Unhealthy")
    assert is_new()
    second = dataclasses.replace(garden(workspace), name="orchard")
    services.add(second)
    assert is_new()
    services.delete("orchard")
    assert is_new()
    assert services.get("garden").name == "garden"
    assert not is_new()
