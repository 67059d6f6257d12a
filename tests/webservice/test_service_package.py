"""Packages: folders that serve models without the workspace, run as their Dockerfile says."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import small_networks
from click.testing import CliRunner
from dockerfiles import Container, wheel

from calotype import __version__
from calotype.cli.main import program
from calotype.scoring.scorer import Scorer
from calotype.webservice import packaging
from calotype.webservice.environment import Environment
from calotype.webservice.exceptions import WebserviceException
from calotype.webservice.inference_config import InferenceConfig
from calotype.webservice.model import Model
from calotype.workspace.workspace import Workspace

START_S = 120.0
SCRIPT = """
import json, os
from helper import double
def init():
    global factor
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "factor.txt")) as file:
        factor = int(file.read())
def run(raw_data):
    return {"result": [double(one) * factor for one in json.loads(raw_data)["data"]],
            "mode": os.environ["MODE"]}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Generator[Workspace]:
    made = Workspace.create("test", tmp_path)
    yield made
    made.close()


@pytest.fixture
def colours(workspace: Workspace, tmp_path: Path) -> Model:
    small_networks.save_model(tmp_path / "model")
    return Model.register(workspace, tmp_path / "model", "My_Colours")


@pytest.fixture
def inference(tmp_path: Path) -> InferenceConfig:
    source = tmp_path / "code"
    source.mkdir()
    (source / "score.py").write_text(SCRIPT)
    (source / "helper.py").write_text("def double(value):\n    return 2 * value\n")
    environment = Environment("numbers")
    environment.environment_variables = {"MODE": "a $b"}
    environment.python.conda_dependencies.add_pip_package("numpy>=1.26")
    environment.python.conda_dependencies.add_pip_package("azureml-defaults")
    environment.python.conda_dependencies.add_pip_package("azureml_core==1.60")
    return InferenceConfig("score.py", source_directory=str(source), environment=environment)


@contextlib.contextmanager
def started(container: Container) -> Generator[int]:
    """Run the start command of a package; give its port."""
    log = container.root / "log"
    with (
        reserved_port() as port,
        log.open("wb") as output,
        subprocess.Popen(
            container.command(port),
            cwd=container.folder,
            env=container.environment,
            executable=str(container.root / "venv/bin/calotype"),
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            deadline_s = time.monotonic() + START_S
            while not is_healthy(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline_s, log.read_text()
                time.sleep(0.02)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()


@contextlib.contextmanager
def reserved_port() -> Generator[int]:
    """Give a port that nobody else is given; who names it can listen there."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def is_healthy(port: int) -> bool:
    try:
        return ask(port, "GET", "/")[0] == 200
    except OSError:
        return False


def ask(
    port: int, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as link:
        link.request(method, path, body, {"Content-Type": kind})
        answer = link.getresponse()
        return answer.status, answer.read()


def test_an_image_model_is_served_as_the_dockerfile_says(
    workspace: Workspace, colours: Model, photos: Path, tmp_path: Path
) -> None:
    said = ["-m", colours.id, "--out", tmp_path / "package"]
    done = CliRunner(catch_exceptions=False).invoke(
        program, ["-o", "json", "model", "package", *map(str, said), "-w", str(tmp_path)]
    )
    document = json.loads(done.stdout)
    assert document["name"] == "my-colours"
    # No index has the wheel of a source tree, and yet the steps below find it.
    assert document["wheels"] == [f"calotype-{__version__}-py3-none-any.whl"]
    assert "was not installed from an index" in done.stderr
    container = Container(tmp_path / "root")
    container.build(tmp_path / "package")
    assert container.said("FROM") == "python:3.11-slim"
    assert container.said("EXPOSE") == "5001"
    order = [name for name, _ in container.steps]
    assert order.index("USER") < order.index("CMD")
    assert container.said("USER") == "calotype"
    with started(container) as port:
        image = (photos / "cats/1.jpg").read_bytes()
        status, body = ask(port, "POST", "/score", image, "image/jpeg")
        assert subprocess.run(
            container.health(port), env=container.environment, check=False
        ).returncode == 0  # fmt: skip
    assert status == 200
    scores = Scorer(tmp_path / "model").predict(image)
    assert json.loads(body)["Scored Labels"] == scores.labels[0]
    assert subprocess.run(
        container.health(port), env=container.environment, check=False, stderr=subprocess.DEVNULL
    ).returncode == 1  # fmt: skip


def test_a_wheel_of_calotype_that_is_given_goes_before_its_own(
    workspace: Workspace, colours: Model, tmp_path: Path
) -> None:
    given = tmp_path / "calotype-9.9-py3-none-any.whl"
    given.write_bytes(b"a wheel")
    said = ["-m", colours.id, "--out", str(tmp_path / "package"), "--wheel", str(given)]
    done = CliRunner(catch_exceptions=False).invoke(
        program, ["-o", "json", "model", "package", *said, "-w", str(tmp_path)]
    )
    assert json.loads(done.stdout)["wheels"] == [given.name]


def test_a_script_is_served_with_its_models_variables_and_neighbours(
    workspace: Workspace, inference: InferenceConfig, tmp_path: Path
) -> None:
    (tmp_path / "factor.txt").write_text("3")
    factor = Model.register(workspace, tmp_path / "factor.txt", "factor")
    package = Model.package(workspace, [factor], inference, generate_dockerfile=True)
    package.wait_for_creation(show_output=True)
    package.save(tmp_path / "package")
    wheel(tmp_path / "package/wheels")
    text = (tmp_path / "package/requirements.txt").read_text()
    assert text == f"calotype[scripts]=={__version__}\nnumpy>=1.26\n"
    names = [path for path in (tmp_path / "package").rglob("*") if path.suffix != ".whl"]
    written = b"".join(path.read_bytes() for path in names if path.is_file())
    assert b"a $b" not in written
    assert package.serialize()["environmentVariables"] == {"MODE": "********"}
    assert "may be secrets: MODE." in str(package.get_logs())
    assert b"docker run -p 5001:5001 -e MODE factor" in written
    container = Container(tmp_path / "root")
    container.build(tmp_path / "package")
    assert container.said("#").startswith("Not in the image, as they may be secrets: MODE.")
    container.variables["MODE"] = "a $b"  # docker run -e
    with started(container) as port:
        status, body = ask(port, "POST", "/score", b'{"data": [1, 5]}')
    assert (status, json.loads(body)) == (200, {"result": [6, 30], "mode": "a $b"})


def test_several_models_lie_below_one_folder(
    workspace: Workspace, colours: Model, inference: InferenceConfig, tmp_path: Path
) -> None:
    package = Model.package(workspace, [colours], inference)
    assert "azureml-models/My_Colours/1" in package.serialize()["command"]
    (tmp_path / "factor.txt").write_text("3")
    factor = Model.register(workspace, tmp_path / "factor.txt", "factor")
    package = Model.package(workspace, [colours, factor], inference, image_name="both")
    command: list[str] = package.serialize()["command"]
    assert command[command.index("--model-dir") + 1] == "azureml-models"
    assert (package.path / "azureml-models/factor/1/factor.txt").read_text() == "3"
    assert (package.path / "azureml-models/My_Colours/1/model.json").is_file()
    assert package.location == "both:latest"


def test_onnx_and_scikit_learn_models_need_no_script(workspace: Workspace, tmp_path: Path) -> None:
    small_networks.save_network(tmp_path / "net.onnx")
    (tmp_path / "ridge.skops").write_bytes(b"not loaded here")
    for name, needs in (("net.onnx", "calotype=="), ("ridge.skops", "calotype[sklearn]==")):
        model = Model.register(workspace, tmp_path / name, name)
        package = Model.package(workspace, [model])
        command: list[str] = package.serialize()["command"]
        assert command[command.index("--model") + 1] == f"azureml-models/{name}/1/{name}"
        assert (package.path / "requirements.txt").read_text().startswith(needs)


def test_an_environment_names_the_image(
    workspace: Workspace, inference: InferenceConfig, tmp_path: Path
) -> None:
    environment: Any = inference.environment
    environment.docker.base_image = "debian:12"
    made = Model.package(workspace, [], inference)
    assert (made.path / "Dockerfile").read_text().startswith("FROM debian:12\n")
    environment.docker.base_image = None
    environment.docker.base_dockerfile = "FROM debian:13\nRUN apt-get update"
    made = Model.package(workspace, [], inference)
    assert (made.path / "Dockerfile").read_text().startswith("FROM debian:13\nRUN apt-get update\n")


def test_what_cannot_be_a_package_is_refused(
    workspace: Workspace, colours: Model, tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x")
    weights = Model.register(workspace, tmp_path / "weights.bin", "weights")
    with pytest.raises(WebserviceException, match="which can be served without code"):
        Model.package(workspace, [weights])
    package = Model.package(workspace, [colours])
    with pytest.raises(WebserviceException, match="expected a new folder, or an empty one"):
        package.save(tmp_path)
    with pytest.raises(WebserviceException, match="`docker build` makes the image"):
        package.pull()
    with pytest.raises(WebserviceException):
        package.get_container_registry()
    assert str(package.get_logs()).startswith("models: My_Colours:1\n")
    assert package.get_logs(decode=False, offset=8) == str(package.get_logs())[8:].encode()


@pytest.mark.parametrize(
    ("model", "service"),
    [
        ("My_Model.v2", "my-model-v2"),
        ("7up", "service-up"),
        ("x" * 50, "x" * 32),
        ("a", "service-a"),
    ],
)
def test_names_of_models_become_names_of_services(model: str, service: str) -> None:
    assert packaging.service_name(model) == service
