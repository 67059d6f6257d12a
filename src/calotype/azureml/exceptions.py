"""`azureml.exceptions`."""

from calotype.webservice.exceptions import CloudException as AzureMLException
from calotype.webservice.exceptions import (
    ComputeTargetException,
    ModelNotFoundException,
    UserErrorException,
    WebserviceException,
    WebserviceNotFound,
    WebserviceNotFoundException,
)

__all__ = [
    "AzureMLException",
    "ComputeTargetException",
    "ModelNotFoundException",
    "UserErrorException",
    "WebserviceException",
    "WebserviceNotFound",
    "WebserviceNotFoundException",
]
