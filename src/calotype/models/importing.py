"""Making an image model of weights that somebody else trained: ONNX, safetensors, state dicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from calotype import errors
from calotype.images.preprocess import Preprocessing
from calotype.models import architectures, entry_script, image_model, pretrained
from calotype.models.image_model import Architecture, ImageModel, ModelDescription
from calotype.models.onnx_file import import_onnxruntime, open_session
from calotype.progress import SILENCE, Progress

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ChannelOrder = Literal["RGB", "BGR"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """What a weights file does not say about itself; None is found out or takes its default.

    Attributes:
        architecture: the network of a state dictionary.
        resize: length of the shorter side before the crop, in pixels (default: the input side
            times 256 / 224, the usual ratio).
        input_size: height and width of the network's input, in pixels, where the file leaves it
            open (default: 224 x 224).
        mean: subtracted per channel, RGB order, scale 0-1.
        std: divided by per channel, RGB order, scale 0-1.
        channel_order: what the network takes.
        output: whether the network's outputs are logits or probabilities.
    """

    architecture: str | None = None
    resize: int | None = None
    input_size: tuple[int, int] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channel_order: ChannelOrder = "RGB"
    output: Literal["logits", "probabilities"] | None = None


def import_model(
    file: Path,
    classes: Sequence[str],
    out: Path,
    *,
    options: ImportOptions | None = None,
    progress: Progress = SILENCE,
) -> ImageModel:
    """Make an image model of a weights file and class names.

    Args:
        file: `.onnx` (needs no torch), or `.safetensors`, `.pth` or `.pt` with the state
            dictionary of a known architecture (needs torch).
        classes: names in index order.
        out: the folder to write.
        options: what the file does not say about itself.
        progress: is told which step runs.

    Raises:
        UnreadableFile: there is no such file.
        CorruptModel: the file is damaged, or is not what its suffix says.
        InvalidModel: the network does not map images to one score per class.
        UnparsableValue: the architecture is missing or unknown.
    """
    options = options or ImportOptions()
    image_model.check_target(out)
    if not file.is_file():
        raise errors.UnreadableFile(
            "expected a weights file (.onnx, .safetensors, .pth, .pt)",
            where=str(file),
            got="a folder" if file.is_dir() else "no such file",
        )
    if file.suffix.lower() == ".onnx":
        return _import_onnx(file, classes, out, options)
    if file.suffix.lower() in (".safetensors", ".pth", ".pt"):
        return _import_state(file, classes, out, options, progress)
    raise errors.UnparsableFile(
        "expected a file named .onnx, .safetensors, .pth or .pt",
        where=str(file),
        got=f"'{file.suffix}'",
        action="Export the network to ONNX in its own framework.",
    )


def _import_onnx(
    file: Path, classes: Sequence[str], out: Path, options: ImportOptions
) -> ImageModel:
    # From its content, so that a file which wants weights from other files is refused here.
    session = open_session(file.read_bytes(), where=str(file))
    signature = _signature(session, file, options)
    preprocessing = _preprocessing(
        options, signature.input_size, layout=signature.layout, architecture=None
    )
    outputs = _try(session, file, signature)
    _check_class_count(file, outputs.shape[1], classes)
    output = options.output or ("probabilities" if _are_probabilities(outputs) else "logits")
    description = ModelDescription(
        architecture=Architecture(name="onnx", arguments={"file": file.name}),
        classes=tuple(classes),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
        input_name=signature.input_name,
        output_name=signature.output_name,
        output=output,
        is_batch_dynamic=signature.is_batch_dynamic,
        versions={"onnxruntime": import_onnxruntime().__version__},
    )
    content: dict[str, Path | str] = {image_model.ONNX: file}
    return image_model.save(
        out, description, content | entry_script.files_for(description, samples=[])
    )


@dataclass(frozen=True, slots=True)
class _Signature:
    """What an ONNX file takes and gives."""

    input_name: str
    output_name: str
    layout: Literal["NCHW", "NHWC"]
    input_size: tuple[int, int]
    is_batch_dynamic: bool

    def input_shape(self, images: int) -> tuple[int, ...]:
        if self.layout == "NCHW":
            return (images, 3, *self.input_size)
        return (images, *self.input_size, 3)


def _signature(session: InferenceSession, file: Path, options: ImportOptions) -> _Signature:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape: list[Any] = list(inputs[0].shape) if len(inputs) == 1 else []
    if len(shape) != 4 or inputs[0].type != "tensor(float)" or 3 not in (shape[1], shape[3]):
        found = "; ".join(f"{one.name}: {one.type} {one.shape}" for one in inputs)
        raise _not_for_images(
            file, "one float input of shape (images, 3, height, width) or channels last", found
        )
    layout = "NCHW" if shape[1] == 3 else "NHWC"
    sides = shape[2:] if layout == "NCHW" else shape[1:3]
    height, width = (side if isinstance(side, int) and side > 0 else None for side in sides)
    given = options.input_size or (224, 224)
    size = (height or given[0], width or given[1])
    if options.input_size not in (None, size):
        raise _not_for_images(file, f"an input of {options.input_size} pixels", str(size))
    return _Signature(
        input_name=inputs[0].name,
        output_name=outputs[0].name,
        layout=layout,
        input_size=size,
        is_batch_dynamic=not isinstance(shape[0], int),
    )


def _try(session: InferenceSession, file: Path, signature: _Signature) -> np.ndarray[Any, Any]:
    """Run the network on noise; a network that cannot do that cannot score photographs."""
    images = 2 if signature.is_batch_dynamic else 1
    shape = signature.input_shape(images)
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    try:
        (outputs,) = session.run([signature.output_name], {signature.input_name: noise})
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise errors.CorruptModel(
            "expected a network that runs", where=str(file), got=str(error).splitlines()[0]
        ) from error
    outputs = np.asarray(outputs)
    if outputs.dtype.kind != "f" or outputs.size % images or outputs.shape[0] != images:
        raise _not_for_images(
            file, "one row of scores per image", f"{outputs.dtype} {outputs.shape}"
        )
    return outputs.reshape(images, -1)


def _are_probabilities(outputs: np.ndarray[Any, Any]) -> bool:
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1.0, atol=1e-3))


def _import_state(
    file: Path, classes: Sequence[str], out: Path, options: ImportOptions, progress: Progress
) -> ImageModel:
    if options.architecture is None:
        raise errors.EmptyInput(
            "expected the network that the state dictionary belongs to",
            where="parameter 'architecture'",
            got="none",
            action="Add --architecture, for example resnet18.",
        )
    from calotype.models.export import export

    network = architectures.build(options.architecture, classes=len(classes))
    state = pretrained.rename(pretrained.read_state(file), network)
    head = architectures.head_name(network, options.architecture)
    weight = state.get(f"{head}.weight")
    if weight is not None:
        _check_class_count(file, weight.shape[0], classes)
    pretrained.load_into(network, options.architecture, file, keep_head=True)
    preprocessing = _preprocessing(
        options, options.input_size or (224, 224), architecture=options.architecture
    )
    description = ModelDescription(
        architecture=Architecture(name=options.architecture),
        classes=tuple(classes),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
        training={"imported_from": file.name},
    )
    return export(network, description, out, progress=progress)


def _preprocessing(
    options: ImportOptions,
    input_size: tuple[int, int],
    *,
    architecture: str | None,
    layout: Literal["NCHW", "NHWC"] = "NCHW",
) -> Preprocessing:
    normalization = (
        architectures.normalization_of(architecture)
        if architecture is not None
        else architectures.Normalization()
    )
    mean, std = options.mean or normalization.mean, options.std or normalization.std
    if options.channel_order == "BGR":
        mean, std = mean[::-1], std[::-1]
    return Preprocessing.of(
        {
            "resize": options.resize or round(min(input_size) * 256 / 224),
            "crop_height": input_size[0],
            "crop_width": input_size[1],
            "mean": mean,
            "std": std,
            "channel_order": options.channel_order,
            "layout": layout,
        }
    )


def _check_class_count(file: Path, outputs: int, classes: Sequence[str]) -> None:
    if outputs != len(classes):
        raise errors.InvalidModel(
            f"expected {outputs} class names, one for each output of the network",
            where=str(file),
            got=str(len(classes)),
            action="Give the names in the order of the outputs.",
        )


def _not_for_images(file: Path, expected: str, got: str) -> errors.InvalidModel:
    return errors.InvalidModel(
        f"expected a network for image classification: {expected}", where=str(file), got=got
    )
