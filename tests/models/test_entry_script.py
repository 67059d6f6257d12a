"""The script in a model folder, run as a host runs it: another process, another folder, no torch.

`make test` makes the installation without torch, `.venv-core`.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_networks import SIDE, description, save_network

from calotype import errors
from calotype.models import entry_script, image_model
from calotype.models.image_model import ImageModel
from calotype.scoring.scorer import Scorer

CLASSES = ("01", "dog", "é漢字")
PYTHON = Path(__file__).parents[2] / ".venv-core" / "bin" / "python"


def encoded(color: str, format_name: str, *, size: tuple[int, int] = (20, 12)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, format_name)
    return buffer.getvalue()


def text_of(data: bytes, prefix: str = "") -> str:
    return prefix + base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    folder = tmp_path_factory.mktemp("deployed")
    described = description(CLASSES)
    samples = [encoded("red", "PNG"), encoded("blue", "JPEG")]
    return image_model.save(
        folder / "trained_model_outputs",
        described,
        {
            image_model.ONNX: save_network(folder / "network"),
            **entry_script.files_for(described, samples=samples),
        },
    )


def host(script: Path, requests: list[str], **environment: str) -> list[Any]:
    """Call init() once and run() for each request, in a process of its own."""
    code = (
        "import importlib.util, json, sys\n"
        f"spec = importlib.util.spec_from_file_location('entry', {str(script)!r})\n"
        "entry = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(entry)\n"
        "entry.init()\n"
        "answers = [entry.run(text) for text in json.load(sys.stdin)]\n"
        "assert not {'torch', 'torchvision', 'timm', 'onnx'} & sys.modules.keys()\n"
        "print(json.dumps(answers))\n"
    )
    assert PYTHON.exists(), "run `make test`: it installs Calotype without torch"
    done = subprocess.run(
        [PYTHON, "-W", "error", "-c", code],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_host_runs_it(model: ImageModel, tmp_path: Path) -> None:
    """All in one process, since each start costs a second."""
    script = Path(shutil.copy(model.path / "score.py", tmp_path))  # hosts copy it
    samples = (model.path / "_samples.json").read_text()
    png = encoded("green", "PNG")
    rows: list[Any] = [
        {"image": text_of(png), "id": 7, "category": "dog"},
        {"image": text_of(png, "data:image/png;base64,"), "id": "seven"},
        {"image": text_of(encoded("green", "JPEG"), "data:image/jpeg;base64,")},
        {"image": text_of(encoded("green", "WEBP"), "data:image/webp;base64,"), "category": None},
        {"image": base64.encodebytes(png).decode(), "something": "else"},
        {"image": text_of(png), "id": {"isNan": True}, "category": {"isNan": True}},
        {"image": text_of(png), "id": None, "category": None},
        {"image": text_of(b"no image")},
        {"image": "***"},
        {"image": None},
        {"image": {"isNan": True}},
        {"id": 3},
        "row",
        {"image": text_of(png[: len(png) // 2])},
    ]
    of_samples, mixed, empty = host(
        script,
        [samples, json.dumps(rows), "[]"],
        AZUREML_MODEL_DIR=str(model.path.parent),
    )

    assert empty == {"result": []}
    expected = Scorer(model).predict([encoded("red", "PNG"), encoded("blue", "JPEG")])
    for index, row in enumerate(of_samples["result"]):
        assert row[:2] == [None, index]
        assert row[2:-1] == expected.probabilities[index].tolist()
        assert row[-1] == expected.labels[index]
    assert len(of_samples["result"]) == 2

    good, bad = mixed["result"][:7], mixed["result"][7:]
    (probabilities,) = Scorer(model).predict(png).probabilities.tolist()
    assert good[0] == ["dog", 7, *probabilities, good[0][-1]]
    assert [row[:2] for row in good[1:]] == [[None, "seven"], *[[None, None]] * 5]
    assert good[4][2:] == good[5][2:] == good[6][2:] == good[0][2:]
    for row in good:
        assert len(row) == 2 + len(CLASSES) + 1
        assert row[-1] in CLASSES
    assert [list(row) for row in bad] == [["error"]] * len(bad)
    assert "expected a readable image" in bad[0]["error"]
    assert "expected a row with an image" in bad[3]["error"]


def test_beside_its_model_it_needs_no_variable(
    model: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    (answer,) = host(model.path / "score.py", [(model.path / "_samples.json").read_text()])
    assert len(answer["result"]) == 2


def test_a_request_that_is_no_list_is_refused(model: ImageModel) -> None:
    """The host makes an answer of the exception; nothing was scored."""
    with pytest.raises(AssertionError, match="expected a JSON list of rows"):
        host(model.path / "score.py", ['{"image": ""}'], AZUREML_MODEL_DIR=str(model.path.parent))


def test_the_schema_names_the_columns_and_the_classes(model: ImageModel) -> None:
    schema = json.loads((model.path / "_schema.json").read_text())
    columns = {column["name"]: column for column in schema["columnAttributes"]}
    assert list(columns) == ["image", "id", "category"]
    categories = columns["category"]["properties"]["categories"]
    assert [one["name"] for one in categories] == list(CLASSES)


def test_without_samples_there_is_a_gray_picture_of_the_input_size() -> None:
    (record,) = json.loads(str(entry_script.files_for(description(), samples=[])["_samples.json"]))
    picture = Image.open(io.BytesIO(base64.b64decode(record["image"])))
    assert picture.size == (SIDE, SIDE)


def test_a_sample_that_is_no_image_is_refused_when_it_must_be_shrunk() -> None:
    with pytest.raises(errors.UnreadableFile):
        entry_script.files_for(description(), samples=[bytes(1 << 20)])
