"""What management writes down about services, and what it refuses before it writes anything."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from cryptography.fernet import Fernet

from calotype import errors
from calotype.hosting.layout import Layout
from calotype.hosting.management import DeployRequest, Management, keeper
from calotype.hosting.management.access import changed_access, new_access
from calotype.hosting.management.credentials import keys_of, make_credentials, opened, regenerated
from calotype.hosting.management.locking import changing, lock_of
from calotype.hosting.management.shares import split
from calotype.hosting.source_folder import inference_of
from calotype.workspace import tables
from calotype.workspace.location import Location
from calotype.workspace.service_settings import (
    AccessSettings,
    Inference,
    RuntimeSettings,
    Target,
)
from calotype.workspace.services import Service, Version
from calotype.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.create("records", tmp_path / "home")
    for name in ("ridge.onnx", "forest.joblib", "words.txt"):
        path = tmp_path / name
        path.write_bytes(name.encode())
        made.models.register(path, path.stem)
    return made


@pytest.fixture
def script(workspace: Workspace, tmp_path: Path) -> Inference:
    path = tmp_path / "score.py"
    path.write_text("def init(): pass\ndef run(data): return data\n")
    return inference_of(workspace, entry_script=path)


@pytest.fixture
def batch(workspace: Workspace) -> Callable[..., Service]:
    """Give a function that deploys a service without processes."""

    def deploy(name: str = "nightly", **values: Any) -> Service:
        return Management(workspace).deploy(request(name, "batch", **values))

    return deploy


def request(name: str = "diabetes", target: Target = "local", **values: Any) -> DeployRequest:
    said: dict[str, Any] = {"models": ("ridge",), **values}
    return DeployRequest(name, target, **said)


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        (request("ab"), errors.UnparsableValue, "3 to 32"),
        (request("Diabetes"), errors.UnparsableValue, "'Diabetes'"),
        (request("ends-"), errors.UnparsableValue, "no dash"),
        (request(models=("nothing",)), errors.NotFound, "nothing"),
        (request(models=("ridge:2",)), errors.NotFound, "ridge"),
        (request(models=("ridge", "ridge:1")), errors.UnparsableValue, "twice"),
        (request(models=()), errors.InvalidModel, "entry-script"),
        (request(models=("ridge", "words")), errors.InvalidModel, "2 models"),
        (request(models=("words",)), errors.InvalidModel, "words.txt"),
        (request(models=("forest",)), errors.InvalidModel, "allow-pickle"),
        (
            request(runtime=RuntimeSettings(memory_gb=2, memory_gb_limit=1, cpu_cores_limit=0.05)),
            errors.UnparsableValue,
            r"cpu_cores_limit.*memory_gb_limit",
        ),
        (request(runtime=RuntimeSettings(num_replicas=2)), errors.UnparsableValue, "one replica"),
        (request(access=AccessSettings(auth="key")), errors.NotSupported, "local"),
        (
            request(target="instance", access=AccessSettings(auth="token")),
            errors.NotSupported,
            "cluster",
        ),
        (
            request(target="cluster", access=AccessSettings(port=8000)),
            errors.NotSupported,
            "front door",
        ),
        (
            request(target="cluster", access=AccessSettings(tls_certificate="c", tls_key="k")),
            errors.NotSupported,
            "calotype up --tls-cert",
        ),
        (
            request(target="instance", access=AccessSettings(tls_certificate="c")),
            errors.EmptyInput,
            "tls_key",
        ),
        (
            request(target="instance", access=AccessSettings(tls_certificate="c", tls_key="k")),
            errors.UnreadableFile,
            "c",
        ),
        (request(primary_key="a-long-key-1"), errors.NotSupported, "instance"),
        (request(target="instance", primary_key="a-long-key-1"), errors.NotSupported, "auth"),
        (request(target="cluster", primary_key="short"), errors.UnparsableValue, "primary key"),
        (request(target="cluster", primary_key=""), errors.EmptyInput, "primary key"),
        (request(target="instance", is_endpoint=True), errors.NotSupported, "cluster"),
        (request(target="cluster", version="Blue"), errors.UnparsableValue, "version"),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_is_written(
    workspace: Workspace, asked: DeployRequest, kind: type[errors.CalotypeError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        Management(workspace).deploy(asked)
    assert workspace.services.list() == []
    assert workspace.audit.list() == [] or all(
        not entry.action.startswith("service.") for entry in workspace.audit.list()
    )


def test_a_script_that_is_not_in_the_source_is_refused(
    workspace: Workspace, script: Inference
) -> None:
    wrong = script.model_copy(update={"entry_script": "scores.py"})
    with pytest.raises(errors.NotFound, match=r"score\.py"):
        Management(workspace).deploy(request(inference=wrong))
    without = script.model_copy(update={"entry_script": ""})
    with pytest.raises(errors.EmptyInput, match="entry_script"):
        Management(workspace).deploy(request(inference=without))


def test_a_deployment_is_written_down_whole(
    workspace: Workspace, batch: Callable[..., Service], script: Inference
) -> None:
    made = batch(
        models=("ridge", "words"),
        inference=script,
        tags={"team": "garden"},
        properties={"origin": "test"},
        description="every night",
    )
    assert made == workspace.services.get("nightly")
    assert made.models == ("ridge:1", "words:1")  # the versions of that moment
    assert made.access.auth == "none"
    assert (made.tags, made.properties) == ({"team": "garden"}, {"origin": "test"})
    assert made.state == "Healthy"
    assert workspace.services.users_of("ridge:1") == ["nightly"]
    entry = workspace.audit.list("nightly")[0]
    assert entry.action == "service.deploy"
    assert entry.details["models"] == ["ridge:1", "words:1"]


def test_a_taken_name_is_refused_unless_overwrite_is_said(
    workspace: Workspace, batch: Callable[..., Service], script: Inference
) -> None:
    before = batch()
    with pytest.raises(errors.AlreadyExists, match="overwrite"):
        batch()
    after = batch(overwrite=True, models=("words",), inference=script)
    assert after.credentials == before.credentials
    assert after.access == before.access
    assert after.version().wanted_revision == 2
    assert after.version().wanted.models == ("words:1",)
    with pytest.raises(errors.AlreadyExists, match="target 'local'"):
        Management(workspace).deploy(request("nightly", overwrite=True))


def test_an_update_changes_what_is_said_and_nothing_else(
    workspace: Workspace, batch: Callable[..., Service]
) -> None:
    batch(tags={"a": "1"}, description="old", runtime=RuntimeSettings(workers=2))
    management = Management(workspace)
    updated = management.update("nightly", runtime={"scoring_timeout_ms": 5})
    assert updated.version().wanted.runtime == RuntimeSettings(workers=2, scoring_timeout_ms=5)
    assert (updated.tags, updated.description) == ({"a": "1"}, "old")
    updated = management.update("nightly", tags={"b": "2"}, properties={"p": "1"}, description="")
    assert (updated.tags, updated.properties, updated.description) == ({"b": "2"}, {"p": "1"}, "")
    assert updated.version().wanted_revision == 2  # labels start nothing
    same = management.update("nightly", models=("ridge:1",))
    assert same.version().wanted_revision == 2
    assert len(workspace.services.get("nightly").version().revisions) == 2


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, errors.EmptyInput),
        ({"models": ("nothing",)}, errors.NotFound),
        ({"models": ("words",)}, errors.InvalidModel),
        ({"runtime": {"wrokers": 2}}, errors.UnparsableValue),
        ({"runtime": {"workers": 0}}, errors.ParameterError),
        ({"access": {"auth": "key"}}, errors.NotSupported),
        ({"version": "blue", "tags": {}}, errors.NotFound),
        ({"properties": {"origin": "another"}, "tags": {"new": "tag"}}, errors.NotSupported),
    ],
)
def test_a_refused_update_changes_nothing(
    workspace: Workspace,
    batch: Callable[..., Service],
    change: dict[str, Any],
    kind: type[errors.CalotypeError],
) -> None:
    before = batch(properties={"origin": "test"})
    with pytest.raises(kind):
        Management(workspace).update("nightly", **change)
    assert workspace.services.get("nightly") == before


def test_values_of_variables_are_sealed_in_revisions(
    workspace: Workspace, batch: Callable[..., Service], script: Inference
) -> None:
    variables = {"PASSWORD": "open sesame"}
    given = script.model_copy(update={"environment": {"environment_variables": variables}})
    assert "sesame" not in repr(given)
    management = Management(workspace)
    made = batch(inference=given)
    assert made.version().wanted.inference.environment == {"environment_variables": variables}
    assert "sesame" not in repr(made)
    again = management.update("nightly", inference=given, runtime={"workers": 1})
    assert again.version().wanted_revision == 1  # sealed anew it would look like another
    management.update("nightly", runtime={"workers": 2})
    assert stored(workspace).count('"sealed"') == 2
    assert "sesame" not in stored(workspace)


def stored(workspace: Workspace) -> str:
    """Return what the database has of all revisions."""
    with workspace.database.reading() as connection:
        rows = connection.execute(sqlalchemy.select(tables.service_revisions.c.inference))
        return json.dumps(list(rows.scalars()))


def test_a_revision_of_an_earlier_build_is_read(
    workspace: Workspace, batch: Callable[..., Service], script: Inference
) -> None:
    environment = {"name": "e", "environment_variables": {"MODE": "fast"}}
    given = script.model_copy(update={"environment": environment})
    batch(inference=given)
    with workspace.database.writing() as connection:
        row = sqlalchemy.update(tables.service_revisions)
        connection.execute(row.values(inference=given.model_dump(mode="json")))
    assert workspace.services.get("nightly").version().wanted.inference == given


def test_the_key_file_of_another_workspace_seals_nothing(
    workspace: Workspace, batch: Callable[..., Service], script: Inference
) -> None:
    before = batch(runtime=RuntimeSettings(workers=2))
    right = workspace.place.key_file.read_bytes()
    workspace.place.key_file.write_bytes(Fernet.generate_key())
    environment = {"environment_variables": {"PASSWORD": "open sesame"}}
    given = script.model_copy(update={"environment": environment})
    for change in (
        lambda: batch("another"),
        lambda: Management(workspace).update("nightly", inference=given),
        lambda: make_credentials(None, None).sealed(workspace.key_file),
    ):
        with pytest.raises(errors.CorruptWorkspace, match="that this key file opens"):
            change()
    workspace.place.key_file.write_bytes(right)
    assert workspace.services.list() == [before]
    assert opened(workspace, before).primary_key


def test_deleting_leaves_nothing_and_a_second_time_says_so(
    workspace: Workspace, batch: Callable[..., Service]
) -> None:
    batch()
    layout = Layout.of(workspace.place)
    (layout.logs("nightly")).mkdir(parents=True)
    management = Management(workspace)
    assert management.delete("nightly") is True
    assert not layout.service("nightly").exists()
    assert not lock_of(layout, "nightly").exists()
    assert management.delete("nightly") is False
    with pytest.raises(errors.NotFound):
        management.update("nightly", tags={})
    assert workspace.audit.list("nightly")[0].action == "service.delete"


def test_nothing_is_written_when_no_keeper_can_be_started(
    workspace: Workspace, script: Inference
) -> None:
    Layout.of(workspace.place).keeper_log.mkdir(parents=True)  # where its log would be
    with pytest.raises((OSError, errors.CalotypeError)):
        Management(workspace).deploy(request(inference=script))
    assert workspace.services.list() == []
    assert workspace.audit.list("diabetes") == []


def test_a_password_that_replicas_do_not_get_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = Location.of_folder(tmp_path, database="postgresql://me@server/shop")
    monkeypatch.setenv("PGPASSWORD", "a-secret-of-ours")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    keeper.warn_of_password(place)
    assert "comes from PGPASSWORD alone" in caplog.text
    assert "a-secret-of-ours" not in caplog.text
    caplog.clear()
    keeper.warn_of_password(Location.of_folder(tmp_path))
    (tmp_path / "pgpass").touch()
    keeper.warn_of_password(place)
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["../../../../precious", "..", "", "/etc/passwd", "Upper"])
def test_names_never_become_paths_elsewhere(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    layout = Layout.of(workspace.place)
    precious = tmp_path / "precious.lock"
    precious.write_text("kept")
    management = Management(workspace)
    for change in (
        lambda: management.delete(name),
        lambda: management.update(name, tags={}),
        lambda: management.set_traffic(name, {}),
        lambda: lock_of(layout, name),
    ):
        with pytest.raises(errors.UnparsableValue, match="name of the service"):
            change()
    for look in (management.logs, management.observe, management.keys, management.token):
        with pytest.raises(errors.NotFound):
            look(name)
    if name != "Upper":
        with pytest.raises(errors.UnparsableValue):
            layout.service(name)
    assert precious.read_text() == "kept"


def _hold(home: str, held: Any, done: Any) -> None:
    workspace = Workspace.from_config(home)
    with changing(Layout.of(workspace.place), "nightly"):
        held.set()
        for number in range(20):
            Management(workspace).update("nightly", add_tags={f"theirs-{number}": "1"})
        done.wait(120)


def test_one_change_at_a_time(workspace: Workspace, batch: Callable[..., Service]) -> None:
    batch()
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(workspace.location, held, done))
    other.start()
    try:
        assert held.wait(60)
        for number in range(20):  # what is said about it is no operation on it
            Management(workspace).update("nightly", add_tags={f"mine-{number}": 1})
        with pytest.raises(errors.Busy, match="in progress") as raised:
            Management(workspace).update("nightly", runtime={"workers": 2})
        assert raised.value.http_status == 409
        assert Management(workspace).deploy(request("another", "batch")).name == "another"
    finally:
        done.set()
        other.join(60)
    names = [f"{whose}-{number}" for whose in ("mine", "theirs") for number in range(20)]
    assert workspace.services.get("nightly").tags == dict.fromkeys(names, "1")
    updated = Management(workspace).update(
        "nightly", runtime={"workers": 2}, add_tags={"a": 1}, remove_tags=names
    )
    assert updated.tags == {"a": "1"}
    updated = Management(workspace).update("nightly", add_tags={"aa": 1, "b": 1}, remove_tags="aa")
    assert updated.tags == {"a": "1", "aa": "1", "b": "1"}  # what goes, goes first
    assert Management(workspace).update("nightly", remove_tags="aa").tags == {"a": "1", "b": "1"}


@pytest.mark.parametrize(
    ("target", "auth"), [("local", "none"), ("instance", "none"), ("cluster", "key")]
)
def test_each_target_has_its_default_of_auth(
    workspace: Workspace, target: Target, auth: str
) -> None:
    access = new_access(workspace, target, AccessSettings())
    assert access.auth == auth
    assert (access.port is None) is (target == "cluster")


def test_auth_that_was_said_stays(workspace: Workspace) -> None:
    assert new_access(workspace, "cluster", AccessSettings(auth="none")).auth == "none"
    assert new_access(workspace, "cluster", AccessSettings(auth="token")).auth == "token"
    assert new_access(workspace, "instance", AccessSettings(auth="key")).auth == "key"


def test_a_port_is_free_and_stays(workspace: Workspace) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(errors.CannotListen, match=str(taken)):
            new_access(workspace, "local", AccessSettings(port=taken))
    access = new_access(workspace, "local", AccessSettings(port=0))
    assert access.port
    same = changed_access(workspace, "x", "local", access, {"cors_origins": ("*",), "port": 0})
    assert same.port == access.port
    assert same.cors_origins == ("*",)


def test_keys_are_exchanged_one_at_a_time(workspace: Workspace) -> None:
    made = make_credentials("the-first-key", None)
    assert made.primary_key == "the-first-key"
    changed = regenerated(made, "Primary", None)
    assert changed.primary_key != made.primary_key
    assert (changed.secondary_key, changed.signing_key) == (made.secondary_key, made.signing_key)
    chosen = regenerated(made, "secondary", "a-chosen-one")
    assert chosen.secondary_key == "a-chosen-one"
    assert regenerated(made, "token", None).signing_key != made.signing_key
    for wrong in (("third", None), ("primary", "short"), ("secondary", "the-first-key")):
        with pytest.raises(errors.UnparsableValue):
            regenerated(made, *wrong)
    assert "the-first-key" not in repr(made)


def test_a_service_without_auth_has_no_keys_to_show(
    workspace: Workspace, batch: Callable[..., Service]
) -> None:
    service = batch()
    assert opened(workspace, service).primary_key  # for the day when auth is switched on
    with pytest.raises(errors.NotSupported, match="not protected"):
        Management(workspace).keys("nightly")
    with pytest.raises(errors.NotSupported):
        Management(workspace).token("nightly")
    keyed = dataclasses.replace(service, target="cluster", access=AccessSettings(auth="key"))
    assert keys_of(workspace, keyed).primary == opened(workspace, service).primary_key
    plain = (workspace.place.root / "workspace.db").read_bytes()
    assert opened(workspace, service).primary_key.encode() not in plain


def test_a_roll_back_runs_the_revision_before_and_a_second_one_undoes_it(
    workspace: Workspace, batch: Callable[..., Service]
) -> None:
    batch(runtime=RuntimeSettings(workers=1))
    management = Management(workspace)
    management.update("nightly", runtime={"workers": 2})
    back = management.roll_back("nightly").version()
    assert (back.wanted_revision, back.wanted.runtime.workers) == (3, 1)
    assert management.roll_back("nightly").version().wanted.runtime.workers == 2
    chosen = management.roll_back("nightly", revision=1).version()
    assert chosen.wanted.runtime.workers == 1
    with pytest.raises(errors.NotFound, match="revision 9"):
        management.roll_back("nightly", revision=9)


def test_a_first_revision_has_nothing_to_go_back_to(
    workspace: Workspace, batch: Callable[..., Service]
) -> None:
    batch()
    with pytest.raises(errors.NotFound, match="before"):
        Management(workspace).roll_back("nightly")
    with pytest.raises(errors.NotSupported, match="cluster"):
        Management(workspace).set_traffic("nightly", {"default": 100})


def _versions(service: Service, **percents: int) -> Service:
    first = service.version()
    return dataclasses.replace(
        service,
        target="cluster",
        versions=tuple(
            dataclasses.replace(first, name=name, traffic_percent=percent, is_default=name == "a")
            for name, percent in percents.items()
        ),
    )


def test_the_default_version_takes_what_others_leave(batch: Callable[..., Service]) -> None:
    service = _versions(batch(), a=90, b=10, c=0)
    assert split(service, {"c": 20}) == {"a": 70, "b": 10, "c": 20}
    assert split(service, {"b": 0}) == {"a": 100, "b": 0, "c": 0}
    assert split(service, {"a": 50, "b": 50}) == {"a": 50, "b": 50, "c": 0}
    for wrong in ({"c": 91}, {"b": 101}, {"b": -1}, {"a": 50}):
        with pytest.raises(errors.NotInRange):
            split(service, wrong)
    with pytest.raises(errors.NotFound):
        split(service, {"d": 1})


def test_a_version_says_what_it_wants(batch: Callable[..., Service]) -> None:
    version: Version = batch().version()
    assert version.wanted.number == version.serving_revision == 1
