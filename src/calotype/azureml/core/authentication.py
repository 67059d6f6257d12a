"""`azureml.core.authentication`."""

from calotype.webservice.authentication import Authentication as AbstractAuthentication
from calotype.webservice.authentication import Authentication as ArcTokenAuthentication
from calotype.webservice.authentication import Authentication as AzureCliAuthentication
from calotype.webservice.authentication import Authentication as AzureMLTokenAuthentication
from calotype.webservice.authentication import Authentication as InteractiveLoginAuthentication
from calotype.webservice.authentication import Authentication as MsiAuthentication
from calotype.webservice.authentication import Authentication as ServicePrincipalAuthentication
from calotype.webservice.authentication import Authentication as TokenAuthentication

__all__ = [
    "AbstractAuthentication",
    "ArcTokenAuthentication",
    "AzureCliAuthentication",
    "AzureMLTokenAuthentication",
    "InteractiveLoginAuthentication",
    "MsiAuthentication",
    "ServicePrincipalAuthentication",
    "TokenAuthentication",
]
