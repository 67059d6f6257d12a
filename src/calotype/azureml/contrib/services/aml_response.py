"""`azureml.contrib.services.aml_response`."""

from calotype.serving.entry.raw_response import AMLResponse

__all__ = ["AMLResponse"]
