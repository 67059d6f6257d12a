"""Registered models: versions, files, filters, what may be changed and deleted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_networks import save_model, save_network
from workspace_services import service_of

from calotype import errors
from calotype.models.image_model import ImageModel
from calotype.workspace.workspace import Workspace

SOURCES = Path(__file__).parents[2] / "src"
REGISTER = """
import sys
from calotype.workspace.workspace import Workspace
workspace = Workspace.from_config(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()  # all begin at once
for number in range(int(sys.argv[3])):
    print(workspace.models.register(sys.argv[2], "shared").version)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a model of one file."""
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def image_model(tmp_path: Path) -> Path:
    """Make a small image model."""
    return save_model(tmp_path / "small").path


def test_each_registration_is_another_version(workspace: Workspace, file: Path) -> None:
    first = workspace.models.register(file, "m", tags={"a": "1"}, description="first")
    second = workspace.models.register(file, "m")
    assert (first.id, second.id) == ("m:1", "m:2")
    assert workspace.models.get("m") == second
    assert workspace.models.find("m:1") == first
    assert (first.tags, first.description, first.bytes) == ({"a": "1"}, "first", 7)


def test_processes_that_register_at_once_get_consecutive_versions(
    workspace: Workspace, file: Path
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REGISTER, workspace.location, file, "5"],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    given = [[int(line) for line in text.split()] for text in outputs]
    assert sorted(version for own in given for version in own) == list(range(1, 21))
    assert all(own == sorted(own) for own in given)
    assert [model.version for model in workspace.models.list("shared")] == list(range(20, 0, -1))


def test_a_version_that_was_deleted_is_not_given_again(workspace: Workspace, file: Path) -> None:
    models = workspace.models
    models.register(file, "m")
    second = models.register(file, "m")
    models.delete(second)
    assert models.register(file, "m").version == 3
    models.delete(models.get("m", 1))
    models.delete(models.get("m", 3))
    assert models.register(file, "m").version == 4


def test_a_deletion_is_in_the_audit_log(workspace: Workspace, file: Path) -> None:
    workspace.models.delete(workspace.models.register(file, "m"))
    entry = workspace.audit.list("m:1")[0]
    assert entry.action == "model.delete"


class TestFiles:
    def test_a_file_comes_back(self, workspace: Workspace, file: Path, tmp_path: Path) -> None:
        model = workspace.models.register(file, "m")
        file.unlink()
        written = workspace.models.download(model, tmp_path / "out")
        assert written == tmp_path / "out" / "weights.bin"
        assert written.read_bytes() == b"weights"
        assert workspace.models.path_of(model).read_bytes() == b"weights"

    def test_a_folder_stays_a_folder_of_its_name(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        folder = tmp_path / "outputs"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "wörter.txt").write_text("x")
        model = workspace.models.register(folder, "m")
        assert workspace.models.download(model, tmp_path / "out") == tmp_path / "out" / "outputs"
        assert (tmp_path / "out" / "outputs" / "sub" / "wörter.txt").read_text() == "x"
        assert (workspace.models.folder_of(model) / "outputs" / "sub").is_dir()
        assert (workspace.models.path_of(model) / "sub").is_dir()

    def test_files_of_an_image_model_lie_at_the_top(
        self, workspace: Workspace, image_model: Path, tmp_path: Path
    ) -> None:
        model = workspace.models.register(image_model, "flowers")
        assert model.kind == "image"
        assert model.details["image_model"]["classes"] == 3
        workspace.models.unpack(model, tmp_path / "unpacked")
        assert ImageModel.load(tmp_path / "unpacked").digest == ImageModel.load(image_model).digest
        assert ImageModel.load(workspace.models.path_of(model)).classes == ("cat", "dog", "owl")
        written = workspace.models.download(model, tmp_path / "out")
        assert written == tmp_path / "out" / "flowers"
        ImageModel.load(written).verify()

    def test_links_are_followed(self, workspace: Workspace, file: Path, tmp_path: Path) -> None:
        folder = tmp_path / "linked"
        folder.mkdir()
        (folder / "link.bin").symlink_to(file)
        written = workspace.models.download(workspace.models.register(folder, "m"), tmp_path / "o")
        assert not (written / "link.bin").is_symlink()
        assert (written / "link.bin").read_bytes() == b"weights"

    def test_a_workspace_inside_is_no_part_of_it(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        folder = tmp_path / "project"
        Workspace.create("inside", folder).close()
        (folder / "weights.bin").write_bytes(b"weights")
        model = workspace.models.register(folder, "m")
        entries = workspace.artifacts.tree(model.artifact).entries
        assert [entry.path for entry in entries] == ["project/weights.bin"]

    def test_a_download_replaces_nothing_unless_told(
        self, workspace: Workspace, file: Path, tmp_path: Path
    ) -> None:
        model = workspace.models.register(file, "m")
        out = tmp_path / "out"
        out.mkdir()
        (out / "weights.bin").write_text("mine")
        with pytest.raises(errors.AlreadyExists, match=r"weights\.bin"):
            workspace.models.download(model, out)
        assert (out / "weights.bin").read_text() == "mine"
        assert [path.name for path in out.iterdir()] == ["weights.bin"]
        workspace.models.download(model, out, exist_ok=True)
        assert (out / "weights.bin").read_bytes() == b"weights"


class TestKinds:
    @pytest.mark.parametrize(
        ("name", "kind", "framework"),
        [
            ("a.onnx", "onnx", "Onnx"),
            ("a.skops", "sklearn", "ScikitLearn"),
            ("a.pt", "files", "PyTorch"),
            ("a.pkl", "files", "Custom"),
        ],
    )
    def test_the_framework_is_guessed(
        self, workspace: Workspace, tmp_path: Path, name: str, kind: str, framework: str
    ) -> None:
        path = tmp_path / name
        path.write_bytes(b"x")
        model = workspace.models.register(path, "m")
        assert (model.kind, model.framework) == (kind, framework)

    def test_a_framework_that_is_given_counts(self, workspace: Workspace, file: Path) -> None:
        model = workspace.models.register(
            file, "m", framework="scikitlearn", framework_version="1.5"
        )
        assert (model.framework, model.framework_version) == ("ScikitLearn", "1.5")
        with pytest.raises(errors.UnparsableValue, match="Did you mean 'ScikitLearn'"):
            workspace.models.register(file, "m", framework="ScikitLern")

    def test_a_folder_with_an_onnx_file_is_of_onnx(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        (tmp_path / "net").mkdir()
        save_network(tmp_path / "net" / "net.onnx")
        assert workspace.models.register(tmp_path / "net", "m").framework == "Onnx"

    def test_model_json_of_others_is_a_file(self, workspace: Workspace, tmp_path: Path) -> None:
        folder = tmp_path / "tfjs"
        folder.mkdir()
        (folder / "model.json").write_text(json.dumps({"format": "layers-model"}))
        assert workspace.models.register(folder, "m").kind == "files"


class TestRefusals:
    def test_a_damaged_image_model(self, workspace: Workspace, image_model: Path) -> None:
        with (image_model / "model.onnx").open("ab") as damaged:
            damaged.write(b"more")
        with pytest.raises(errors.CorruptModel):
            workspace.models.register(image_model, "m")
        assert workspace.models.list() == []

    def test_an_empty_folder(self, workspace: Workspace, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(errors.EmptyInput):
            workspace.models.register(tmp_path / "empty", "m")

    def test_nothing_there(self, workspace: Workspace, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("nowhere")
        for name in ("missing", "link"):
            with pytest.raises(errors.UnreadableFile):
                workspace.models.register(tmp_path / name, "m")

    @pytest.mark.parametrize("name", ["", "a b", "ä", "a/b", "..", "a:1", "x" * 256])
    def test_wrong_names(self, workspace: Workspace, file: Path, name: str) -> None:
        with pytest.raises(errors.UnparsableValue, match="1 to 255 letters"):
            workspace.models.register(file, name)

    def test_the_longest_name_is_taken(self, workspace: Workspace, file: Path) -> None:
        assert workspace.models.register(file, "x" * 255).version == 1

    @pytest.mark.parametrize("reference", ["m:0", "m:x", "m:", "m:1:2", "m:99999999999"])
    def test_wrong_versions(self, workspace: Workspace, file: Path, reference: str) -> None:
        workspace.models.register(file, "m")
        with pytest.raises(errors.UnparsableValue, match="version"):
            workspace.models.find(reference)

    def test_an_unknown_name_suggests_the_nearest(self, workspace: Workspace, file: Path) -> None:
        workspace.models.register(file, "flowers")
        with pytest.raises(errors.NotFound, match="Did you mean 'flowers'"):
            workspace.models.find("flower")
        with pytest.raises(errors.NotFound, match="versions 1"):
            workspace.models.find("flowers:7")


class TestList:
    def test_filters_are_joined(self, workspace: Workspace, file: Path) -> None:
        models = workspace.models
        models.register(file, "a", tags={"area": "mnist"}, run_id="r1")
        models.register(file, "a", tags={"area": "cars"}, properties={"p": "1"})
        models.register(file, "b", tags={"area": "cars"}, framework="Onnx")

        def ids(**wanted: object) -> list[str]:
            return [model.id for model in models.list(**wanted)]  # pyright: ignore[reportArgumentType]

        assert ids() == ["a:2", "a:1", "b:1"]
        assert ids(name="a") == ["a:2", "a:1"]
        assert ids(latest=True) == ["a:2", "b:1"]
        assert ids(tags=["area"]) == ["a:2", "a:1", "b:1"]
        assert ids(tags=[["area", "cars"]]) == ["a:2", "b:1"]
        assert ids(tags={"area": "mnist"}) == ["a:1"]
        assert ids(tags=[["area", "mnist"]], latest=True) == []
        assert ids(properties=["p"]) == ["a:2"]
        assert ids(run_id="r1") == ["a:1"]
        assert ids(framework="onnx", tags=[("area", "cars")]) == ["b:1"]


class TestUpdate:
    def test_tags_change_and_properties_stay(self, workspace: Workspace, file: Path) -> None:
        models = workspace.models
        tags = {"a": "1", "b": "1", "c": "1"}
        model = models.register(file, "m", tags=tags, properties={"p": "1"})
        changed = models.update(
            model,
            add_tags={"b": "2"},  # what is removed as well
            remove_tags=iter(["c", "b", "a"]),
            properties={"q": "2"},
            description="d",
        )
        assert changed == models.get("m")
        assert (changed.tags, changed.properties) == ({"b": "2"}, {"p": "1", "q": "2"})
        assert changed.description == "d"
        left = models.update(changed, tags={"x": "1", "y": "2", "z": "3"}, remove_tags=iter("zyx"))
        assert left.tags == {}
        assert changed.updated_at > model.updated_at
        with pytest.raises(errors.NotSupported, match="property 'p' of model 'm:1'"):
            models.update(model, properties={"p": "2"})

    def test_a_deleted_model_cannot_be_changed(self, workspace: Workspace, file: Path) -> None:
        model = workspace.models.register(file, "m")
        workspace.models.delete(model)
        with pytest.raises(errors.NotFound):
            workspace.models.update(model, description="d")
        with pytest.raises(errors.NotFound):
            workspace.models.delete(model)


def test_a_model_in_use_is_not_deleted(workspace: Workspace, file: Path) -> None:
    model = workspace.models.register(file, "m")
    workspace.services.add(service_of("front-desk", models=("m:1",)))
    with pytest.raises(errors.InUse, match="used by front-desk"):
        workspace.models.delete(model)
    workspace.services.delete("front-desk")
    workspace.models.delete(model)
    assert workspace.models.list() == []


def test_no_service_is_added_with_a_model_that_was_just_deleted(
    workspace: Workspace, file: Path
) -> None:
    model = workspace.models.register(file, "m")
    wanted = service_of("front-desk", models=(model.id,))
    workspace.models.delete(model)
    with pytest.raises(errors.NotFound, match="any more"):
        workspace.services.add(wanted)
    assert workspace.services.list() == []
