"""What old scripts import: names without a meaning harm nobody until they are used."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from calotype.azureml.core.authentication import TokenAuthentication
from calotype.azureml.exceptions import AzureMLException
from calotype.serving.entry import data_collector, old_names
from calotype.webservice.exceptions import WebserviceException
from calotype.webservice.unsupported import UNSUPPORTED, NoMeaningHere

IMPORTS = """
import calotype.azureml.core
import calotype.azureml.train.automl
from calotype.azureml.core import ComputeInstance, Datastore, Experiment, Image, Keyvault, Run
from calotype.azureml.core import ScriptRunConfig, Model
from calotype.azureml.core.compute import AmlCompute, AksCompute
from calotype.azureml.core.datastore import Datastore
from calotype.azureml.core.environment import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE, Environment
from calotype.azureml.core.experiment import Experiment
from calotype.azureml.core.image import ContainerImage, Image
from calotype.azureml.core.model import ModelPackage
from calotype.azureml.core.profile import ModelProfile
from calotype.azureml.core.run import Run
from calotype.azureml.core.runconfig import DEFAULT_CPU_IMAGE, CondaDependencies, RunConfiguration
from calotype.azureml.core.script_run_config import ScriptRunConfig
from calotype.azureml.core.webservice.webservice import WebserviceException
from calotype.azureml.contrib.services.aml_request import AMLRequest, rawhttp
from calotype.azureml.contrib.services.aml_response import AMLResponse
from calotype.azureml.data.dataset_factory import FileDatasetFactory
from calotype.azureml.monitoring import ModelDataCollector
from calotype.azureml.pipeline.core import Pipeline
from calotype.azureml.train.sklearn import SKLearn
from calotype.azureml.widgets import RunDetails
"""


def test_imports_that_nobody_uses_harm_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(IMPORTS, "script", "exec"), {})  # noqa: S102 - that is the test


@pytest.mark.parametrize(
    ("module", "name", "told"),
    [
        ("core", "Experiment", "no 'Experiment': it grouped the training runs"),
        ("core.run", "get_run", "Print what shall be logged"),
        ("core.image", "ContainerImage", "Pass an InferenceConfig"),
        ("core.compute", "AmlCompute", "ComputeTarget(workspace, name) is this machine"),
        ("train.sklearn", "SKLearn", "no 'azureml.train.sklearn.SKLearn'"),
        ("widgets", "RunDetails", "no 'azureml.widgets.RunDetails'"),
    ],
)
def test_using_one_says_what_it_was(module: str, name: str, told: str) -> None:
    found: Any = getattr(importlib.import_module(f"calotype.azureml.{module}"), name)
    for use in (lambda: found("x"), lambda: found.get_context().log):
        with pytest.raises(WebserviceException) as raised:
            use()
        assert told in str(raised.value)
        assert raised.value.number == 2006


def test_a_run_that_nobody_submitted_prints_what_it_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from calotype.azureml.core import Run
    from calotype.azureml.core.run import Run as same
    from calotype.azureml.core.run import _OfflineRun  # pyright: ignore[reportPrivateUsage] - as is

    run = Run.get_context()
    run.log("accuracy", 0.5)
    run.log_row("loss", epoch=1, value=0.25)
    run.complete()
    assert capsys.readouterr().out == "accuracy: 0.5\nloss: epoch=1, value=0.25\n"
    assert same is Run
    assert isinstance(run, Run)
    assert isinstance(run, _OfflineRun)
    assert run.id.startswith("OfflineRun")
    with pytest.raises(AttributeError, match=r"no 'experiment' here\. Nothing is submitted"):
        _ = run.experiment
    for use in (Run, lambda: Run.list("x"), lambda: Run.get_context(allow_offline=False)):
        with pytest.raises(WebserviceException) as raised:
            use()
        assert raised.value.number == 2006


def test_what_never_was_is_missing() -> None:
    with pytest.raises(ImportError, match="Modle"):
        exec("from calotype.azureml.core import Modle")  # noqa: S102 - that is the test
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("calotype.azureml.core.modle")


def test_every_name_has_a_row() -> None:
    from calotype.webservice import absent

    for module, names in absent._NAMES.items():  # pyright: ignore[reportPrivateUsage] - all of it
        for name in names:
            found = getattr(importlib.import_module(f"calotype.{module}"), name)
            assert issubclass(found, AzureMLException) or found.row in UNSUPPORTED


def test_exceptions_that_are_never_raised_can_be_caught() -> None:
    from calotype.azureml import exceptions

    try:
        raise ValueError("mine")
    except exceptions.ProjectSystemException:
        pytest.fail("it is none")
    except ValueError as error:
        assert str(error) == "mine"  # noqa: PT017 - which clause takes it is the test


def test_logging_in_with_a_token_is_not_needed() -> None:
    with pytest.warns(NoMeaningHere):
        TokenAuthentication()


@pytest.mark.parametrize("name", ["azureml.monitoring", "calotype.azureml.monitoring"])
def test_a_script_that_collects_itself_goes_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(data_collector, "_told", False)
    old_names.offer()
    collector = importlib.import_module(name).ModelDataCollector(
        "model", designation="inputs", feature_names=["a", "b"]
    )
    with pytest.warns(UserWarning, match="collect_model_data=True"):
        collector.collect([1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collector.collect([1, 2], user_correlation_id="x")
    for loaded in ("azureml.monitoring", "azureml"):  # of another test it may be the real one
        sys.modules.pop(loaded, None)


def test_a_marked_script_is_found_under_the_changed_import(tmp_path: Path) -> None:
    program = (
        "from calotype.serving.entry import raw_http\n"
        "from calotype.azureml.contrib.services.aml_request import rawhttp\n"
        "rawhttp(print)\n"
        "import json, sys\n"
        "from calotype.azureml.core import Run\n"
        "heavy = {'sqlalchemy', 'pandas', 'onnxruntime'} & set(sys.modules)\n"
        "print(json.dumps([raw_http.is_marked(), sorted(heavy)]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == [True, []]
