"""`azureml.contrib.services.aml_request`."""

from calotype.serving.entry.raw_http import rawhttp
from calotype.serving.entry.raw_request import AMLRequest

__all__ = ["AMLRequest", "rawhttp"]
