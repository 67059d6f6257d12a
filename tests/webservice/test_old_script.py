"""A script as the retired product's samples had it, from the model to the deletion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from deployed import PUBLISHED, ROWS, running_workspace

from calotype import __version__
from calotype.azureml.core.workspace import Workspace
from calotype.webservice.required_packages import OtherVersion
from calotype.webservice.unsupported import NoMeaningHere

SCORE = """
import azureml.core
import joblib
import numpy as np
from azureml.core import Dataset, Experiment, Run, Workspace
from azureml.core.authentication import ServicePrincipalAuthentication
from azureml.core.model import Model
from azureml.exceptions import WebserviceException
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType

workspace = Workspace.from_config()  # the one it is deployed in, opened before the fork

def init():
    global model
    Run.get_context().log("model", Model(workspace, "sklearn_regression_model.pkl").version)
    try:
        Model(workspace, "none")
    except WebserviceException as error:
        print("caught", error.number, azureml.core.VERSION)
    model = joblib.load(Model.get_model_path("sklearn_regression_model.pkl"))

input_sample = np.array([[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]], dtype=np.float64)
output_sample = np.array([3726.995])

@input_schema("data", NumpyParameterType(input_sample))
@output_schema(NumpyParameterType(output_sample))
def run(data):
    try:
        return model.predict(data).tolist()
    except Exception as e:
        return str(e)
"""
SCRIPT = """
from calotype.azureml.core import Environment, Webservice, Workspace
from calotype.azureml.core.compute import AksCompute, ComputeTarget
from calotype.azureml.core.compute_target import ComputeTargetException
from calotype.azureml.core.conda_dependencies import CondaDependencies
from calotype.azureml.core.model import InferenceConfig, Model
from calotype.azureml.core.webservice import AksWebservice
from calotype.azureml.exceptions import WebserviceException

ws = Workspace.from_config()
print(ws.name, ws.resource_group, ws.location, ws.subscription_id, sep="\\n")
model = Model.register(
    workspace=ws,
    model_path="sklearn_regression_model.pkl",
    model_name="sklearn_regression_model.pkl",
    tags={"area": "diabetes", "type": "regression"},
    description="Ridge regression model to predict diabetes",
)
environment = Environment("my-sklearn-environment")
environment.python.conda_dependencies = CondaDependencies.create(
    python_version="3.7",
    conda_packages=["pip==20.2.4"],
    pip_packages=["azureml-defaults", "inference-schema[numpy-support]", "joblib", "numpy",
                  "scikit-learn"],
)
inference_config = InferenceConfig(
    entry_script="./score.py", source_directory=".", environment=environment
)
service_name = "my-custom-env-service"
try:
    Webservice(ws, service_name).delete()
except WebserviceException as error:
    print(error.message)
try:
    aks_target = ComputeTarget(workspace=ws, name="my-aks")
except ComputeTargetException:
    prov_config = AksCompute.provisioning_configuration()
    aks_target = ComputeTarget.create(ws, "my-aks", prov_config)
    aks_target.wait_for_completion(show_output=True)
aks_config = AksWebservice.deploy_configuration(
    autoscale_enabled=False, num_replicas=1, cpu_cores=0.1, memory_gb=0.5, tags={"a": "b"}
)
service = Model.deploy(
    workspace=ws,
    name=service_name,
    models=[model],
    inference_config=inference_config,
    deployment_config=aks_config,
    deployment_target=aks_target,
    overwrite=True,
)
service.wait_for_deployment(show_output=True)
print(service.get_logs())
"""


@pytest.fixture(scope="module")
def workspace() -> Iterator[tuple[Workspace, Path]]:
    with running_workspace() as made:
        yield made


def test_an_old_script(
    workspace: tuple[Workspace, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    joblib = pytest.importorskip("joblib")
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import train_test_split

    rows, targets = load_diabetes(return_X_y=True)
    rows, _, targets, _ = train_test_split(rows, targets, test_size=0.2, random_state=0)
    joblib.dump(Ridge(alpha=0.4).fit(rows, targets), tmp_path / "sklearn_regression_model.pkl")
    (tmp_path / "score.py").write_text(SCORE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALOTYPE_WORKSPACE", str(workspace[1] / "place"))
    names: dict[str, object] = {}
    with pytest.warns(OtherVersion, match=r"python==3\.7 \(there is 3\.\d+"):
        exec(compile(SCRIPT, "script", "exec"), names)  # noqa: S102 - that is the test
    service = workspace[0].webservices["my-custom-env-service"]
    printed = capsys.readouterr().out
    assert "expected a service 'my-custom-env-service'" in printed
    assert 'operation "Succeeded"' in printed
    assert service.run(json.dumps(ROWS)) == PUBLISHED
    logged = service.get_logs()
    assert "model: 1" in logged
    assert f"caught 2004 {__version__}" in logged
    key, _ = service.get_keys()
    headers = {"Authorization": f"Bearer {key}"}
    swagger = requests.get(service.swagger_uri or "", headers=headers, timeout=30).json()
    example = swagger["definitions"]["ServiceInput"]["example"]
    reply = requests.post(service.scoring_uri or "", json=example, headers=headers, timeout=30)
    assert reply.status_code == 200
    service.delete()
    assert "my-custom-env-service" not in workspace[0].webservices


def test_logging_in_is_not_needed() -> None:
    from calotype.azureml.core.authentication import ServicePrincipalAuthentication

    with pytest.warns(NoMeaningHere, match="rights of the workspace's files"):
        ServicePrincipalAuthentication("tenant", service_principal_id="id")
