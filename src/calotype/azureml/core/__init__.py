"""`azureml.core`."""

from calotype import __version__ as VERSION
from calotype.azureml.core.compute import AksCompute, ComputeTarget
from calotype.azureml.core.container_registry import ContainerRegistry
from calotype.azureml.core.dataset import Dataset
from calotype.azureml.core.environment import Environment
from calotype.azureml.core.model import Model
from calotype.azureml.core.resource_configuration import ResourceConfiguration
from calotype.azureml.core.webservice import Webservice
from calotype.azureml.core.workspace import Workspace
from calotype.webservice import absent

__all__ = [
    "VERSION",
    "AksCompute",
    "ComputeTarget",
    "ContainerRegistry",
    "Dataset",
    "Environment",
    "Model",
    "ResourceConfiguration",
    "Webservice",
    "Workspace",
]

__getattr__ = absent.names_of(__name__)
