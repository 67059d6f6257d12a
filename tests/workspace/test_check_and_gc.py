"""`check` sees damage, `collect` deletes what nothing needs and nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from writers import service

from calotype import errors, files
from calotype.workspace import environment_folders
from calotype.workspace.check import Finding, check
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.garbage import collect
from calotype.workspace.runs import Run
from calotype.workspace.service_settings import Inference
from calotype.workspace.workspace import Workspace

Problem = tuple[str, str]


def problems(workspace: Workspace) -> list[Problem]:
    return [(finding.where, finding.problem) for finding in check(workspace) if finding.is_damage]


def unused(workspace: Workspace) -> list[Finding]:
    return [finding for finding in check(workspace) if not finding.is_damage]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def blobs(workspace: Workspace) -> list[Path]:
    folder = workspace.place.root / "artifacts/blobs"
    return [path for path in folder.rglob("*") if path.is_file()]


def make_old(path: Path) -> None:
    long_ago_s = time.time() - 7200
    os.utime(path, (long_ago_s, long_ago_s))


def fill(workspace: Workspace, folder: Path) -> None:
    """Register one of everything that has files."""
    workspace.models.register(write(folder / "model.bin", "weights"), "model")
    workspace.datasets.register("copied", write(folder / "copied/1.txt", "1").parent, copy=True)
    workspace.datasets.register("noted", write(folder / "noted/1.txt", "2").parent)
    source = workspace.artifacts.put(write(folder / "score.py", "def run(): ..."))
    made = service(workspace, "flowers")
    (version,) = made.versions
    revision = dataclasses.replace(
        version.revisions[0], inference=Inference(entry_script="score.py", source=source.digest)
    )
    version = dataclasses.replace(version, revisions=(revision,))
    workspace.services.add(dataclasses.replace(made, versions=(version,)))
    result = workspace.artifacts.put(write(folder / "result.csv", "a,b"))
    workspace.runs.add(Run("batch", "flowers", "Completed", outputs={"artifact": result.digest}))
    other = workspace.artifacts.put(write(folder / "picture.png", "png"))
    workspace.runs.add(
        Run("batch", "x", "Completed", outputs={"deep": [{"list": other.digest, "text": "0" * 64}]})
    )
    single = workspace.artifacts.put(write(folder / "single.png", "single")).entries[0]
    workspace.runs.add(Run("batch", "y", "Completed", outputs={"image": single.digest}))


def test_a_good_workspace_has_no_problems(workspace: Workspace, tmp_path: Path) -> None:
    assert check(workspace) == []
    fill(workspace, tmp_path)
    assert check(workspace) == []


def test_everything_that_is_referred_to_stays(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    before = set(blobs(workspace))
    collected = collect(workspace, older_than_s=0)
    assert (collected.blobs, collected.folders) == (1, 0)  # the list of the single file
    assert len(before - set(blobs(workspace))) == 1
    assert check(workspace) == []


def test_what_was_deleted_goes_when_it_is_old(workspace: Workspace, tmp_path: Path) -> None:
    kept = workspace.models.register(write(tmp_path / "a", "same"), "kept")
    gone = workspace.models.register(write(tmp_path / "b/c", "other").parent, "gone")
    workspace.models.delete(gone)
    assert unused(workspace) == []
    assert collect(workspace).blobs == 0
    for path in blobs(workspace):
        make_old(path)
    (finding,) = unused(workspace)
    assert (finding.where, finding.problem.split()[0]) == ("artifacts", "2")
    collected = collect(workspace)
    assert collected.blobs == 2
    assert collected.bytes > 5
    assert check(workspace) == []
    assert workspace.artifacts.check(kept.artifact) == []


def test_a_file_stored_again_is_young_again(workspace: Workspace, tmp_path: Path) -> None:
    tree = workspace.artifacts.put(write(tmp_path / "a", "text"))
    for path in blobs(workspace):
        make_old(path)
    workspace.artifacts.put(tmp_path / "a")  # about to be registered
    assert collect(workspace).blobs == 0
    assert workspace.artifacts.check(tree.digest) == []


def test_what_killed_writers_left_goes(workspace: Workspace) -> None:
    half = write(workspace.place.root / "artifacts/temporary/1234", "half")
    young = write(workspace.place.root / "artifacts/temporary/5678", "half")
    folder = write(workspace.place.root / ".abc/file", "half").parent
    for path in (half, folder):
        make_old(path)
    assert collect(workspace).folders == 1
    assert (half.exists(), young.exists(), folder.exists()) == (False, True, False)


def test_damaged_files_are_named_with_what_needs_them(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    for path in blobs(workspace):
        if path.read_bytes() in (b"weights", b"def run(): ...", b"a,b"):
            path.write_bytes(b"changed")
        elif path.read_bytes() == b"1":
            path.unlink()
    found = dict(problems(workspace))
    assert len(found) == 4
    assert found["model 'model:1'"] == "'model.bin' has changed since it was stored."
    assert found["dataset 'copied:1'"].startswith("'1.txt' is missing")
    assert "'score.py' has changed" in found["service revision 'flowers:default'"]
    assert {"dataset", "model", "run", "service"} == {where.split()[0] for where in found}


def test_nothing_is_collected_while_a_list_is_missing(workspace: Workspace, tmp_path: Path) -> None:
    model = workspace.models.register(write(tmp_path / "a", "text"), "model")
    Path(workspace.place.root / f"artifacts/blobs/{model.artifact[:2]}/{model.artifact}").unlink()
    (problem,) = problems(workspace)
    assert problem[0] == "model 'model:1'"
    with pytest.raises(errors.CorruptWorkspace, match="workspace check"):
        collect(workspace, older_than_s=0)
    assert len(blobs(workspace)) == 1


def test_files_of_a_dataset_that_changed_are_seen(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    write(tmp_path / "noted/2.txt", "new")  # a folder in use
    assert problems(workspace) == []
    ((where, problem),) = [(one.where, one.problem) for one in unused(workspace)]
    assert (where, "2 files of 4 bytes instead of 1" in problem) == ("dataset 'noted:1'", True)
    for path in (tmp_path / "noted").iterdir():
        path.unlink()
    assert [where for where, _ in problems(workspace)] == ["dataset 'noted:1'"]
    (tmp_path / "noted").rmdir()
    ((where, problem),) = problems(workspace)
    assert (where, "nothing there" in problem) == ("dataset 'noted:1'", True)


def test_what_others_than_its_owner_may_read_is_seen(workspace: Workspace) -> None:
    root = workspace.place.root
    workspace.place.key_file.chmod(0o644)
    root.chmod(0o755)
    (root / "workspace.db").chmod(0o644)
    found = {one.where: (one.action.split(" '")[0], one.is_damage) for one in check(workspace)}
    assert found == {
        str(workspace.place.key_file): ("chmod 600", True),
        str(root): ("chmod 700", False),
        str(root / "workspace.db"): ("chmod 600", False),
    }


def test_another_key_file_is_seen(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, tmp_path)
    workspace.place.key_file.unlink()
    workspace.key_file.make()
    assert [where for where, _ in problems(workspace)] == [str(workspace.place.key_file)]


def test_folders_of_services_that_are_gone_go_unless_they_run(workspace: Workspace) -> None:
    workspace.services.add(service(workspace, "kept"))
    services = workspace.place.run_folder / "services"
    for name in ("kept", "gone", "runs"):
        write(services / name / "replicas/1.lock", "{}")
    with files.locked(services / "runs/replicas/1.lock", what="a replica"):
        assert [where for where, _ in problems(workspace)] == [str(services / "runs")]
        assert [finding.where for finding in unused(workspace)] == [str(services / "gone")]
        assert collect(workspace).folders == 1
    assert sorted(path.name for path in services.iterdir()) == ["kept", "runs"]


def environment(folder: Path, document: dict[str, Any] | None = None) -> Path:
    """Lay out a virtual environment, long ago; return its Python."""
    made = write(folder / environment_folders.MADE, json.dumps(document or {}))
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(sys.executable)
    make_old(made)
    return folder / "bin/python"


def test_environments_that_nothing_uses_go(workspace: Workspace) -> None:
    place = workspace.place.root / "environments"
    definition = EnvironmentDefinition("mine", pip_requirements=("scipy", "pandas"))
    workspace.environments.register(definition)
    environment(place / "made-by-another-python", definition.to_document())
    made = service(workspace, "flowers")
    (version,) = made.versions
    inference = Inference(environment={"interpreter": str(environment(place / "deployed"))})
    revision = dataclasses.replace(version.revisions[0], inference=inference)
    version = dataclasses.replace(version, revisions=(revision,))
    workspace.services.add(dataclasses.replace(made, versions=(version,)))
    for name in ("unused", "given", "locked"):
        environment(place / name)
    for name in ("half", "unused", "running"):
        make_old(write(place / f".gone-{name}/bin/x", "").parent.parent)
    (place / "link").symlink_to(environment(workspace.place.root / "elsewhere").parents[1])
    (place / ".gone-link").symlink_to("../elsewhere")
    assert environment_folders.is_made(place / "given")  # a deployment is about to name it
    kept = {"made-by-another-python", "deployed", "given", "link"}
    running = subprocess.Popen(
        [environment(place / "running"), "-c", "input()"], stdin=subprocess.PIPE
    )
    with running, files.locked(environment_folders.lock_of(place / "locked"), what="a build"):
        (finding,) = unused(workspace)
        assert finding.problem.startswith("2 environments of ")
        assert collect(workspace).environments == 1
        left = {path.name for path in place.iterdir() if path.is_dir()}
        assert left == kept | {"running", "locked"}
        assert running.stdin is not None
        running.stdin.close()
    assert collect(workspace).environments == 2
    assert {path.name for path in place.iterdir() if path.is_dir()} == kept
    assert (workspace.place.root / "elsewhere" / environment_folders.MADE).exists()


def test_rows_that_belong_to_none_are_seen(workspace: Workspace) -> None:
    workspace.services.add(service(workspace, "flowers"))
    with workspace.database.reading() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("DELETE FROM services")
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        connection.exec_driver_sql("BEGIN")
    found = problems(workspace)
    assert (str(workspace.place.root / "workspace.db")) in {where for where, _ in found}


def test_records_of_services_that_contradict_each_other_are_found(
    workspace: Workspace, tmp_path: Path
) -> None:
    fill(workspace, tmp_path)
    workspace.models.register(write(tmp_path / "gone.bin", "gone"), "gone")
    made = service(workspace, "birds")
    (version,) = made.versions
    revision = dataclasses.replace(version.revisions[0], models=("gone:1", "model:1"))
    versions = [
        dataclasses.replace(version, name=name, traffic_percent=60, revisions=(revision,))
        for name in ("blue", "green")
    ]
    workspace.services.add(dataclasses.replace(made, versions=tuple(versions)))
    workspace.services.change_version("birds", "green", serving_revision=7)
    with workspace.database.writing() as connection:  # as an older program did
        connection.execute(sqlalchemy.text("DELETE FROM models WHERE name = 'gone'"))
    found = problems(workspace)
    assert [problem for where, problem in found if where == "service 'birds'"] == [
        "It should have one default version and has blue, green.",
        "Its versions have 120 percent of the traffic together.",
    ]
    missing = "Model 'gone:1' of revision 1 is not registered."
    where = "version '{}' of service 'birds'"
    assert (where.format("blue"), missing) in found
    assert (where.format("green"), missing) in found
    assert (where.format("green"), "It has no revision 7, which should run.") in found
    assert len(found) == 5
