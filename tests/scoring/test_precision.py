"""Which precision `auto` takes, and what asking for one says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from calotype import errors
from calotype.models.image_model import INT8_ONNX, Agreement, ImageModel
from calotype.scoring.precision import fastest_to_trust, open_runtime
from calotype.scoring.runtimes import Precision, openvino


class Listener:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def begin(self, task: str, *, total: int | None, unit: str) -> None: ...
    def advance(self, count: int = 1, *, note: str = "") -> None: ...
    def end(self) -> None: ...


def measured(model: ImageModel, folder: Path, **agreements: Agreement) -> ImageModel:
    shutil.copytree(model.path, folder)
    precisions = {f"openvino:{name}": value for name, value in agreements.items()}
    return ImageModel.load(folder).with_description(precisions=precisions)


def agreement(labels: float, speedup: float = 2.0, drop: float = 0.0) -> Agreement:
    return Agreement(
        images=500,
        label_agreement=labels,
        accuracy=0.9 - drop,
        fp32_accuracy=0.9,
        images_per_s=100.0 * speedup,
        fp32_images_per_s=100.0,
    )


@pytest.mark.parametrize(
    ("agreements", "expected"),
    [
        ({}, "fp32"),
        ({"bf16": agreement(0.995)}, "bf16"),
        ({"bf16": agreement(0.98)}, "fp32"),
        ({"bf16": agreement(0.995, drop=0.006)}, "fp32"),
        ({"bf16": agreement(0.995), "int8": agreement(0.99, speedup=4)}, "int8"),
        ({"bf16": agreement(0.995, speedup=2), "int8": agreement(0.99, speedup=1.5)}, "bf16"),
        ({"int8": agreement(1.0, speedup=0.9)}, "fp32"),
    ],
)
def test_auto_takes_the_fastest_that_was_measured_to_agree(
    model: ImageModel, tmp_path: Path, agreements: dict[str, Agreement], expected: Precision
) -> None:
    assert fastest_to_trust(measured(model, tmp_path / "m", **agreements)) == expected


def test_auto_leaves_out_what_the_processor_does_not_compute_in(
    model: ImageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: str) -> bool:
        return False

    monkeypatch.setattr(openvino, "has_in_hardware", none)
    found = measured(model, tmp_path / "m", bf16=agreement(0.995))
    assert fastest_to_trust(found) == "fp32"
    with pytest.raises(errors.OperationFailed, match="expected a CPU that computes in bf16"):
        open_runtime(found, precision="bf16", threads=1)


def test_fp32_is_onnx_runtimes_and_the_rest_openvinos(model: ImageModel) -> None:
    for precision, name in (("fp32", "onnxruntime"), ("bf16", "openvino"), ("int8", "openvino")):
        runtime = open_runtime(model, precision=precision, threads=1)  # pyright: ignore
        assert (runtime.name, runtime.precision) == (name, precision)


def test_an_unmeasured_precision_warns_and_fp32_does_not(model: ImageModel, tmp_path: Path) -> None:
    unmeasured = measured(model, tmp_path / "m")
    listener = Listener()
    open_runtime(unmeasured, precision="bf16", threads=1, progress=listener)
    assert ["nobody has measured" in said for said in listener.said] == [True]
    open_runtime(unmeasured, precision="fp32", threads=1, progress=listener)
    assert len(listener.said) == 1


def test_int8_without_its_file_is_one_clear_error(
    imagenet_model: ImageModel, tmp_path: Path
) -> None:
    assert not imagenet_model.has(INT8_ONNX)
    with pytest.raises(errors.WeightsNotFound, match="calotype model optimize") as caught:
        open_runtime(imagenet_model, precision="int8", threads=1)
    assert caught.value.number == 162


def test_a_damaged_network_is_refused(model: ImageModel, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(model.path, folder)
    data = bytearray((folder / "model.onnx").read_bytes())
    data[1000] ^= 1
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(errors.CorruptModel):
        open_runtime(ImageModel.load(folder), precision="fp32", threads=1)
