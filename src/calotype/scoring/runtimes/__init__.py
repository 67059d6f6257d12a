"""The engines that run a network's ONNX file, behind one small protocol."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Precision = Literal["fp32", "bf16", "int8"]
RuntimeName = Literal["onnxruntime", "openvino"]

Batch = NDArray[np.float32]
"""Network inputs, shape (images, 3, height, width) or (images, height, width, 3)."""

Outputs = NDArray[np.float32]
"""Logits or probabilities, shape (images, classes)."""

Features = NDArray[np.float32]
"""What the last linear layer sees, shape (images, channels)."""


class Runtime(Protocol):
    """A network ready to run. `infer` may be called from as many threads as `threads` says."""

    name: RuntimeName
    version: str
    device: str
    precision: Precision
    threads: int
    batch_size: int
    """How many images to infer together; measured, see docs/explanation/performance.md."""

    def infer(self, batch: Batch) -> Outputs:
        """Run the network. The result of an image does not depend on its neighbours."""
        ...

    def infer_with_features(self, batch: Batch) -> tuple[Outputs, Features]:
        """Run the network and return its features too; for one that was opened with them."""
        ...
