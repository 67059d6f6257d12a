"""`azureml.data.file_dataset`."""

from calotype.webservice import absent
from calotype.webservice.dataset import Dataset as FileDataset

__all__ = ["FileDataset"]

__getattr__ = absent.names_of(__name__)
