"""`azureml.core.model`."""

from calotype.webservice.inference_config import InferenceConfig
from calotype.webservice.model import Model

__all__ = ["InferenceConfig", "Model"]
