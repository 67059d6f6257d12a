"""`azureml.core.authentication`."""

from calotype.webservice.authentication import Authentication as AzureCliAuthentication
from calotype.webservice.authentication import Authentication as InteractiveLoginAuthentication
from calotype.webservice.authentication import Authentication as MsiAuthentication
from calotype.webservice.authentication import Authentication as ServicePrincipalAuthentication

__all__ = [
    "AzureCliAuthentication",
    "InteractiveLoginAuthentication",
    "MsiAuthentication",
    "ServicePrincipalAuthentication",
]
