"""`azureml.core.environment`."""

from calotype.azureml.core.runconfig import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE
from calotype.webservice.conda_dependencies import CondaDependencies
from calotype.webservice.environment import Environment
from calotype.webservice.environment_sections import DockerSection, PythonSection

__all__ = [
    "DEFAULT_CPU_IMAGE",
    "DEFAULT_GPU_IMAGE",
    "CondaDependencies",
    "DockerSection",
    "Environment",
    "PythonSection",
]
