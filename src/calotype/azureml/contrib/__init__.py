"""`azureml.contrib`."""

from calotype.webservice import absent

__getattr__ = absent.names_of(__name__)
