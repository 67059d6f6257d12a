"""`azureml.core.model`."""

from calotype.webservice.inference_config import InferenceConfig
from calotype.webservice.model import Model
from calotype.webservice.package import ModelPackage

__all__ = ["InferenceConfig", "Model", "ModelPackage"]
