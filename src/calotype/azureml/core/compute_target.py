"""`azureml.core.compute_target`."""

from calotype.webservice.compute import ComputeTarget
from calotype.webservice.exceptions import ComputeTargetException

__all__ = ["ComputeTarget", "ComputeTargetException"]
