"""Classes and packages of the retired SDK that have no meaning here.

They can be imported, so that an import which nobody uses harms nobody; see `absent`.
"""

from __future__ import annotations

from typing import Final

from calotype.webservice.unsupported_parameters import Unsupported

_SUBMITTED: Final = "Nothing is submitted to a cloud."
_BUILD: Final = "Nothing is built: services run in environments of this machine."
_MACHINE: Final = "The machine is the one you are at."
_RUN_IT: Final = "Run the script itself with Python."
_LEAVE_OUT: Final = "Leave it out."


def _all(names: str, why: str, instead: str) -> tuple[Unsupported, ...]:
    return tuple(Unsupported(name, "error", why, instead) for name in names.split())


NAMES: Final = (
    *_all(
        "Experiment",
        "It grouped the training runs of the cloud.",
        "`calotype train` trains on this machine; Model.register takes any result.",
    ),
    *_all(
        "Run(…) get_run",
        _SUBMITTED,
        "Print what shall be logged, as Run.get_context().log does here; Model.register takes the "
        "files that a training writes.",
    ),
    *_all(
        "ScriptRun ScriptRunConfig RunConfiguration MpiConfiguration PyTorchConfiguration "
        "TensorflowConfiguration DockerConfiguration",
        _SUBMITTED,
        _RUN_IT,
    ),
    *_all(
        "Datastore",
        "There are no datastores.",
        "Pass the folder, archive, pattern or URL itself.",
    ),
    *_all(
        "Image ContainerImage", _BUILD, "Pass an InferenceConfig to Model.deploy; Model.package "
        "writes a Dockerfile.",
    ),
    *_all(
        "Keyvault",
        "There is no key vault.",
        "Give scripts their secrets as environment.environment_variables; the workspace seals "
        "them.",
    ),
    *_all(
        "AmlCompute ComputeInstance BatchCompute DatabricksCompute DataFactoryCompute "
        "HDInsightCompute KubernetesCompute RemoteCompute SynapseCompute",
        _MACHINE,
        "ComputeTarget(workspace, name) is this machine.",
    ),
    *_all(
        "LinkedService PrivateEndPoint PrivateEndPointConfig "
        "SynapseWorkspaceLinkedServiceConfiguration",
        "It belongs to a subscription of the cloud.",
        _LEAVE_OUT,
    ),
    *_all(
        "azureml.train azureml.automl azureml.pipeline azureml.mlflow azureml.tensorboard",
        _SUBMITTED,
        "`calotype train` trains on this machine; other training scripts run with Python itself.",
    ),
    *_all(
        "azureml.widgets azureml.telemetry azureml.opendatasets azureml.contrib",
        "It showed or fetched what is in the cloud.",
        _LEAVE_OUT,
    ),
    *_all(
        "azureml.data azureml.dataprep",
        "Datasets here are of files, and there are no datastores.",
        "Use Dataset.File.from_files.",
    ),
    *_all(
        "azureml.datadrift",
        "It compared tables in the cloud.",
        "`calotype service drift -n NAME` shows how predictions change.",
    ),
    *_all(
        "azureml.interpret azureml.explain azureml.responsibleai",
        "It explained runs of the cloud.",
        "Use the library that it was built on, such as shap or interpret.",
    ),
)  # fmt: skip
