"""`azureml.core.container_registry`."""

from calotype.webservice.registry_credentials import ContainerRegistry

__all__ = ["ContainerRegistry"]
