"""Every row of the table of what has no meaning here is true: a use gives what it promises."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

import calotype.webservice
from calotype.azureml.core import (
    AksCompute,
    ComputeTarget,
    ContainerRegistry,
    Dataset,
    Environment,
    Model,
    Webservice,
    Workspace,
)
from calotype.azureml.core.authentication import TokenAuthentication
from calotype.azureml.core.compute.aks import (
    AksProvisioningConfiguration,
    AksUpdateConfiguration,
    SslConfiguration,
)
from calotype.azureml.core.conda_dependencies import CondaDependencies
from calotype.azureml.core.model import InferenceConfig, ModelPackage
from calotype.azureml.core.webservice import (
    AciWebservice,
    AksEndpoint,
    AksWebservice,
    LocalWebservice,
)
from calotype.webservice import absent
from calotype.webservice.deployment_parameters import PARAMETERS
from calotype.webservice.exceptions import WebserviceException
from calotype.webservice.unsupported import UNSUPPORTED, NoMeaningHere
from calotype.webservice.unsupported_members import WORKSPACE_ARGUMENTS


@dataclass(frozen=True)
class Place:
    """A workspace with a model, and a folder with a script and lists of packages."""

    ws: Workspace
    folder: Path

    @property
    def dataset(self) -> Dataset:
        return Dataset.File.from_files(self.folder)

    @property
    def environment(self) -> Environment:
        made = Environment("mine")
        made.python.interpreter_path = "/usr/bin/python3"  # nothing is to be installed
        return made

    def file(self, name: str) -> str:
        return str(self.folder / name)


Way = Callable[[Place], object]


class _Call(Protocol):
    def __call__(self, place: Place, /, **given: Any) -> object: ...


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("unsupported")
    for name, text in {
        "score.py": "def init(): pass\ndef run(data): return 1\n",
        "requirements.txt": "numpy\n",
        "conda.yml": "dependencies: [numpy]\n",
        "weights.bin": "weights",
    }.items():
        (folder / name).write_text(text)
    ws = Workspace.create("tests", folder / "place")
    Model.register(ws, folder / "weights.bin", "net")
    yield Place(ws, folder)
    ws.close()


def _tls(place: Place) -> dict[str, Any]:
    file = place.file("score.py")  # that there is one is all that is looked at
    return {"ssl_cname": "x.example", "ssl_cert_pem_file": file, "ssl_key_pem_file": file}


def _local(place: Place) -> LocalWebservice:
    return LocalWebservice(place.ws, "nobody", must_exist=False)


def _imported_and_used(module: str, name: str, _: Place) -> object:
    return getattr(importlib.import_module(f"calotype.{module}"), name)("x")


def _old(place: Place) -> dict[str, Any]:
    return {"workspace": place.ws, "name": "nobody"}


# Every parameter of these that has a row is tried.
FUNCTIONS: dict[Callable[..., Any], _Call] = {
    AciWebservice.deploy_configuration: lambda _, **x: AciWebservice.deploy_configuration(**x),
    AksWebservice.deploy_configuration: lambda _, **x: AksWebservice.deploy_configuration(**x),
    AksEndpoint.deploy_configuration: lambda _, **x: AksEndpoint.deploy_configuration(**x),
    AksCompute.provisioning_configuration: lambda _, **x: AksCompute.provisioning_configuration(
        **x
    ),
    AksCompute.attach_configuration: lambda _, **x: AksCompute.attach_configuration(**x),
    AksProvisioningConfiguration.enable_ssl: lambda at, **x: (
        AksProvisioningConfiguration().enable_ssl(**_tls(at), **x)
    ),
    InferenceConfig: lambda at, **x: InferenceConfig(at.file("score.py"), **x),
    Environment.from_pip_requirements: lambda at, **x: Environment.from_pip_requirements(
        "a", at.file("requirements.txt"), **x
    ),
    Environment.from_docker_image: lambda _, **x: Environment.from_docker_image("a", "b", **x),
    Environment.build: lambda at, **x: at.environment.build(at.ws, **x),
    Environment.build_local: lambda at, **x: at.environment.build_local(at.ws, **x),
    CondaDependencies.create: lambda _, **x: CondaDependencies.create(**x),
    Webservice.list: lambda at, **x: Webservice.list(at.ws, **x),
    Webservice.check_for_existing_webservice: lambda at, **x: (
        Webservice.check_for_existing_webservice(at.ws, "nobody", **x)
    ),
    Webservice.deploy: lambda at, **x: Webservice.deploy(**_old(at), model_paths=[], **x),
    Webservice.deploy_from_model: lambda at, **x: Webservice.deploy_from_model(
        **_old(at), models=[], **x
    ),
    Webservice.deploy_local_from_model: lambda at, **x: Webservice.deploy_local_from_model(
        **_old(at), models=[], **x
    ),
    LocalWebservice.update: lambda at, **x: _local(at).update(**x),
    LocalWebservice.delete: lambda at, **x: _local(at).delete(**x),
    LocalWebservice.get_logs: lambda at, **x: _local(at).get_logs(**x),
    AciWebservice.update: lambda at, **x: AciWebservice.__new__(AciWebservice, at.ws, "a").update(
        **x
    ),
    AksWebservice.update: lambda at, **x: AksWebservice.__new__(AksWebservice, at.ws, "a").update(
        **x
    ),
    Model: lambda at, **x: Model(at.ws, "net", **x),
    Model.list: lambda at, **x: Model.list(at.ws, **x),
    Dataset.File.from_files: lambda at, **x: Dataset.File.from_files(at.folder, **x),
    Workspace.list: lambda _, **x: Workspace.list(**x)["tests"][0],
    Workspace: lambda _, **x: Workspace(workspace_name="tests", **x),
    Workspace.from_config: lambda at, **x: Workspace.from_config(at.ws.location, **x),
    Workspace.get: lambda at, **x: Workspace.get("tests", at.ws.location, **x),
    Workspace.create: lambda at, **x: Workspace.create(
        "tests", at.folder / "place", exist_ok=True, **x
    ),
}
# What a parameter gets that is no flag and takes no text.
VALUES: dict[str, object] = {"blobfuse_enabled": True, "page_count": 1}
# What has to come with a parameter.
TOGETHER = [{"vnet_name", "subnet_name"}, {"cmk_vault_base_url", "cmk_key_name", "cmk_key_version"}]
MEANT = {  # of these names, and other things
    (Workspace.get, "location"),
    (Workspace.create, "location"),
    (Environment.from_docker_image, "image"),
}

OTHERS: dict[str, Way] = {
    "auth": lambda _: TokenAuthentication(),
    "Run(…)": functools.partial(_imported_and_used, "azureml.core", "Run"),
    "deploy_from_image": lambda _: Webservice.deploy_from_image("x"),
    "container_registry": lambda _: ContainerRegistry(),
    "get_container_registry": lambda at: _package(at).get_container_registry(),
    "pull": lambda at: _package(at).pull(),
    "docker.enabled": lambda _: setattr(Environment("a").docker, "enabled", True),
    "AzureML-…": lambda at: Environment.get(at.ws, "AzureML-Minimal"),
    "spark-py": lambda at: InferenceConfig(at.file("score.py"), runtime="spark-py"),
    "conda": lambda at: Environment.from_conda_specification("a", at.file("conda.yml")),
    "get_image_details": lambda at: Environment("a").get_image_details(at.ws),
    "get_sas_urls": lambda at: Model(at.ws, "net").get_sas_urls(),
    "get_credentials": lambda at: ComputeTarget(at.ws, "a").get_credentials(),
    "renew": lambda at: ComputeTarget(at.ws, "a").update(
        AksUpdateConfiguration(SslConfiguration("Enabled", renew=True))
    ),
    "datastore": lambda at: Dataset.File.from_files([(at.ws, "a/path")]),  # pyright: ignore[reportArgumentType]
    "Dataset.Tabular": lambda _: Dataset.Tabular.from_delimited_files("x.csv"),
    "mount_point": lambda at: at.dataset.mount("/mnt").__enter__(),
    "upload_directory": lambda _: cast(Any, Dataset.File).upload_directory("a"),
    "partition_keys": lambda at: cast(Any, at.dataset).partition_keys,
    "ignore_not_found": lambda at: Dataset.File.from_files(at.file("score.py")).download(
        at.folder / "target", ignore_not_found=True
    ),
    "Workspace.tags": lambda at: at.ws.tags,
    "useDocker": lambda at: at.environment.build_local(at.ws, useDocker=True),
    "pushImageToWorkspaceAcr": lambda at: at.environment.build_local(
        at.ws, pushImageToWorkspaceAcr=True
    ),
}


def _package(place: Place) -> ModelPackage:
    return ModelPackage(place.ws, "a", cast(Any, None))


def _parameters() -> Iterator[tuple[str, str, Way]]:
    for function, call in FUNCTIONS.items():
        for name, parameter in inspect.signature(function).parameters.items():
            if name in UNSUPPORTED and (function, name) not in MEANT:
                default = parameter.default
                value = not default if isinstance(default, bool) else VALUES.get(name, "x")
                group = next((group for group in TOGETHER if name in group), {name})
                use = functools.partial(call, **dict.fromkeys(group, value))
                yield name, function.__qualname__, use


def _names() -> Iterator[tuple[str, str, Way]]:
    for name in UNSUPPORTED:
        if name.startswith("azureml."):
            yield name, "package", functools.partial(_imported_and_used, name, "Some")
        of, dot, member = name.partition(".")
        if dot and of in ("Workspace", "Environment", "AksCompute", "Dataset"):
            yield name, "member", functools.partial(_member, of, member)
    for module, names in absent._NAMES.items():  # pyright: ignore[reportPrivateUsage] - all of it
        for name in sorted(names & UNSUPPORTED.keys()):
            yield name, module, functools.partial(_imported_and_used, module, name)
    for name in WORKSPACE_ARGUMENTS.split():
        for function in (Workspace, Workspace.get, Workspace.create):
            yield (
                name,
                function.__qualname__,
                functools.partial(FUNCTIONS[function], **{name: "x"}),
            )


def _member(of: str, member: str, place: Place) -> object:
    objects: dict[str, Callable[[], object]] = {
        "Workspace": lambda: place.ws,
        "Environment": lambda: place.environment,
        "AksCompute": lambda: ComputeTarget(place.ws, "a"),
        "Dataset": lambda: place.dataset,
    }
    found = getattr(objects[of](), member)
    return found("x") if callable(found) else found


def _ways() -> list[tuple[str, str, Way]]:
    explicit = [(name, "itself", use) for name, use in OTHERS.items()]
    derived = [one for one in _names() if one[0] not in OTHERS or one[1] != "member"]
    return [*explicit, *_parameters(), *derived]


WAYS = _ways()


def test_every_row_is_tried() -> None:
    assert {name for name, *_ in WAYS} == UNSUPPORTED.keys()
    assert not {one.name for one in PARAMETERS if one.runtime or one.access} & UNSUPPORTED.keys()


@pytest.mark.parametrize(
    ("name", "use"), [pytest.param(name, use, id=f"{name}-{by}") for name, by, use in WAYS]
)
def test_a_use_gives_what_the_row_promises(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, use: Way
) -> None:
    monkeypatch.setenv("CALOTYPE_WORKSPACE", place.ws.location)
    row = UNSUPPORTED[name]
    if row.answer == "error":
        with pytest.raises(WebserviceException) as raised:
            use(place)
        assert raised.value.number == 2006
        assert row.why[1:].rstrip(".") in raised.value.message
        assert row.instead in raised.value.message
        return
    with pytest.warns(NoMeaningHere) as warned:
        _used(use, place)
    told = [str(one.message) for one in warned]
    assert any(f"'{name}'" in one and row.why in one and row.instead in one for one in told), told
    assert {one.filename for one in warned} == {__file__}  # the line that a reader has to change


def _used(use: Way, place: Place) -> None:
    with contextlib.suppress(WebserviceException):  # there is no such service
        made = use(place)
        if isinstance(made, Workspace):
            made.close()


def test_what_is_said_to_have_no_meaning_has_a_row() -> None:
    said: set[str] = set()
    for path in Path(calotype.webservice.__path__[0]).glob("*.py"):
        for names in re.findall(
            r"^ +((?:\w+,\s+)*\w+): (?:older way; )?ha(?:s|ve) no meaning here",
            path.read_text("utf-8"),
            re.MULTILINE,
        ):
            said |= set(re.split(r",\s+", names))
    assert len(said) > 30
    of_classes = {"tags": "Workspace.tags", "enabled": "docker.enabled"}
    keywords = {"retired"}  # its names are tried one by one
    assert {of_classes.get(name, name) for name in said - keywords} <= UNSUPPORTED.keys()


def test_arguments_that_never_were_are_mistyped(tmp_path: Path) -> None:
    for use in (
        lambda: Workspace.create("typo", tmp_path, databse="postgresql://h/d"),
        lambda: Workspace.get("typo", tmp_path, locaton="x"),
        lambda: Workspace.from_config(tmp_path, pth="x"),  # pyright: ignore[reportCallIssue, reportUnknownLambdaType]
        lambda: Workspace(workspace_nam="x"),
        lambda: Environment("a", pacakges="x"),
    ):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            use()
    assert list(tmp_path.iterdir()) == []
