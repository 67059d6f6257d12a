"""`azureml.core.exceptions`."""

from calotype.azureml.exceptions import (
    AzureMLException,
    UserErrorException,
    WebserviceException,
    WebserviceNotFound,
)

__all__ = [
    "AzureMLException",
    "UserErrorException",
    "WebserviceException",
    "WebserviceNotFound",
]
