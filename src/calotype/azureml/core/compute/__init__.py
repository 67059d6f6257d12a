"""`azureml.core.compute`."""

from calotype.webservice.compute import ClusterCompute as AksCompute
from calotype.webservice.compute import ComputeTarget

__all__ = ["AksCompute", "ComputeTarget"]
