"""Models, datasets and the workspace under the names of the retired SDK."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from calotype import errors
from calotype.azureml.core import Dataset, Environment, Model, ResourceConfiguration, Workspace
from calotype.azureml.exceptions import (
    ModelNotFoundException,
    UserErrorException,
    WebserviceException,
)
from calotype.webservice.unsupported import NoMeaningHere


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace.create("tests", tmp_path / "place")
    yield made
    made.close()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    return path


def test_versions_and_filters(ws: Workspace, weights: Path) -> None:
    for number in (1, 2, 3):
        Model.register(
            ws,
            weights,
            "net",
            tags={"round": str(number)},
            properties={"by": "me"},
            description="d",
        )
    Model.register(ws, weights, "other", model_framework=Model.Framework.ONNX)
    assert [one.id for one in Model.list(ws, "net")] == ["net:3", "net:2", "net:1"]
    assert [one.id for one in Model.list(ws, latest=True)] == ["net:3", "other:1"]
    assert [one.id for one in Model.list(ws, tags=[["round", "2"]])] == ["net:2"]
    assert [one.id for one in Model.list(ws, model_framework="Onnx")] == ["other:1"]
    assert Model.list(ws, tags={"round": "4"}) == []
    for wanted in ({"round": "2"}, [["round", 2]], ["round", ("round", "2")]):
        assert [one.id for one in Model.list(ws, tags=wanted)] == ["net:2"]  # pyright: ignore[reportArgumentType]
    for shape in ([["round", "2", "x"]], [3], 3, [[]]):
        with pytest.raises(WebserviceException, match="a key, or a key with its value"):
            Model.list(ws, tags=shape)  # pyright: ignore[reportArgumentType]
    assert Model(ws, "net").version == 3
    assert Model(ws, "net", tags=[["round", "1"]]).version == 1
    assert Model(ws, "net", version=2).id == Model(ws, id="net:2").id == "net:2"
    assert sorted(ws.models) == ["net", "other"]
    assert ws.models["net"].version == 3
    for absent in ({"name": "nett"}, {"name": "net", "version": 9}, {"id": "net:9"}):
        with pytest.raises(ModelNotFoundException):
            Model(ws, **absent)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ModelNotFoundException, match="has all"):
        Model(ws, "net", tags=["none"])
    with pytest.raises(WebserviceException, match="name or an id"):
        Model(ws)


def test_what_is_said_about_a_model(ws: Workspace, weights: Path) -> None:
    model = Model.register(
        ws, weights, "net", resource_configuration=ResourceConfiguration(cpu=2, memory_in_gb=1.5)
    )
    model.add_tags({"a": "1", "b": "2"})
    model.remove_tags(["a"])
    model.add_properties({"p": "1"})
    model.update(description="new")
    with pytest.raises(
        WebserviceException,
        match="property 'p' of model 'net:1': expected properties to be added only",
    ):
        model.add_properties({"p": "2"})
    read = Model.deserialize(ws, model.serialize())
    assert (read.tags, read.properties, read.description) == ({"b": "2"}, {"p": "1"}, "new")
    model.update(tags={"only": "one"})
    model.update_tags_properties(add_tags={"c": "3"}, remove_tags=["only"])
    assert model.tags == {"c": "3"}
    assert read.resource_configuration == ResourceConfiguration(2, 1.5)
    assert read.created_time == model.created_time
    with pytest.raises(WebserviceException, match="get_sas_urls") as raised:
        model.get_sas_urls()
    assert raised.value.number == 2006
    model.delete()
    with pytest.raises(ModelNotFoundException):
        Model(ws, "net")


@pytest.mark.parametrize("version", ["abc", "1.0", -1, True, "٣"])
def test_versions_that_are_none(ws: Workspace, weights: Path, version: Any) -> None:
    Model.register(ws, weights, "net")
    environment = Environment("mine")
    environment.register(ws)
    environment.version = "abc"
    for use in (
        lambda: Model(ws, "net", version=version),
        lambda: Model.get_model_path("net", version, _workspace=ws),
        lambda: Environment.get(ws, "mine", version=version),
        lambda: Environment.label(ws, "mine", version, ["good"]),
        lambda: environment.register(ws),
    ):
        with pytest.raises(WebserviceException, match="a number, 1 or more"):
            use()
    with pytest.raises(UserErrorException, match="a number, 1 or more"):
        Dataset.get_by_name(ws, "net", version=version)


def test_what_no_model_can_be_registered_with(ws: Workspace, weights: Path) -> None:
    unregistered = Dataset.File.from_files(weights)
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"tags": ["x"]}, "names with their values"),
        ({"properties": "x"}, "names with their values"),
        ({"datasets": [("training", unregistered)]}, "a registered dataset"),
        ({"datasets": [unregistered]}, "pairs of a purpose"),
        ({"sample_input_dataset": "x"}, "a registered dataset"),
    )
    for named, told in wrong:
        with pytest.raises(WebserviceException, match=told):
            Model.register(ws, weights, "net", **named)
    assert list(ws.models) == []
    model = Model.register(ws, weights, "net")
    for use in (
        lambda: model.add_tags(["x"]),  # pyright: ignore[reportArgumentType]
        lambda: model.update(sample_output_dataset=unregistered),
        lambda: model.add_dataset_references([("training", unregistered)]),
    ):
        with pytest.raises(WebserviceException):
            use()
    model.add_tags({"a": "1", "b": "2"})
    model.update_tags_properties(add_tags={"c": "3"}, remove_tags=iter(["c"]))
    model.update_tags_properties(remove_tags="a")
    assert (model.tags, model.datasets) == ({"b": "2", "c": "3"}, {})
    environment = Environment("mine")
    environment.tags = ["x"]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(WebserviceException, match="names with their values"):
        environment.register(ws)


def test_files_of_a_model(ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "trained"
    for name in ("a/one.txt", "b/two.txt", "three.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    model = Model.register(ws, folder, "parts", child_paths=["a", "three.txt"])
    path = Path(model.download(tmp_path / "out"))
    assert sorted(one.name for one in path.rglob("*.txt")) == ["one.txt", "three.txt"]
    with pytest.raises(WebserviceException, match="exist_ok=True"):
        model.download(tmp_path / "out")
    model.download(tmp_path / "out", exist_ok=True)
    assert Path(Model.get_model_path("parts", _workspace=ws), "three.txt").is_file()
    with pytest.raises(WebserviceException, match="child_paths"):
        Model.register(ws, folder, "parts", child_paths=["../elsewhere"])
    for child in ("parts/1/trained/x", "parts/2/trained/y"):
        (tmp_path / "mounted" / child).parent.mkdir(parents=True)
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path / "mounted"))
    assert Model.get_model_path("parts").endswith("parts/2/trained")
    assert Model.get_model_path("parts", 1).endswith("parts/1/trained")
    with pytest.raises(ModelNotFoundException):
        Model.get_model_path("parts", 3)


def test_datasets_as_scripts_know_them(
    ws: Workspace, tmp_path: Path, picture: Callable[..., Path], weights: Path
) -> None:
    for name in ("cat/a.jpg", "dog/b.jpg"):
        picture(tmp_path / "photos" / name)
    made = Dataset.File.from_files(path=str(tmp_path / "photos"))
    assert made.name is None
    with pytest.raises(UserErrorException, match="register"):
        made.add_tags({"a": "1"})
    first = made.register(ws, "photos", description="d", tags={"a": "1"})
    assert made.version == first.version == 1
    picture(tmp_path / "photos/cat/c.jpg")
    second = Dataset.File.from_files([tmp_path / "photos"]).register(
        ws, "photos", create_new_version=True
    )
    read = Dataset.get_by_name(ws, "photos")
    assert (read.version, second.id) == (2, "photos:2")
    assert Dataset.get_by_name(ws, name="photos", version=1).description == "d"
    assert list(ws.datasets) == list(Dataset.get_all(ws)) == ["photos"]
    assert read.to_path() == ["/cat/a.jpg", "/cat/c.jpg", "/dog/b.jpg"]
    with read.mount() as mounted:
        assert Path(mounted.mount_point, "dog/b.jpg").is_file()
    assert len(read.download(tmp_path / "copy")) == 3
    model = Model.register(
        ws, weights, "net", datasets=[("training", read)], sample_input_dataset=read
    )
    assert model.datasets["training"][0].id == "photos:2"
    assert Model.list(ws, dataset_id="photos:2")[0].id == "net:1"
    assert model.sample_input_dataset is not None
    assert model.sample_input_dataset.name == "photos"


def test_datasets_that_are_none(ws: Workspace) -> None:
    with pytest.raises(UserErrorException, match="'none'"):
        Dataset.get_by_name(ws, "none")
    with pytest.raises(UserErrorException, match="nothing there"):
        Dataset.File.from_files("/no/such/place")
    with pytest.raises(WebserviceException, match="datastore"):
        Dataset.File.from_files([(ws, "a/path")])  # pyright: ignore[reportArgumentType]
    with pytest.raises(WebserviceException, match=r"Dataset\.Tabular"):
        Dataset.Tabular.from_delimited_files("x.csv")


def test_a_workspace_as_scripts_know_it(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.delenv("CALOTYPE_WORKSPACE", raising=False)
    (tmp_path / "place/config.json").write_text('{"subscription_id": "x"}')
    assert Workspace.from_config().name == "tests"
    assert Workspace.from_config("config.json").name == "tests"
    with pytest.warns(NoMeaningHere, match="'subscription_id', 'resource_group' change nothing"):
        found = Workspace.get("tests", subscription_id="x", resource_group="y")
    assert (found.webservices, found.subscription_id) == ({}, "")
    assert found.get_details()["name"] == "tests"
    assert found.compute_targets.popitem()[1].get_status() == "Succeeded"
    with pytest.raises(errors.NotFound):
        Workspace.get("another")
    with pytest.warns(NoMeaningHere):
        made = Workspace.create(
            "again", location="westeurope", subscription_id="x", resource_group="y", exist_ok=True
        )
    assert made.name == "tests"
    for opened in (found, made):
        opened.close()


def test_what_is_there_no_more_says_so(ws: Workspace) -> None:
    cluster = ws.compute_targets.popitem()[1]
    with pytest.raises(WebserviceException, match="Kubernetes"):
        cluster.get_credentials()
    with pytest.raises(WebserviceException, match="leaf_domain_label"):
        cluster.enable_ssl(leaf_domain_label="mine")
    with pytest.raises(WebserviceException, match="ssl_cname must be given"):
        cluster.enable_ssl(ssl_cert_pem_file=__file__, ssl_key_pem_file=__file__)
    with pytest.warns(NoMeaningHere, match="vm_size"):
        type(cluster).provisioning_configuration(vm_size="large")


def test_the_constructor_of_a_workspace_is_the_old_one(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.delenv("CALOTYPE_WORKSPACE", raising=False)
    for made in (
        lambda: Workspace("id", "group", "tests"),
        lambda: Workspace(subscription_id="id", resource_group="group", workspace_name="tests"),
    ):
        with pytest.warns(NoMeaningHere, match="'subscription_id', 'resource_group' change"):
            found = made()
        assert repr(found) == f"Workspace(name='tests', location='{ws.location}')"
        found.close()
    with (
        pytest.warns(NoMeaningHere),
        pytest.raises(UserErrorException, match="expected the workspace 'other'"),
    ):
        Workspace("id", "group", "other")
    with pytest.raises(UserErrorException, match="workspace_name"):
        Workspace()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALOTYPE_WORKSPACE", str(tmp_path / "nowhere"))
    with pytest.raises(UserErrorException, match="calotype workspace create"):
        Workspace(workspace_name="tests")


def test_an_old_config_names_its_workspace(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: str, name: str) -> Path:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        said = {"subscription_id": "x", "resource_group": "y", "workspace_name": name}
        (tmp_path / path).write_text(json.dumps(said))
        return tmp_path / path

    right = write("place/config.json", "tests")
    monkeypatch.setenv("CALOTYPE_WORKSPACE", str(tmp_path / "place"))
    for path, more in (
        (right, {}),
        (tmp_path / "place", {}),
        (write("away/config.json", "tests"), {}),
        (write("old/.azureml/config.json", "tests").parents[1], {}),
        (write("away/mine.json", "tests").parent, {"_file_name": "mine.json"}),
        (tmp_path / "place/.calotype/workspace.json", {}),
    ):
        found = Workspace.from_config(path, **more)
        assert found.name == "tests"
        found.close()
    wrong = write("other/config.json", "shop")
    for path in (wrong, wrong.parent):
        with pytest.raises(
            UserErrorException, match=r"config\.json: expected the workspace 'shop'"
        ):
            Workspace.from_config(path=path)
    with pytest.raises(UserErrorException, match=r"nowhere/config\.json, where there is nothing"):
        Workspace.from_config(tmp_path / "nowhere/config.json")
    with pytest.raises(UserErrorException, match=r"aml_config/their\.json"):
        Workspace.from_config(tmp_path / "other", _file_name="their.json")
    wrong.write_text("[]")
    with pytest.raises(UserErrorException, match="no object"):
        Workspace.from_config(wrong)


def test_a_configuration_leads_to_its_workspace_from_elsewhere(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("CALOTYPE_WORKSPACE", str(tmp_path / "nowhere"))
    assert Workspace.list() == {}
    ws.write_config(path="./cfg", file_name="ws.json")
    ws.write_config()
    for path, more in (
        ("./cfg/ws.json", {}),
        ("./cfg", {"_file_name": "ws.json"}),
        (".", {}),
        (None, {}),
        (".azureml/config.json", {}),
    ):
        found = Workspace.from_config(path, **more)
        assert found.location == ws.location
        found.close()
    monkeypatch.setenv("CALOTYPE_WORKSPACE", ws.location)
    (found,) = Workspace.list()["tests"]
    assert found.location == ws.location
    found.close()
    said = json.loads(Path("cfg/ws.json").read_text())
    assert said.pop("workspace_name") == "tests"
    for key in said:  # as of another machine
        said[key] = "/no/such/place"
    Path("cfg/ws.json").write_text(json.dumps({"workspace_name": "tests", **said}))
    found = Workspace.from_config("cfg/ws.json")
    assert found.location == ws.location
    found.close()
    Path("file").touch()
    with pytest.raises(UserErrorException):
        ws.write_config(path="file")


def test_what_is_printed_is_short(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x")
    Model.register(ws, tmp_path / "weights.bin", "printed")
    assert repr(ws.models) == "NamedModels(['printed'])"
    assert repr(ws.environments) == "NamedEnvironments([])"
    for use in (
        lambda: ws.experiments,
        lambda: ws.datastores,
        ws.get_default_keyvault,
        lambda: ws.images,
        lambda: ws.get_run("x"),
        lambda: ws.set_default_datastore("x"),
        lambda: ws.get_mlflow_tracking_uri,
        lambda: Workspace.delete(ws),
    ):
        with pytest.raises(WebserviceException) as raised:
            use()
        assert raised.value.number == 2006


def test_an_error_is_told_once(ws: Workspace) -> None:
    with pytest.raises(WebserviceException) as raised:
        Model(ws, "nothing")
    told = "".join(traceback.format_exception(raised.value))
    assert told.count("expected a registered model") == 1
