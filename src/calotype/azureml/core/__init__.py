"""`azureml.core`: each name is fetched when it is first used, for scripts that use only one."""

import importlib
from typing import TYPE_CHECKING, Any

from calotype import __version__ as VERSION
from calotype.webservice import absent

if TYPE_CHECKING:
    from calotype.azureml.core.compute import AksCompute, ComputeTarget
    from calotype.azureml.core.container_registry import ContainerRegistry
    from calotype.azureml.core.dataset import Dataset
    from calotype.azureml.core.environment import Environment
    from calotype.azureml.core.model import Model
    from calotype.azureml.core.resource_configuration import ResourceConfiguration
    from calotype.azureml.core.run import Run
    from calotype.azureml.core.webservice import Webservice
    from calotype.azureml.core.workspace import Workspace

__all__ = [
    "VERSION",
    "AksCompute",
    "ComputeTarget",
    "ContainerRegistry",
    "Dataset",
    "Environment",
    "Model",
    "ResourceConfiguration",
    "Run",
    "Webservice",
    "Workspace",
]
__version__ = VERSION

_HOMES = {
    "AksCompute": "compute",
    "ComputeTarget": "compute",
    "ContainerRegistry": "container_registry",
    "Dataset": "dataset",
    "Environment": "environment",
    "Model": "model",
    "ResourceConfiguration": "resource_configuration",
    "Run": "run",
    "Webservice": "webservice",
    "Workspace": "workspace",
}
# `import azureml.core` was enough for scripts that write `azureml.core.model.Model`.
_MODULES = {
    *_HOMES.values(),
    *("authentication", "compute_target", "conda_dependencies", "exceptions", "profile"),
    "runconfig",
}
_absent = absent.names_of(__name__)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        return _absent(name)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
