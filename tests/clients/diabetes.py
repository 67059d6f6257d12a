"""The service of the original's documentation: two rows of features, two published numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "data" / "score.py"
KEY = "the-primary-key-of-the-diabetes-service"
START_S = 120.0
ROWS = {
    "data": [
        [
            *(0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635),
            *(-0.0359677812752396, -0.0266789028311707, -0.0249926566315915),
            *(-0.00259226199818282, 0.00371173823343597, 0.0403433716478807),
        ],
        [
            *(-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822),
            *(0.0479653430750293, 0.0293746718291555, -0.0176293810234174),
            *(0.0343088588777263, 0.0702112981933102, 0.00720651632920303),
        ],
    ]
}
PUBLISHED = pytest.approx([217.67978776218715, 224.78937091757172], abs=0.01)


@dataclass(frozen=True)
class RunningService:
    """A service that answers.

    Attributes:
        uri: of scoring.
        authority: the certificate of who signed the service's, when it has one.
    """

    uri: str
    authority: str = ""


def save_model(folder: Path) -> None:
    """Train the model and save its coefficients."""
    import numpy as np
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import train_test_split

    features, target = load_diabetes(return_X_y=True)
    rows, _, targets, _ = train_test_split(features, target, test_size=0.2, random_state=0)
    ridge = Ridge(alpha=0.4).fit(rows, targets)
    folder.mkdir()
    np.savez(folder / "ridge.npz", coefficients=ridge.coef_, intercept=ridge.intercept_)


@contextmanager
def serving(model: Path, log: Path, *options: str) -> Generator[str]:
    """Run the service and give its scoring URI."""
    command = [sys.executable, "-m", "calotype", "serve", "--entry-script", str(SCRIPT)]
    command += ["--model-dir", str(model), "--port", "0", "--auth", "key", "-o", "json", *options]
    environment = {**os.environ, "CALOTYPE_PRIMARY_KEY": KEY}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        too_late = threading.Timer(START_S, process.kill)
        too_late.start()
        try:
            uri = _scoring_uri(process, log)
            too_late.cancel()  # all that is left of the test run may use it
            yield uri
        finally:
            too_late.cancel()
            process.terminate()


def _scoring_uri(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    document = ""
    for line in process.stdout:
        document += line
        try:
            return json.loads(document)["scoring_uri"]
        except json.JSONDecodeError:
            continue
    pytest.fail(f"the service ended before it was ready:\n{log.read_text()}")
