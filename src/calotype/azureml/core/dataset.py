"""`azureml.core.dataset`."""

from calotype.webservice.dataset import Dataset

__all__ = ["Dataset"]
