"""`azureml.core.webservice.webservice`."""

from calotype.webservice.deployment_configuration import (
    DeploymentConfiguration as WebserviceDeploymentConfiguration,
)
from calotype.webservice.webservice import Webservice

__all__ = ["Webservice", "WebserviceDeploymentConfiguration"]
