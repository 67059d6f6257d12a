"""`azureml.core.webservice.webservice`."""

from calotype.webservice.deployment_configuration import (
    DeploymentConfiguration as WebserviceDeploymentConfiguration,
)
from calotype.webservice.exceptions import WebserviceException, WebserviceNotFound
from calotype.webservice.service_settings import ContainerResourceRequirements
from calotype.webservice.webservice import Webservice

__all__ = [
    "ContainerResourceRequirements",
    "Webservice",
    "WebserviceDeploymentConfiguration",
    "WebserviceException",
    "WebserviceNotFound",
]
