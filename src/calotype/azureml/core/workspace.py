"""`azureml.core.workspace`."""

from calotype.webservice.workspace import Workspace

__all__ = ["Workspace"]
