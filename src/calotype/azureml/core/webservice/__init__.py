"""`azureml.core.webservice`."""

from calotype.webservice.cluster import ClusterWebservice as AksWebservice
from calotype.webservice.endpoint import ClusterEndpoint as AksEndpoint
from calotype.webservice.instance import InstanceWebservice as AciWebservice
from calotype.webservice.local import LocalWebservice
from calotype.webservice.webservice import Webservice

__all__ = ["AciWebservice", "AksEndpoint", "AksWebservice", "LocalWebservice", "Webservice"]
