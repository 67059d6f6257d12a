"""`azureml.exceptions`."""

from calotype.webservice.exceptions import CloudException as AzureMLException
from calotype.webservice.exceptions import (
    ModelNotFoundException,
    UserErrorException,
    WebserviceException,
    WebserviceNotFound,
    WebserviceNotFoundException,
)

__all__ = [
    "AzureMLException",
    "ModelNotFoundException",
    "UserErrorException",
    "WebserviceException",
    "WebserviceNotFound",
    "WebserviceNotFoundException",
]
