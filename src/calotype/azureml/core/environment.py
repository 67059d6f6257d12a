"""`azureml.core.environment`."""

from calotype.webservice.conda_dependencies import CondaDependencies
from calotype.webservice.environment import Environment
from calotype.webservice.environment_sections import DockerSection, PythonSection

__all__ = ["CondaDependencies", "DockerSection", "Environment", "PythonSection"]
