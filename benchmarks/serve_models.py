"""What is served: the diabetes regression and a ResNet-18, and the requests for both."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import photographs
from serve_load import CHECKED, Payloads

CACHE = Path(tempfile.gettempdir()) / "calotype-benchmarks"
PHOTOGRAPHS = CACHE / "500x375-300"
_PHOTOGRAPHS = 300  # the Scorer goes over the folder, requests send the same in turn
_CALIBRATED = 64
_SIZE = (500, 375)

ROWS = [[*range(1, 11)], [*range(10, 0, -1)]]  # the request of the original's tutorial
_BOUNDARY = "calotype-benchmark"


@dataclass(frozen=True, slots=True)
class Diabetes:
    """The Ridge regression as coefficients for the entry script, and as an ONNX file."""

    folder: Path
    onnx: Path
    payloads: Payloads


def diabetes() -> Diabetes:
    """Fit and write the regression and its request."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import train_test_split

    folder = CACHE / "serve-diabetes"
    folder.mkdir(parents=True, exist_ok=True)
    known, _, target, _ = train_test_split(
        *load_diabetes(return_X_y=True), test_size=0.2, random_state=0
    )
    model = Ridge(alpha=0.4).fit(known, target)
    np.savez(folder / "ridge.npz", coefficients=model.coef_, intercept=model.intercept_)
    coefficients = model.coef_.reshape(-1, 1).astype(np.float32)
    constants = [
        numpy_helper.from_array(coefficients, "coefficients"),
        numpy_helper.from_array(np.array([model.intercept_], np.float32), "intercept"),
    ]
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["data", "coefficients", "intercept"], ["prediction"])],
        "ridge",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["rows", len(coefficients)])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["rows", 1])],
        constants,
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "ridge.onnx")
    body = folder / "body.json"
    body.write_text(json.dumps({"data": ROWS}), encoding="utf-8")
    expected = model.predict(np.array(ROWS)).tolist()

    def verify(_: int, answer: Any) -> str:
        got = _numbers(answer)
        close = len(got) == len(expected) and np.allclose(got, expected, rtol=0, atol=0.01)
        return "" if close else f"expected {expected}"

    payloads = Payloads("application/json", (body,), verify)
    return Diabetes(folder, folder / "ridge.onnx", payloads)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [float(value)]


def image_model() -> Path:
    """Make a ResNet-18 of 1,000 classes whose answers depend on the photograph, once."""
    folder = CACHE / "models" / "serve-resnet18"
    if (folder / "model.json").exists():
        return folder
    import torch

    from calotype.images.preprocess import Preprocessing, Preprocessor
    from calotype.models import architectures
    from calotype.models.export import export
    from calotype.models.image_model import Architecture, ModelDescription

    preprocessing = Preprocessing()
    paths = photographs.write(PHOTOGRAPHS, count=_PHOTOGRAPHS, size=_SIZE)[:_CALIBRATED]
    inputs = np.empty(preprocessing.input_shape(len(paths)), np.float32)
    preprocessor = Preprocessor(preprocessing)
    for path, out in zip(paths, inputs, strict=True):
        preprocessor.load(path.read_bytes(), out)
    torch.manual_seed(0)
    network = architectures.build("resnet18", classes=1000)
    _calibrate(network, torch.from_numpy(inputs))
    shutil.rmtree(folder, ignore_errors=True)
    description = ModelDescription(
        architecture=Architecture(name="resnet18"),
        classes=tuple(f"class {index}" for index in range(1000)),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
    )
    export(network, description, folder)
    return folder


def _calibrate(network: Any, inputs: Any) -> None:
    """Give random weights the statistics of trained ones, so that photographs get labels apart."""
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
    with torch.inference_mode(False), torch.no_grad():
        network.train()(inputs)
        logits = network.eval()(inputs)
        scale = 2.0 / (logits - logits.mean(0)).std()
        network.fc.weight *= scale
        network.fc.bias.copy_(-(logits.mean(0) - network.fc.bias) * scale)


def image_payloads(model: Path, kind: str) -> Payloads:
    """Write the requests for one kind of server.

    Args:
        model: the image model, whose Scorer says what the answers must be.
        kind: bytes, base64 (`{"image": ...}`), multipart or v2.
    """
    from calotype.scoring.scorer import Scorer

    paths = photographs.write(PHOTOGRAPHS, count=_PHOTOGRAPHS, size=_SIZE)
    content_type, make = _BODIES[kind]
    folder = CACHE / "serve-bodies" / kind
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for path in paths:
        files.append(folder / path.stem)
        files[-1].write_bytes(make(path.read_bytes()))
    scores = Scorer(model, "fp32").predict(list(paths[:CHECKED]))

    def verify(index: int, answer: Any) -> str:
        got = _image_answer(answer)
        expected = scores.probabilities[index]
        probabilities = [got["Scored Probabilities"][name] for name in scores.classes]
        if got["Scored Labels"] != scores.labels[index]:
            return f"expected {scores.labels[index]}, got {got['Scored Labels']}"
        apart = float(np.abs(np.array(probabilities) - expected).max())
        return "" if apart <= 1e-3 else f"a probability is off by {apart:.4f}"

    return Payloads(content_type, tuple(files), verify)


def _image_answer(answer: Any) -> Any:
    if isinstance(answer, list):
        (answer,) = answer
    if "outputs" in answer:  # V2
        return json.loads(answer["outputs"][0]["data"][0])
    return answer


def _base64(content: bytes) -> bytes:
    return json.dumps({"image": base64.b64encode(content).decode("ascii")}).encode()


def _v2(content: bytes) -> bytes:
    encoded = base64.b64encode(content).decode("ascii")
    described: dict[str, Any] = {"name": "image", "shape": [1, 1], "datatype": "BYTES"}
    described |= {"data": [encoded], "parameters": {"content_type": "base64"}}
    return json.dumps({"inputs": [described]}).encode()


def _multipart(content: bytes) -> bytes:
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="one.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


_BODIES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "bytes": ("image/jpeg", bytes),
    "base64": ("application/json", _base64),
    "multipart": (f"multipart/form-data; boundary={_BOUNDARY}", _multipart),
    "v2": ("application/json", _v2),
}

KINDS: Sequence[str] = tuple(_BODIES)
