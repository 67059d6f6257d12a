"""Registered models are served: without a script, with one, with TLS and with variables."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from pathlib import Path

import numpy as np
import pytest
import trustme
from hosted import Hosted

LISTS = """
import os
from pathlib import Path


def init():
    pass


def run(data):
    folder = Path(os.environ["AZUREML_MODEL_DIR"])
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {"files": files, "variable": os.environ.get("COLOUR"), "folder": str(folder)}
"""


@pytest.mark.slow
def test_a_scikit_learn_model_needs_no_script(hosted: Hosted, tmp_path: Path) -> None:
    skops_io = pytest.importorskip("skops.io")
    from sklearn.linear_model import Ridge

    model = Ridge().fit(np.array([[0.0], [1.0]]), np.array([0.0, 2.0]))
    path = tmp_path / "ridge.skops"
    skops_io.dump(model, path)
    hosted.workspace.models.register(path, "ridge")
    hosted.add("ridge", "", models=["ridge:1"])
    hosted.until_state("ridge", "Healthy", limit_s=90)
    status, answer = hosted.score("ridge", [[1.0]])
    assert status == 200, answer


def test_what_nothing_of_ours_serves_needs_a_script(hosted: Hosted, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"weights")
    hosted.workspace.models.register(tmp_path / "weights.bin", "raw")
    hosted.add("raw", "", models=["raw:1"])
    seen = hosted.until_state("raw", "Failed")
    assert seen.error is not None
    assert "entry script" in seen.error["message"]
    assert "azureml-models/raw/1/weights.bin" in seen.error["files"]


def test_a_script_finds_models_and_variables(hosted: Hosted, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.bin").write_bytes(name.encode())
        hosted.workspace.models.register(tmp_path / f"{name}.bin", name)
    environment: dict[str, object] = {"name": "mine", "environment_variables": {"COLOUR": "red"}}
    hosted.add("single", LISTS, models=["one:1"], environment=environment)
    hosted.add("both", LISTS, models=["one:1", "two:1"])
    hosted.until_state("single", "Healthy")
    single = hosted.score("single")[1]
    assert (single["files"], single["variable"]) == (["one.bin"], "red")
    assert single["folder"].endswith("azureml-models/one/1")
    hosted.until_state("both", "Healthy")
    assert hosted.score("both")[1]["files"] == ["one/1/one.bin", "two/1/two.bin"]


def test_a_service_speaks_tls_with_its_certificate(hosted: Hosted, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    access = {"tls_certificate": str(certificate), "tls_key": str(key)}
    hosted.add("safe", target="instance", access=access)
    seen = hosted.until_state("safe", "Healthy")
    assert seen.scoring_uri == f"https://localhost:{hosted.port('safe')}/score"
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with contextlib.closing(
        http.client.HTTPSConnection("localhost", hosted.port("safe"), timeout=30, context=context)
    ) as connection:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/score", json.dumps({"data": 1}), headers)
        assert connection.getresponse().status == 200
