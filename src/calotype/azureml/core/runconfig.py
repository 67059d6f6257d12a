"""`azureml.core.runconfig`."""

from calotype.webservice import absent
from calotype.webservice.conda_dependencies import CondaDependencies

__all__ = ["DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "CondaDependencies"]

# Scripts pass them on as base_image, which is accepted with a warning.
DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.1-cudnn8-ubuntu20.04"
__getattr__ = absent.names_of(__name__)
