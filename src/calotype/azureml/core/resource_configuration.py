"""`azureml.core.resource_configuration`."""

from calotype.webservice.resource_configuration import ResourceConfiguration

__all__ = ["ResourceConfiguration"]
