"""`azureml.core.conda_dependencies`."""

from calotype.webservice.conda_dependencies import CondaDependencies

__all__ = ["CondaDependencies"]
