"""The entry script of the diabetes service, the same file for every server that runs scripts.

The model is stored as its coefficients, because pickles are not opened; `predict` is the call of
scikit-learn that a loaded model would make.
"""

# pyright: basic, reportAttributeAccessIssue=false

import json
import os
from pathlib import Path

import numpy
from sklearn.linear_model import Ridge


def init():
    global model  # noqa: PLW0603 - what the two functions of an entry script share
    stored = numpy.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "ridge.npz")
    model = Ridge(alpha=0.4)
    model.coef_, model.intercept_ = stored["coefficients"], float(stored["intercept"])
    model.n_features_in_ = len(model.coef_)


def run(raw_data):
    data = numpy.array(json.loads(raw_data)["data"])
    return model.predict(data).tolist()
