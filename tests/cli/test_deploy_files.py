"""`inferenceconfig.json` and `deploymentconfig.json`: all that is wrong is told at once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from calotype import errors
from calotype.cli.main import program
from calotype.webservice.deployment_files import read_deployment, read_inference, request_of
from calotype.webservice.environment_documents import environment_of

AKS: dict[str, Any] = {
    "computeType": "aks",
    "autoScaler": {"autoscaleEnabled": True, "minReplicas": 1, "maxReplicas": 3},
    "containerResourceRequirements": {"cpu": 0.5, "memoryInGB": 1.0, "gpu": None},
    "livenessProbeRequirements": {"initialDelaySeconds": 320, "periodSeconds": 5},
    "maxConcurrentRequestsPerContainer": 2,
    "maxQueueWaitMs": 700,
    "scoringTimeoutMs": 5000,
    "authEnabled": True,
    "appInsightsEnabled": True,
    "keys": {"primaryKey": "the-first-key", "secondaryKey": "the-second-key"},
    "tags": {"team": "garden"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a workspace that nothing is deployed in."""
    folder = tmp_path_factory.mktemp("place")
    done = CliRunner().invoke(program, ["workspace", "create", "tests", "-w", str(folder)])
    assert done.exit_code == 0
    return folder


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def request(document: dict[str, Any], **values: Any) -> Any:
    return request_of(document, values, name="flowers", models=("m:1",), inference=None)


def test_a_deployment_document_becomes_a_request(tmp_path: Path) -> None:
    made = request(read_deployment(write(tmp_path / "dc.json", AKS)))
    assert made.target == "cluster"
    assert made.access.auth == "key"
    assert (made.primary_key, made.secondary_key) == ("the-first-key", "the-second-key")
    assert made.tags == {"team": "garden"}
    runtime = made.runtime
    assert (runtime.cpu_cores, runtime.memory_gb) == (0.5, 1.0)
    assert (runtime.autoscale_min_replicas, runtime.autoscale_max_replicas) == (1, 3)
    assert (runtime.probe_initial_delay_s, runtime.probe_period_s) == (320, 5)
    assert runtime.replica_max_concurrent_requests == 2
    assert (runtime.max_request_wait_ms, runtime.scoring_timeout_ms) == (700, 5000)
    assert runtime.telemetry
    assert runtime.autoscales


def test_options_go_before_the_document() -> None:
    made = request(AKS, scoring_timeout_ms=9, auth="none", tags={"a": "b"})
    assert made.runtime.scoring_timeout_ms == 9
    assert made.access.auth == "none"
    assert made.tags == {"a": "b"}


@pytest.mark.parametrize(
    ("compute", "target"),
    [
        ("local", "local"),
        ("aci", "instance"),
        ("instance", "instance"),
        ("cluster", "cluster"),
        ("batch", "batch"),
    ],
)
def test_each_compute_type_has_its_target(compute: str, target: str) -> None:
    made = request({"computeType": compute})
    assert made.target == target
    assert "auth" not in made.access.model_fields_set  # the target's default
    assert not made.is_endpoint


def test_an_endpoint_has_named_versions() -> None:
    made = request({"computeType": "aksendpoint", "versionName": "blue", "trafficPercentile": 30})
    assert (made.is_endpoint, made.version, made.traffic_percent) == (True, "blue", 30)


def test_all_faults_of_a_deployment_document_are_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path / "dc.json",
        {
            "computeType": "aks",
            "autoScalar": {"minReplicas": 1},
            "containerResourceRequirements": {"cpu": "much", "memoryInGB": -1},
            "maxQueueWaitMS": 3,
        },
    )
    with pytest.raises(errors.UnparsableFile) as raised:
        read_deployment(path)
    told = str(raised.value)
    assert str(path) in told
    assert "containerResourceRequirements.cpu: must be a number greater than 0, not 'much'" in told
    assert "containerResourceRequirements.memoryInGB" in told
    assert "autoScalar.minReplicas: expected a known key." in told
    assert "Did you mean 'maxQueueWaitMs'?" in told


def test_what_contradicts_itself_is_told() -> None:
    with pytest.raises(errors.CalotypeError, match=r"autoScaler\.minReplicas \(5\)"):
        request({**AKS, "autoScaler": {"minReplicas": 5, "maxReplicas": 2}})
    with pytest.raises(errors.CalotypeError, match="both"):
        request({**AKS, "keys": {}, "tokenAuthEnabled": True})


@pytest.mark.parametrize(
    ("document", "options", "told"),
    [
        (
            {"containerResourceRequirements": {"cpu": 2, "cpuLimit": 1}},
            [],
            "containerResourceRequirements.cpuLimit must be at least "
            "containerResourceRequirements.cpu (2), not 1",
        ),
        (
            {"autoScaler": {"autoscaleEnabled": False}},
            [],
            "numReplicas must be given with autoScaler.autoscaleEnabled false",
        ),
        ({"port": 80}, [], "port is not for AKS"),
        (
            {"storageEnabled": 3},
            [],
            "storageEnabled: must be true or false, not 3",
        ),
        (
            {"autoScaler": {"maxReplicas": 500}},
            [],
            "dc.json: autoScaler.maxReplicas: must lie between 1 and 200. Got 500",
        ),
        ({"memory_gb": 1}, [], "Did you mean 'containerResourceRequirements.memoryInGB'?"),
        ({"minReplicas": 1}, [], "Did you mean 'autoScaler.minReplicas'?"),
        (
            {"numReplicas": 2},
            ["--autoscale-enabled"],
            "numReplicas cannot be given with autoscale",
        ),
        (
            {"containerResourceRequirements": {"cpu": 2}},
            ["--cpu-cores-limit", "1"],
            "--cpu-cores-limit must be at least containerResourceRequirements.cpu (2), not 1",
        ),
        ({}, ["--cpu-cores-limit", "1"], "--cpu-cores must be given with --cpu-cores-limit"),
        ({}, ["--autoscale-max-replicas", "500"], "--autoscale-max-replicas: must lie between"),
        (
            {},
            ["--as", "false"],
            "--num-replicas must be given with --autoscale-enabled false",
        ),
    ],
)
def test_faults_are_told_as_the_reader_wrote_them(
    place: Path, tmp_path: Path, document: dict[str, Any], options: list[str], told: str
) -> None:
    file = ["--dc", str(write(tmp_path / "dc.json", document))] if document else []
    command = ["model", "deploy", "-n", "flowers", "--compute", "cluster", "-w", str(place)]
    done = CliRunner().invoke(program, [*command, *file, *options])
    message = str(done.exception).replace(str(tmp_path / "dc.json"), "dc.json")
    assert told in message
    names = set(re.findall(r"\w+_\w+", message))
    assert names <= document.keys(), "the SDK calls it so"


@pytest.mark.parametrize(
    ("said", "options", "told"),
    [
        ({"entryScript": "none.py"}, [], "ic.json: entryScript: expected a file that exists."),
        (
            {"entryScript": "score.py", "sourceDirectory": "none"},
            [],
            "ic.json: sourceDirectory: expected a folder that exists.",
        ),
        ({"entryScript": "a.py"}, ["--es", "b.py"], "--entry-script: expected a file that exists."),
        (
            {"entry_script": "score.py"},
            [],
            "entry_script: expected a known key. Did you mean 'entry",
        ),
        (
            {"entryScript": "score.py", "environment": {"pip_requirements": ["none-such"]}},
            [],
            "or set environment.python.interpreterPath to a Python that has them.",
        ),
        (
            {"entryScript": "score.py", "condaFile": "conda.yml"},
            [],
            "has them: `calotype environment register NAME --python PATH`.",
        ),
    ],
)
def test_faults_of_what_runs_are_told_as_the_reader_wrote_them(
    place: Path, tmp_path: Path, said: dict[str, Any], options: list[str], told: str
) -> None:
    (tmp_path / "score.py").touch()
    (tmp_path / "conda.yml").write_text("dependencies: [{pip: [none-such]}]")
    path = write(tmp_path / "ic.json", said)
    command = ["model", "deploy", "-n", "flowers", "--ic", str(path), "-w", str(place)]
    done = CliRunner().invoke(program, [*command, *options])
    assert told in str(done.exception).replace(str(path), "ic.json")


@pytest.mark.parametrize("content", ["[]", "{", "null"])
def test_what_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dc.json"
    path.write_text(content)
    with pytest.raises(errors.UnparsableFile, match=r"dc\.json"):
        read_deployment(path)
    with pytest.raises(errors.UnreadableFile):
        read_inference(tmp_path / "none.json")


def test_an_inference_file_names_a_script_and_its_folder(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    path = write(
        tmp_path / "ic.json",
        {
            "entryScript": "score.py",
            "sourceDirectory": "source",
            "environment": "garden:2",
            "enableGpu": True,
            "cudaVersion": None,
        },
    )
    said = read_inference(path)
    assert said.entry_script == "score.py"
    assert said.source_directory == tmp_path / "source"
    assert said.environment == "garden:2"
    assert len(said.warnings) == 1
    assert "'enableGpu' has no meaning here" in said.warnings[0]


def test_a_script_without_a_folder_lies_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "score.py").touch()
    said = read_inference(write(tmp_path / "ic.json", {"entryScript": "score.py"}))
    assert said.entry_script == str(tmp_path / "score.py")
    assert said.source_directory is None


def test_all_faults_of_an_inference_file_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "ic.json", {"entryScipt": "x", "sourceDirectory": 3, "environment": []})
    with pytest.raises(errors.UnparsableFile) as raised:
        read_inference(path)
    told = str(raised.value)
    assert "Did you mean 'entryScript'?" in told
    assert "sourceDirectory: expected text" in told
    assert "environment: expected text or an object" in told


ENVIRONMENT: dict[str, Any] = {
    "name": "garden",
    "version": "1",
    "environmentVariables": {"DEPTH": "3"},
    "python": {
        "userManagedDependencies": False,
        "interpreterPath": "python",
        "condaDependencies": {
            "channels": ["conda-forge"],
            "dependencies": ["python=3.11", "numpy=2.1", {"pip": ["requests", "--pre"]}],
            "name": "project_environment",
        },
    },
    "docker": {"baseImage": "debian:12", "baseDockerfile": None, "enabled": False},
}


def test_an_environment_of_the_retired_service_is_read() -> None:
    made = environment_of(ENVIRONMENT, where="ic.json")
    assert made.name == "garden"
    assert (made.python_version, made.interpreter) == ("3.11", "")
    assert made.pip_requirements == ("requests",)
    assert made.pip_options == ("--pre",)
    assert made.conda_dependencies == ("numpy=2.1",)
    assert made.conda_channels == ("conda-forge",)
    assert made.environment_variables == {"DEPTH": "3"}
    assert made.base_image == "debian:12"


def test_faults_of_an_environment_are_told() -> None:
    wrong = {"python": {"condaDependencies": {"dependencies": [3]}, "interpreter": "x"}, "dcker": 1}
    with pytest.raises(errors.UnparsableFile) as raised:
        environment_of(wrong, where="ic.json")
    told = str(raised.value)
    assert "Did you mean 'docker'?" in told
    assert "environment.python.interpreter" in told
    assert "dependencies: expected a list" in told


def test_a_conda_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "loc").mkdir()
    (tmp_path / "loc/score.py").write_text("")
    (tmp_path / "loc/conda.yml").write_text("dependencies: [python=3.11, {pip: [numpy]}]")
    said = {"sourceDirectory": "loc", "entryScript": "score.py", "condaFile": "conda.yml"}
    made = read_inference(write(tmp_path / "ic.json", said))
    assert (made.conda_file, made.warnings) == (tmp_path / "loc/conda.yml", ())
    with pytest.raises(errors.UnparsableFile, match=r"condaFile: .*not c\.yml in .*loc or"):
        read_inference(write(tmp_path / "ic.json", {**said, "condaFile": "c.yml"}))
    with pytest.raises(errors.UnparsableFile, match="not both"):
        read_inference(write(tmp_path / "ic.json", {**said, "environment": "mine"}))


def test_an_environment_may_name_a_conda_file(tmp_path: Path) -> None:
    (tmp_path / "conda.yml").write_text("dependencies: [python=3.11, {pip: [numpy]}]")
    where = str(tmp_path / "ic.json")
    made = environment_of({"python": {"condaDependenciesFile": "conda.yml"}}, where=where)
    assert (made.pip_requirements, made.python_version) == (("numpy",), "3.11")
    assert made.conda_dependencies == ()
    with pytest.raises(errors.UnparsableFile, match=r"there is no .*/c\.yml"):
        environment_of({"python": {"condaDependenciesFile": "c.yml"}}, where=where)


def test_packages_of_a_conda_file_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): return data\n")
    (tmp_path / "conda.yml").write_text("dependencies: [{pip: [no-such-package]}]")
    document = {"entryScript": "score.py", "condaFile": "conda.yml"}
    said = write(tmp_path / "ic.json", document)
    place = ["-w", str(tmp_path)]
    for command in (
        ["workspace", "create", "tests", *place],
        ["model", "deploy", "-n", "x", "--ic", str(said), "--compute", "local", *place],
    ):
        done = CliRunner().invoke(program, command)
    assert "an interpreter without no-such-package" in str(done.exception)
