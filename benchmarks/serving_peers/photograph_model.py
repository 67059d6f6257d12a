"""What a peer's handler does with a photograph: Pillow, numpy and one ONNX session, as is usual.

Runs in the peers' environments, which have no Calotype.
"""

# pyright: basic, reportAttributeAccessIssue=false

import io
import json
import os

import numpy as np
import onnxruntime
from PIL import Image

_RESIZE, _CROP = 256, 224
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_STD = np.array((0.229, 0.224, 0.225), np.float32)


class PhotographModel:
    """The network with its preprocessing; one core per call, because there are several workers."""

    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        folder = os.environ["BENCHMARK_MODEL"]
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
            self.classes = json.load(file)["classes"]

    def read(self, content):
        """Return the bytes of a JPEG as the network's input."""
        return self.prepare(Image.open(io.BytesIO(content)))

    def prepare(self, picture):
        """Return a Pillow picture as the network's input, (3, 224, 224)."""
        picture = picture.convert("RGB")
        scale = _RESIZE / min(picture.size)
        width, height = (max(_RESIZE, int(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - _CROP) / 2), round((height - _CROP) / 2)
        picture = picture.crop((left, top, left + _CROP, top + _CROP))
        scaled = (np.asarray(picture, np.float32) / 255 - _MEAN) / _STD
        return scaled.transpose(2, 0, 1)

    def score(self, inputs):
        """Return the answers to a list of inputs, in its order."""
        (logits,) = self.session.run(["logits"], {"image": np.stack(inputs)})
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return [self._answer(row) for row in powers / powers.sum(axis=1, keepdims=True)]

    def _answer(self, probabilities):
        return {
            "Scored Labels": self.classes[int(probabilities.argmax())],
            "Scored Probabilities": dict(zip(self.classes, probabilities.tolist(), strict=True)),
        }
