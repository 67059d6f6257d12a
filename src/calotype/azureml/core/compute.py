"""`azureml.core.compute`."""

from calotype.webservice.compute import ClusterCompute as AksCompute
from calotype.webservice.compute import ComputeTarget
from calotype.webservice.compute import TlsConfiguration as SslConfiguration

__all__ = ["AksCompute", "ComputeTarget", "SslConfiguration"]
