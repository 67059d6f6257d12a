"""Making an image model of weights that somebody else trained: ONNX, safetensors, state dicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from calotype import errors
from calotype.images.preprocess import Preprocessing
from calotype.models import architectures, entry_script, image_model, original, pretrained
from calotype.models.image_model import Architecture, ImageModel, ModelDescription
from calotype.models.onnx_file import import_onnxruntime, open_session
from calotype.progress import SILENCE, Progress

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import nn

ChannelOrder = Literal["RGB", "BGR"]
Layout = Literal["NCHW", "NHWC"]

_DEFAULT_SIZE = (224, 224)
_SUFFIXES = (".onnx", *pretrained.SUFFIXES)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """What a weights file does not say about itself; None is found out or takes its default.

    Attributes:
        architecture: the network of a state dictionary.
        resize: length of the shorter side before the crop, in pixels (default: the longer side of
            the input times 256 / 224, the usual ratio).
        input_size: height and width of the network's input, in pixels, where the file leaves it
            open (default: 224 x 224).
        mean: subtracted per channel, RGB order, scale 0-1 (default: what the architecture's
            pretrained weights expect, or ImageNet's).
        std: divided by per channel, RGB order, scale 0-1 (default: likewise).
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
    classes: Sequence[str] | None,
    out: Path,
    *,
    options: ImportOptions | None = None,
    progress: Progress = SILENCE,
) -> ImageModel:
    """Make an image model of a weights file and class names.

    Args:
        file: `.onnx` (needs no torch), or `.safetensors`, `.pth` or `.pt` with the state
            dictionary of a known architecture (needs torch), or the folder of a model that the
            retired designer trained (needs torch).
        classes: names in index order; None where the folder has them.
        out: the folder to write.
        options: what the file does not say about itself.
        progress: is told which step runs.

    Raises:
        UnreadableFile: there is no such file.
        CorruptModel: the file is damaged, or is not what its suffix says.
        InvalidModel: the network does not map images to one score per class, or the folder is
            another one.
        ParameterError: the architecture or the class names are missing, or a size or number is
            unusable.
        AlreadyExists, CannotWrite: `out` cannot be written.
    """
    options = options or ImportOptions()
    image_model.check_target(out)
    if (folder := original.find(file)) is not None:
        return _import_original(folder, classes, out, options, progress)
    if not file.is_file():
        raise errors.UnreadableFile(
            f"expected a weights file ({', '.join(_SUFFIXES)})",
            where=str(file),
            got=f"a folder without {original.SPECIFICATION}" if file.is_dir() else "no such file",
        )
    if file.suffix.lower() not in _SUFFIXES:
        raise errors.UnparsableFile(
            f"expected a file named {', '.join(_SUFFIXES)}",
            where=str(file),
            got=f"'{file.suffix}'",
            action="Export the network to ONNX in its own framework.",
        )
    if classes is None:
        raise errors.EmptyInput(
            "expected class names in index order", where="parameter 'classes'", got="none"
        )
    classes = image_model.check_classes(classes, where="class names")
    if file.suffix.lower() == ".onnx":
        return _import_onnx(file, classes, out, options)
    return _import_state(file, classes, out, options, progress)


def _import_onnx(
    file: Path, classes: Sequence[str], out: Path, options: ImportOptions
) -> ImageModel:
    # From its content, so that a file which wants weights from other files is refused here.
    session = open_session(file.read_bytes(), where=str(file))
    network = _network_of(session, file, options, classes=len(classes))
    preprocessing = _preprocessing(
        options, network.input_size, architectures.Normalization(), layout=network.layout
    )
    is_batch_dynamic, outputs = _try(session, file, network)
    _check_class_count(file, outputs.shape[1], classes)
    description = ModelDescription(
        architecture=Architecture(name="onnx", arguments={"file": file.name}),
        classes=tuple(classes),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
        input_name=network.input_name,
        output_name=network.output_name,
        output=options.output or ("probabilities" if _are_probabilities(outputs) else "logits"),
        is_batch_dynamic=is_batch_dynamic,
        versions={"onnxruntime": import_onnxruntime().__version__},
    )
    content: dict[str, Path | str] = {image_model.ONNX: file}
    return image_model.save(
        out, description, content | entry_script.files_for(description, samples=[])
    )


@dataclass(frozen=True, slots=True)
class _Network:
    """What an ONNX file takes and gives."""

    input_name: str
    output_name: str
    layout: Layout
    input_size: tuple[int, int]
    has_free_batch: bool

    def noise(self, images: int) -> NDArray[np.float32]:
        sides = (3, *self.input_size) if self.layout == "NCHW" else (*self.input_size, 3)
        random = np.random.default_rng(0)
        return random.standard_normal((images, *sides), dtype=np.float32)


def _network_of(
    session: InferenceSession, file: Path, options: ImportOptions, *, classes: int
) -> _Network:
    inputs = session.get_inputs()
    shape: list[Any] = list(inputs[0].shape) if len(inputs) == 1 else []
    layout = _layout_of(shape)
    if layout is None or inputs[0].type != "tensor(float)":
        found = "; ".join(f"{one.name}: {one.type} {one.shape}" for one in inputs)
        raise _not_for_images(
            file, "one float input of shape (images, 3, height, width) or channels last", found
        )
    if isinstance(shape[0], int) and shape[0] != 1:
        raise _not_for_images(file, "a batch size that is free, or 1", str(shape[0]))
    return _Network(
        input_name=inputs[0].name,
        output_name=_output_of(session, classes),
        layout=layout,
        input_size=_input_size(file, shape[2:] if layout == "NCHW" else shape[1:3], options),
        has_free_batch=not isinstance(shape[0], int),
    )


def _layout_of(shape: list[Any]) -> Layout | None:
    """Return where the three channels are; first, when the file leaves all sides open."""
    if len(shape) != 4:
        return None
    if shape[1] == 3 or not any(isinstance(side, int) for side in shape[1:]):
        return "NCHW"
    return "NHWC" if shape[3] == 3 else None


def _input_size(file: Path, sides: list[Any], options: ImportOptions) -> tuple[int, int]:
    given = options.input_size or _DEFAULT_SIZE
    height, width = (
        side if isinstance(side, int) else wanted for side, wanted in zip(sides, given, strict=True)
    )
    if options.input_size not in (None, (height, width)):
        raise _not_for_images(file, f"an input of {options.input_size} pixels", f"{sides}")
    return height, width


def _output_of(session: InferenceSession, classes: int) -> str:
    """Return the first output with one number per class, of those that a network may have."""
    outputs = session.get_outputs()
    fitting = (one.name for one in outputs if len(one.shape) > 1 and one.shape[1] == classes)
    return next(fitting, outputs[0].name)


def _try(
    session: InferenceSession, file: Path, network: _Network
) -> tuple[bool, NDArray[np.floating]]:
    """Run the network on noise; one that cannot do that cannot score photographs.

    Returns:
        Whether it takes several images at a time without mixing them up, and its outputs for some,
        shape (images, numbers).
    """
    noise = network.noise(2)
    one = _run(session, file, network, noise[:1])
    if not network.has_free_batch:
        return False, one
    try:
        two = _run(session, file, network, noise)
    except errors.ModelError:  # an operation inside has room for one image only
        return False, one
    return bool(np.allclose(two[:1], one, rtol=1e-3, atol=1e-4)), one


def _run(
    session: InferenceSession, file: Path, network: _Network, images: NDArray[np.float32]
) -> NDArray[np.floating]:
    try:
        (outputs,) = session.run([network.output_name], {network.input_name: images})
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise errors.CorruptModel(
            "expected a network that runs", where=str(file), got=str(error).splitlines()[0]
        ) from error
    outputs = np.asarray(outputs)
    is_row_each = outputs.ndim > 1 and outputs.shape[0] == len(images)
    if outputs.dtype.kind != "f" or not is_row_each:
        raise _not_for_images(
            file, "one row of scores per image", f"{outputs.dtype} {outputs.shape}"
        )
    if not np.isfinite(outputs).all():
        raise _not_for_images(file, "finite scores for any image", "infinite ones, or none")
    return outputs.reshape(len(images), -1)


def _are_probabilities(outputs: NDArray[np.floating]) -> bool:
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
    architecture = options.architecture
    network = architectures.build(architecture, classes=len(classes))
    state = pretrained.rename(pretrained.read_state(file), network)
    (head, *_) = architectures.head_names(network, architecture)
    if (weight := state.get(f"{head}.weight")) is not None:
        _check_class_count(file, weight.shape[0], classes)
    pretrained.load_state(network, architecture, state, file, keep_head=True)
    return _export(
        network,
        Architecture(name=architecture),
        classes,
        out,
        options=options,
        normalization=architectures.normalization_of(architecture),
        training={"imported_from": file.name},
        progress=progress,
    )


def _import_original(
    folder: Path,
    classes: Sequence[str] | None,
    out: Path,
    options: ImportOptions,
    progress: Progress,
) -> ImageModel:
    """Import a model that the retired designer trained; it knows its network and its labels."""
    read = original.read(folder)
    if options.architecture not in (None, read.architecture):
        raise errors.UnparsableValue(
            f"expected '{read.architecture}', which the model itself says, or nothing",
            where="parameter 'architecture'",
            got=f"'{options.architecture}'",
        )
    if classes is not None:
        classes = image_model.check_classes(classes, where="class names")
        _check_class_count(read.file, len(read.classes), classes)
    return _export(
        read.network,
        Architecture(name=read.architecture, arguments=read.arguments),
        read.classes if classes is None else classes,
        out,
        options=options,
        normalization=read.normalization,
        training={"imported_from": folder.name},
        progress=progress,
    )


def _export(
    network: nn.Module,
    architecture: Architecture,
    classes: Sequence[str],
    out: Path,
    *,
    options: ImportOptions,
    normalization: architectures.Normalization,
    training: dict[str, Any],
    progress: Progress,
) -> ImageModel:
    input_size = options.input_size or _DEFAULT_SIZE
    preprocessing = _preprocessing(options, input_size, normalization, layout="NCHW")
    size = preprocessing.input_size
    architectures.check_fit(network, architecture.name, classes=len(classes), input_size=size)
    description = ModelDescription(
        architecture=architecture,
        classes=tuple(classes),
        input_size=size,
        preprocessing=preprocessing,
        training=training,
    )
    from calotype.models.export import export

    return export(network, description, out, progress=progress)


def _preprocessing(
    options: ImportOptions,
    input_size: tuple[int, int],
    normalization: architectures.Normalization,
    *,
    layout: Layout,
) -> Preprocessing:
    mean, std = options.mean or normalization.mean, options.std or normalization.std
    if min(std) <= 0:
        raise errors.NotGreater("must be greater than 0", where="parameter 'std'", got=str(std))
    if options.channel_order == "BGR":
        mean, std = mean[::-1], std[::-1]
    resize = round(max(input_size) * 256 / 224) if options.resize is None else options.resize
    return Preprocessing.of(
        {
            "resize": resize,
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
