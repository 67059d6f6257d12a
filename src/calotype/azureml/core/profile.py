"""`azureml.core.profile`."""

from calotype.webservice.profile import ModelProfile

__all__ = ["ModelProfile"]
