"""A client that openapi-generator makes from the live document calls the live service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import openapi_generator_cli
import pytest
from running import serving

KEY = "a-key-for-the-test"
SCORE = """
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

def init():
    global model
    features, target = load_diabetes(return_X_y=True)
    train, _, train_target, _ = train_test_split(features, target, test_size=0.2, random_state=0)
    model = Ridge(alpha=0.4).fit(train, train_target)

@input_schema("data", NumpyParameterType(np.zeros((1, 10))))
@output_schema(NumpyParameterType(np.zeros(1)))
def run(data):
    return model.predict(data).tolist()
"""
ROWS = [
    [0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635,
     -0.0359677812752396, -0.0266789028311707, -0.0249926566315915, -0.00259226199818282,
     0.00371173823343597, 0.0403433716478807],
    [-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822,
     0.0479653430750293, 0.0293746718291555, -0.0176293810234174, 0.0343088588777263,
     0.0702112981933102, 0.00720651632920303],
]  # fmt: skip
PUBLISHED = [217.67978776218715, 224.78937091757172]

CALL = """
import json, sys
import calotype_client
from calotype_client.api.default_api import DefaultApi
from calotype_client.models.service_input import ServiceInput

configuration = calotype_client.Configuration()
assert configuration.host == sys.argv[1], configuration.host
configuration.api_key["Bearer"] = sys.argv[2]
configuration.api_key_prefix["Bearer"] = "Bearer"
with calotype_client.ApiClient(configuration) as client:
    api = DefaultApi(client)
    assert api.service_health_check() == "Healthy"
    rows = json.loads(sys.argv[3])
    print(json.dumps(api.run_ml_service(ServiceInput(data=rows))))
"""


@pytest.mark.slow
def test_generated_python_client_gets_the_published_numbers(tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None:
        # .ci/run says "optional" where it may not install what is missing.
        wanted = os.environ.get("CALOTYPE_TOOLCHAINS", "required" if os.environ.get("CI") else "")
        say = pytest.fail if wanted == "required" else pytest.skip
        say("java not found, for openapi-generator: apt-get install default-jdk-headless")
    (tmp_path / "score.py").write_text(SCORE)
    arguments = ("--entry-script", tmp_path / "score.py", "--auth", "key")
    with serving(tmp_path, *arguments, variables={"CALOTYPE_PRIMARY_KEY": KEY}) as program:
        (tmp_path / "swagger.json").write_bytes(program.ask("GET", "/swagger.json").body)
        address = program.facts["health_uri"].rstrip("/")
        generate(java, tmp_path)
        (tmp_path / "call.py").write_text(CALL)
        done = subprocess.run(
            [sys.executable, tmp_path / "call.py", address, KEY, json.dumps(ROWS)],
            env={**os.environ, "PYTHONPATH": str(tmp_path / "client")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx(PUBLISHED, abs=0.01)


def generate(java: str, folder: Path) -> None:
    jar = Path(openapi_generator_cli.__file__).with_name("openapi-generator.jar")
    options = ["-i", folder / "swagger.json", "-o", folder / "client"]
    options += ["--package-name", "calotype_client"]
    subprocess.run(
        [java, "-jar", jar, "generate", "-g", "python", *options],
        capture_output=True,
        check=True,
        timeout=120,
    )
