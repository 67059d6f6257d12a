"""`azureml.core.webservice.aks`."""

from calotype.webservice.access_token import AccessToken as AksServiceAccessToken
from calotype.webservice.cluster import ClusterWebservice as AksWebservice
from calotype.webservice.cluster_configuration import (
    ClusterConfiguration as AksServiceDeploymentConfiguration,
)
from calotype.webservice.endpoint import ClusterEndpoint as AksEndpoint
from calotype.webservice.endpoint_configuration import (
    EndpointConfiguration as AksEndpointDeploymentConfiguration,
)
from calotype.webservice.service_settings import (
    AutoScaler,
    ContainerResourceRequirements,
    DataCollection,
    LivenessProbeRequirements,
)

__all__ = [
    "AksEndpoint",
    "AksEndpointDeploymentConfiguration",
    "AksServiceAccessToken",
    "AksServiceDeploymentConfiguration",
    "AksWebservice",
    "AutoScaler",
    "ContainerResourceRequirements",
    "DataCollection",
    "LivenessProbeRequirements",
]
