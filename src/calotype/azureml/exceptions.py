"""`azureml.exceptions`."""

from calotype.webservice import absent
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

__getattr__ = absent.names_of(__name__)
