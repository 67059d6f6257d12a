"""`azureml.core.webservice.local`."""

from calotype.webservice.local import LocalWebservice
from calotype.webservice.local_configuration import (
    LocalConfiguration as LocalWebserviceDeploymentConfiguration,
)

__all__ = ["LocalWebservice", "LocalWebserviceDeploymentConfiguration"]
