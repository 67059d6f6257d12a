"""`azureml.data.dataset_factory`."""

from calotype.webservice import absent
from calotype.webservice.dataset_factory import FileFactory as FileDatasetFactory

__all__ = ["FileDatasetFactory"]

__getattr__ = absent.names_of(__name__)
