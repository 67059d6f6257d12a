"""Train an image model once, then print its predictions anywhere.

Importing this package loads nothing else: each public name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calotype.images.image_directory import ImageDirectory
    from calotype.models.image_model import ImageModel
    from calotype.scoring.scorer import Scorer
    from calotype.webservice.batch import BatchWebservice
    from calotype.webservice.cluster import ClusterWebservice
    from calotype.webservice.dataset import Dataset
    from calotype.webservice.endpoint import ClusterEndpoint
    from calotype.webservice.environment import Environment
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.instance import InstanceWebservice
    from calotype.webservice.local import LocalWebservice
    from calotype.webservice.model import Model
    from calotype.webservice.webservice import Webservice
    from calotype.webservice.workspace import Workspace

__version__ = "0.1.0"
__all__ = [
    "BatchWebservice",
    "ClusterEndpoint",
    "ClusterWebservice",
    "Dataset",
    "Environment",
    "ImageDirectory",
    "ImageModel",
    "InferenceConfig",
    "InstanceWebservice",
    "LocalWebservice",
    "Model",
    "Scorer",
    "Webservice",
    "Workspace",
]

_HOMES = {
    "BatchWebservice": "calotype.webservice.batch",
    "ClusterEndpoint": "calotype.webservice.endpoint",
    "ClusterWebservice": "calotype.webservice.cluster",
    "Dataset": "calotype.webservice.dataset",
    "Environment": "calotype.webservice.environment",
    "ImageDirectory": "calotype.images.image_directory",
    "ImageModel": "calotype.models.image_model",
    "InferenceConfig": "calotype.webservice.inference_config",
    "InstanceWebservice": "calotype.webservice.instance",
    "LocalWebservice": "calotype.webservice.local",
    "Model": "calotype.webservice.model",
    "Scorer": "calotype.scoring.scorer",
    "Webservice": "calotype.webservice.webservice",
    "Workspace": "calotype.webservice.workspace",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'calotype' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
