"""A second session for a request that is alone: all cores work on its one image.

Runners have one core each, which gives the most images a second; a lone request would leave the
others idle. Two sessions share no weights, so this costs the memory of the model once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calotype.models.image_model import ONNX
from calotype.scoring.runtimes import Batch
from calotype.scoring.runtimes.onnx_runtime import OnnxRuntime
from calotype.scoring.scorer import Scorer

logger = logging.getLogger("calotype.serving")

LARGEST_BYTES: Final = 100 << 20


def open_alone(
    scorer: Scorer, *, largest_bytes: int = LARGEST_BYTES
) -> Callable[[Batch], NDArray[np.float32]] | None:
    """Return what infers one image with as many cores as the scorer has threads.

    Returns:
        None when there is nothing to gain (one thread, a GPU), when the model is larger than
        `largest_bytes`, at other precisions than fp32 (each runtime has its own way there), and
        when its results differ from the scorer's in any bit.
    """
    runtime = scorer.runtime
    is_fitting = runtime.name == "onnxruntime" and runtime.precision == "fp32"
    if scorer.threads < 2 or not is_fitting or runtime.device != "cpu":
        return None
    description = scorer.model.description
    path = scorer.model.path / ONNX  # its digest was checked when the scorer opened it
    if path.stat().st_size > largest_bytes:
        return None
    session = OnnxRuntime(
        path,
        input_name=description.input_name,
        output_name=description.output_name,
        precision="fp32",
        threads=1,
        cores=scorer.threads,
    )

    def infer(batch: Batch) -> NDArray[np.float32]:
        return scorer.probabilities_of(session.infer(batch))

    random = np.random.default_rng(0)
    batch = random.normal(size=description.preprocessing.input_shape(1)).astype(np.float32)
    if infer(batch).tobytes() != scorer.infer(batch).tobytes():
        logger.info("This network's results depend on the number of cores; each call gets one.")
        return None
    return infer
