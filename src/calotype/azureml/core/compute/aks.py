"""`azureml.core.compute.aks`."""

from calotype.webservice.compute import ClusterCompute as AksCompute
from calotype.webservice.compute import ProvisioningConfiguration as AksProvisioningConfiguration
from calotype.webservice.compute import TlsConfiguration as SslConfiguration
from calotype.webservice.compute import UpdateConfiguration as AksUpdateConfiguration

__all__ = [
    "AksCompute",
    "AksProvisioningConfiguration",
    "AksUpdateConfiguration",
    "SslConfiguration",
]
