"""`azureml.core.compute`."""

from calotype.webservice import absent
from calotype.webservice.compute import ClusterCompute as AksCompute
from calotype.webservice.compute import ComputeTarget

__all__ = ["AksCompute", "ComputeTarget"]

__getattr__ = absent.names_of(__name__)
