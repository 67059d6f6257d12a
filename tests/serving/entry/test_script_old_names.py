"""What unmodified scripts import of the retired SDK, where that is not installed."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import calotype.azureml
from calotype.errors import ScriptFailed

RUN = "\ndef run(data): return result\n"
IMPORTS = """
import azureml.core
import azureml.core.webservice
from azureml.core import Datastore, Dataset, Experiment, Model, Run, Webservice, Workspace
from azureml.core.authentication import ServicePrincipalAuthentication
from azureml.core.model import InferenceConfig, Model as same
from azureml.core.run import Run as run, _OfflineRun, get_run
from azureml.core.webservice import AciWebservice, AksWebservice
from azureml.exceptions import ProjectSystemException, WebserviceException
from azureml.monitoring import ModelDataCollector
import calotype

assert azureml.core.VERSION == azureml.core.__version__ == calotype.__version__
assert azureml.core.model.Model is Model is same
assert Workspace is calotype.Workspace and Webservice is calotype.Webservice
assert AciWebservice is calotype.InstanceWebservice
result = [isinstance(Run.get_context(), _OfflineRun), run is Run]
"""


def test_old_names_are_those_of_the_mirror(load: Any) -> None:
    assert load(IMPORTS + RUN).send().body == b"[true, true]"


def test_every_module_of_the_mirror_has_its_old_name(load: Any) -> None:
    mirrored = pkgutil.walk_packages(calotype.azureml.__path__, "calotype.azureml.")
    found = [one.name.removeprefix("calotype.") for one in mirrored]
    assert "azureml.core.webservice.aks" in found
    imports = "".join(f"import {name}\nfrom {name} import *\n" for name in found)
    assert (
        load(f"{imports}\nresult = AksEndpoint.__name__{RUN}").send().body == b'"ClusterEndpoint"'
    )


def test_the_rest_of_a_mounted_model_is_that_of_the_registry(load: Any) -> None:
    loaded = load(f"""
import calotype
from azureml.core import Model
from azureml.exceptions import WebserviceException
try:
    Model("a workspace")
except WebserviceException as error:
    told = str(error)
made = object.__new__(calotype.Model)
result = [told, isinstance(made, Model), Model.Framework is calotype.Model.Framework]
{RUN}""")
    told, *true = json.loads(loaded.send().body)
    assert told == "Model: expected a name or an id. Got neither."
    assert true == [True, True]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("import azureml.studio.core", "'azureml.studio'. Of the retired SDK it has azureml.core"),
        ("import azureml.automl.core", "'azureml.automl': nothing is submitted to a cloud."),
        ("from azureml.core import Modle", "'azureml.core.Modle'."),
        ("from azureml import automl", "'azureml.automl': nothing"),
        ("import azureml.core.model.parts", "'azureml.core.model.parts'."),
        ("import azureml.contrib.fairness", "'azureml.contrib.fairness': it showed or fetched"),
    ],
)
def test_another_name_says_what_there_is_and_what_to_do(
    load: Any, statement: str, told: str
) -> None:
    with pytest.raises(ScriptFailed) as caught:
        load(statement + RUN)
    assert caught.value.got.startswith(f"ModuleNotFoundError: Calotype has no {told}")
    assert "Leave the import out, or install the package" in caught.value.got
    assert statement in caught.value.trace
    guarded = f"try:\n  {statement}\nexcept ImportError:\n  result = 1{RUN}"
    assert load(guarded).send().body == b"1"


def test_a_package_that_is_installed_comes_first(load: Any, tmp_path: Path) -> None:
    core = tmp_path / "src/azureml/core"
    core.mkdir(parents=True)
    (core.parent / "__init__.py").touch()
    (core / "__init__.py").write_text("Workspace = 'theirs'")
    loaded = load(f"""
from azureml.core import Workspace
from azureml.contrib.services.aml_request import AMLRequest
result = [Workspace, AMLRequest.__module__]
for name in ("azureml.core.webservice", "azureml.train"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        result.append([error.name, str(error)])
{RUN}""")
    theirs, ours, *missing = json.loads(loaded.send().body)
    assert theirs == "theirs"
    assert ours == "calotype.serving.entry.raw_request"
    assert missing == [
        [name, f"No module named '{name}'"] for name in ("azureml.core.webservice", "azureml.train")
    ]


def test_a_batch_script_logs_what_it_is_given(load: Any) -> None:
    loaded = load(f"""
from azureml_user.parallel_run import EntryScript
EntryScript().logger.debug("two files")
result = 1
{RUN}""")
    assert loaded.messages("debug") == ["two files"]


def test_nobody_pays_for_what_he_does_not_use(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(
        "import sys, azureml.core\n"
        "from azureml.core import Model\n"
        "from azureml.core.model import Model\n"
        "def run(data): return any(name.startswith('calotype.azureml') for name in sys.modules)\n"
    )
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from calotype.serving.entry.script import EntryScript\n"
        f"script = EntryScript.load(Path({str(tmp_path / 'score.py')!r}))\n"
        "used = script._module.run('')\n"
        "from azureml.core import VERSION, Run\n"
        "script.close()\n"
        "print(used, sorted({'sqlalchemy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False []\n"
