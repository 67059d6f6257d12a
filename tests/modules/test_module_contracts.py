"""Ports, parameters, defaults and ranges are the documented ones, and all have documentation."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from calotype import errors, modules
from calotype.modules import AnyModule, Port

REQUIRED = object()

# The original's documentation; what is ours stands in OURS. Ports: (name, types).
PORTS: dict[str, tuple[list[tuple[str, list[str]]], list[tuple[str, list[str]]]]] = {
    "Convert to Image Directory": (
        [("Input dataset", ["AnyDirectory", "ZipFile"])],
        [("Output image directory", ["ImageDirectory"])],
    ),
    "Init Image Transformation": (
        [],
        [("Output image transformation", ["TransformationDirectory"])],
    ),
    "Apply Image Transformation": (
        [
            ("Input image transformation", ["TransformationDirectory"]),
            ("Input image directory", ["ImageDirectory"]),
        ],
        [("Output image directory", ["ImageDirectory"])],
    ),
    "Split Image Directory": (
        [("Input image directory", ["ImageDirectory"])],
        [
            ("Output image directory1", ["ImageDirectory"]),
            ("Output image directory2", ["ImageDirectory"]),
        ],
    ),
    "DenseNet": ([], [("Untrained model", ["UntrainedModelDirectory"])]),
    "ResNet": ([], [("Untrained model", ["UntrainedModelDirectory"])]),
    "Train PyTorch Model": (
        [
            ("Untrained model", ["UntrainedModelDirectory"]),
            ("Training dataset", ["ImageDirectory"]),
            ("Validation dataset", ["ImageDirectory"]),
        ],
        [("Trained model", ["ModelDirectory"])],
    ),
    "Score Image Model": (
        [("Trained model", ["ModelDirectory"]), ("Dataset", ["ImageDirectory"])],
        [("Scored dataset", ["DataFrameDirectory"])],
    ),
    "Evaluate Model": (
        [
            ("Scored dataset", ["DataFrameDirectory"]),
            ("Scored dataset to compare", ["DataFrameDirectory"]),
        ],
        [("Evaluation results", ["DataFrameDirectory"])],
    ),
}

DEFAULTS: dict[str, dict[str, object]] = {
    "Convert to Image Directory": {},
    "Init Image Transformation": {
        "Resize": True,
        "Size": 256,
        "Center crop": True,
        "Crop size": 224,
        "Pad": False,
        "Padding": 0,
        "Color jitter": False,
        "Grayscale": False,
        "Random resized crop": False,
        "Random size": 256,
        "Random crop": False,
        "Random crop size": 224,
        "Random horizontal flip": True,
        "Random vertical flip": False,
        "Random rotation": False,
        "Random rotation degrees": 0,
        "Random affine": False,
        "Random affine degrees": 0,
        "Random grayscale": False,
        "Random perspective": False,
        "Random erasing": False,
    },
    "Apply Image Transformation": {"Mode": REQUIRED},
    "Split Image Directory": {"Fraction of images in the first output": 0.9},
    "DenseNet": {"Model name": "densenet201", "Pretrained": True, "Memory efficient": False},
    "ResNet": {"Model name": "resnext101_32x8d", "Pretrained": True, "Zero init residual": False},
    "Train PyTorch Model": {
        "Epochs": 5,
        "Batch size": 16,
        "Learning rate": 0.001,
        "Random seed": 1,
        "Patience": 3,
        "Warmup epochs": None,
        "Print frequency": 10,
    },
    "Score Image Model": {},
    "Evaluate Model": {},
}

OURS: dict[str, dict[str, object]] = {
    "Train PyTorch Model": {
        "Recipe": "default",
        "Optimizer": "auto",
        "Schedule": "auto",
        "Label smoothing": None,
        "Balance": "none",
        "Mixup": 0.0,
        "Unfreeze": "auto",
        "Ema": None,
        "Precision": "auto",
        "Accumulate": 1,
        "Max minutes": None,
        "Cache mb": 4096,
    },
    "Split Image Directory": {"Random seed": 0, "Stratify": True},
    "Score Image Model": {
        "Schema check": "warn",
        "Precision": "auto",
        "On error": "skip",
        "Exact decode": False,
        "Calibrated": True,
        "Novelty": False,
    },
}

MODULES = [pytest.param(module, id=module.key) for module in modules.all_modules()]


def defaults_of(module: AnyModule) -> dict[str, object]:
    return {
        one["name"]: REQUIRED if one["is_required"] else one["default"]
        for one in modules.document(module)["parameters"]
    }


def ports_of(ports: tuple[Port, ...]) -> list[tuple[str, list[str]]]:
    return [(port.name, [str(kind) for kind in port.types]) for port in ports]


@pytest.mark.parametrize("module", MODULES)
def test_ports_are_the_documented_ones(module: AnyModule) -> None:
    assert (ports_of(module.inputs), ports_of(module.outputs)) == PORTS[module.name]


@pytest.mark.parametrize("module", MODULES)
def test_parameters_and_defaults_are_the_documented_ones(module: AnyModule) -> None:
    assert defaults_of(module) == DEFAULTS[module.name] | OURS.get(module.name, {})


@pytest.mark.parametrize("module", MODULES)
def test_parameters_that_the_original_lacks_say_so(module: AnyModule) -> None:
    added = {
        one["name"]
        for one in modules.document(module)["parameters"]
        if one["help"].endswith("(Not in the original.)")
    }
    assert added == set(OURS.get(module.name, {}))


@pytest.mark.parametrize("module", MODULES)
def test_everything_is_documented(module: AnyModule) -> None:
    document = modules.document(module)
    texts = {
        module.name: document["summary"],
        **{port["name"]: port["help"] for port in document["inputs"] + document["outputs"]},
        **{one["name"]: one["help"] for one in document["parameters"]},
    }
    assert module.category
    assert [name for name, text in texts.items() if len(text) < 15] == []
    assert [name for name, text in texts.items() if not text.endswith((".", ".)"))] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_parameter_of_ours_has_a_default(module: AnyModule) -> None:
    needed = [name for name, value in defaults_of(module).items() if value is REQUIRED]
    assert needed == [name for name, value in DEFAULTS[module.name].items() if value is REQUIRED]


@pytest.mark.parametrize("module", MODULES)
def test_the_ports_of_a_module_have_different_keys(module: AnyModule) -> None:
    for ports in (module.inputs, module.outputs):
        assert len({port.key for port in ports}) == len(ports)


def test_only_the_comparison_is_optional() -> None:
    optional = [
        (module.name, port.name)
        for module in modules.all_modules()
        for port in module.inputs
        if not port.is_required
    ]
    assert optional == [("Evaluate Model", "Scored dataset to compare")]


@pytest.mark.parametrize(
    ("module", "values", "number"),
    [
        ("init_image_transformation", {"size": 0}, 5),
        ("init_image_transformation", {"padding": -1}, 5),
        ("init_image_transformation", {"random_rotation_degrees": 181}, 8),
        ("init_image_transformation", {"resize": "perhaps"}, 2),
        ("apply_image_transformation", {}, 3),
        ("apply_image_transformation", {"mode": "training"}, 2),
        ("split_image_directory", {"fraction": 0}, 8),
        ("split_image_directory", {"fraction": 1}, 8),
        ("split_image_directory", {"fraction": "nan"}, 2),
        ("resnet", {"model_name": "densenet121"}, 2),
        ("densenet", {"memory_efficient": 7}, 2),
        ("train_pytorch_model", {"epochs": 0}, 4),
        ("train_pytorch_model", {"batch_size": 0}, 4),
        ("train_pytorch_model", {"learning_rate": 0.0}, 4),
        ("train_pytorch_model", {"patience": 0}, 4),
        ("train_pytorch_model", {"epochs": 1.5}, 2),
        ("score_image_model", {"precision": "fp16"}, 2),
        ("score_image_model", {"batch_size": 4}, 2),
        ("evaluate_model", {"anything": 1}, 2),
    ],
)
def test_a_wrong_value_has_its_number_and_names_the_module(
    module: str, values: dict[str, Any], number: int
) -> None:
    found = modules.find(module)
    with pytest.raises(errors.ParameterError, match=f"^{found.name}: parameter '") as caught:
        found.Parameters.of(values, where=found.name)
    assert caught.value.number == number


@pytest.mark.parametrize(
    ("module", "parameter", "said"),
    [
        ("init_image_transformation", "size", "at least 1"),
        ("init_image_transformation", "random_affine_degrees", "0 to 180"),
        ("split_image_directory", "fraction", "greater than 0 and less than 1"),
        ("train_pytorch_model", "learning_rate", "greater than 0 or auto"),
        ("resnet", "pretrained", ""),
    ],
)
def test_ranges_are_said_in_words(module: str, parameter: str, said: str) -> None:
    document = modules.document(modules.find(module))
    assert [one["range"] for one in document["parameters"] if one["key"] == parameter] == [said]


def test_defaults_of_our_own_parameters_are_those_of_the_functions() -> None:
    from calotype.images.split import split
    from calotype.scoring.score import score
    from calotype.scoring.scorer import Scorer

    splitting = inspect.signature(split).parameters
    scoring = {**inspect.signature(Scorer).parameters, **inspect.signature(score).parameters}
    assert modules.find("split_image_directory").Parameters().model_dump() == {
        "fraction": splitting["fraction"].default,
        "random_seed": splitting["seed"].default,
        "stratify": splitting["stratify"].default,
    }
    ours = modules.find("score_image_model").Parameters().model_dump()
    assert ours == {name: scoring[name].default for name in ours}
