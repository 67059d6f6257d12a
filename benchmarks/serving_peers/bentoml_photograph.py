"""BentoML: a form with a JPEG, a worker for each core, adaptive batches of up to eight or none."""

# pyright: basic, reportMissingImports=false

import os
from typing import Any

import bentoml
from photograph_model import PhotographModel
from PIL import Image


@bentoml.service(workers=os.cpu_count(), traffic={"timeout": 60})
class Photographs:
    def __init__(self):
        self.model = PhotographModel()

    @bentoml.api(batchable=True, max_batch_size=8, max_latency_ms=60_000)
    def score(self, images: list[Image.Image]) -> list[dict[str, Any]]:
        return self.model.score([self.model.prepare(image) for image in images])


@bentoml.service(workers=os.cpu_count(), traffic={"timeout": 60})
class SinglePhotographs:
    def __init__(self):
        self.model = PhotographModel()

    @bentoml.api
    def score(self, images: Image.Image) -> dict[str, Any]:
        return self.model.score([self.model.prepare(images)])[0]
