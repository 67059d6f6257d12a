"""`azureml.data`."""

from calotype.azureml.data.file_dataset import FileDataset
from calotype.webservice import absent

__all__ = ["FileDataset"]

__getattr__ = absent.names_of(__name__)
