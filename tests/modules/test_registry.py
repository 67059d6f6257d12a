"""Which modules there are, and how they are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from calotype import errors, modules
from calotype.models.architectures import DENSENETS, RESNETS
from calotype.modules import Context, Module, NoParameters
from calotype.modules.densenet import DenseNetParameters
from calotype.modules.resnet import ResNetParameters

OURS = [
    "convert_to_image_directory",
    "split_image_directory",
    "init_image_transformation",
    "apply_image_transformation",
    "resnet",
    "densenet",
    "train_pytorch_model",
    "score_image_model",
    "evaluate_model",
]

PLUGIN = """
from calotype.modules import Module, NoParameters, Port, PortType, register

@register
class CountImages(Module[NoParameters]):
    name = "Count Images"
    category = "Mine"
    summary = "Count."
    inputs = (Port("Images", (PortType.IMAGE_DIRECTORY,)),)
    Parameters = NoParameters

    def run(self, inputs, outputs, parameters, context):
        pass
"""


def run_python(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )


def install(folder: Path, *, entry: str, source: str) -> None:
    """Put a package into a folder as an installer would: its code and its entry points."""
    (folder / "count_images.py").write_text(source)
    metadata = folder / "count_images-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: count-images\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[calotype.modules]\ncount = {entry}\n")


def test_all_documented_modules_are_there_in_the_order_of_the_work() -> None:
    assert [module.key for module in modules.all_modules()] == OURS


@pytest.mark.parametrize(
    "name", ["score_image_model", "Score Image Model", "score-image-model", "SCORE IMAGE MODEL"]
)
def test_a_module_is_found_by_its_key_and_by_its_name(name: str) -> None:
    assert modules.find(name).name == "Score Image Model"


def test_an_unknown_module_gets_a_suggestion() -> None:
    with pytest.raises(errors.UnparsableValue, match=r"Did you mean 'train_pytorch_model'\?"):
        modules.find("Train PyTorch Modell")


def test_a_name_far_from_all_modules_points_to_the_list() -> None:
    with pytest.raises(errors.UnparsableValue, match="calotype module list"):
        modules.find("xyz")


def test_a_second_module_of_the_same_name_is_refused() -> None:
    modules.all_modules()

    class Other(Module[NoParameters]):
        name = "ResNet"
        category = "Mine"
        summary = "Another one."
        Parameters = NoParameters

        def run(
            self,
            inputs: Mapping[str, Path],
            outputs: Mapping[str, Path],
            parameters: NoParameters,
            context: Context,
        ) -> None: ...

    with pytest.raises(errors.OperationFailed, match=r"'ResNet', the name of calotype\.modules"):
        modules.register(Other)
    assert type(modules.find("resnet")) is not Other


def test_architectures_are_those_that_can_be_built() -> None:
    assert get_args(ResNetParameters.model_fields["model_name"].annotation) == RESNETS
    assert get_args(DenseNetParameters.model_fields["model_name"].annotation) == DENSENETS


def test_the_list_loads_no_heavy_library() -> None:
    heavy = ["torch", "torchvision", "timm", "pyarrow", "onnxruntime", "openvino", "sklearn"]
    code = (
        "import sys; from calotype import modules\n"
        "for module in modules.all_modules(): modules.document(module)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert run_python("-c", code).stdout == "[]\n"


@pytest.mark.parametrize("entry", ["count_images", "count_images:CountImages"])
def test_another_package_adds_a_module(tmp_path: Path, entry: str) -> None:
    install(tmp_path, entry=entry, source=PLUGIN)

    listed = run_python("-m", "calotype", "module", "list", "-o", "json", path=tmp_path)

    found: list[dict[str, Any]] = json.loads(listed.stdout)["modules"]
    assert [one["key"] for one in found] == [*OURS, "count_images"]
    assert found[-1]["inputs"][0]["types"] == ["ImageDirectory"]


def test_a_broken_package_is_named(tmp_path: Path) -> None:
    install(tmp_path, entry="count_images", source="import no_such_library")

    listed = run_python("-m", "calotype", "module", "list", path=tmp_path)

    assert listed.returncode == 1
    assert listed.stderr.startswith("error 0039: count_images, from count-images: ")
    assert "No module named 'no_such_library'" in listed.stderr
