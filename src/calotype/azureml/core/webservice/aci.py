"""`azureml.core.webservice.aci`."""

from calotype.webservice.instance import InstanceWebservice as AciWebservice
from calotype.webservice.instance_configuration import (
    InstanceConfiguration as AciServiceDeploymentConfiguration,
)

__all__ = ["AciServiceDeploymentConfiguration", "AciWebservice"]
