"""The diabetes model in the way of the original's documentation: `init` once, then `run`."""

import json
import os

import numpy as np


def init() -> None:
    """Load the model."""
    global model  # noqa: PLW0603 - the way of entry scripts
    model = np.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "ridge.npz"))


def run(data: str) -> list[float]:
    """Predict for each row."""
    rows = np.array(json.loads(data)["data"])
    return (rows @ model["coefficients"] + model["intercept"]).tolist()
