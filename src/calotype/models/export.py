"""From a torch network to an image model: weights as safetensors, the network as ONNX, checked."""

from __future__ import annotations

import contextlib
import copy
import logging
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calotype import errors
from calotype.models import entry_script, image_model
from calotype.models.image_model import ImageModel, InnerOutputs, ModelDescription
from calotype.models.inner_outputs import expose
from calotype.models.onnx_file import open_session
from calotype.models.tensors import save_tensors
from calotype.progress import SILENCE, Progress

if TYPE_CHECKING:
    from torch import nn

# Pinned: what is measured in docs/ was exported with it, and every runtime in use reads it.
_OPSET = 18
_TOLERANCE = 1e-4  # relative to the largest output; fp32 on both sides
_CHECKED_IMAGES = 3


def export(
    network: nn.Module,
    description: ModelDescription,
    out: Path,
    *,
    samples: Sequence[bytes] = (),
    extra: Mapping[str, Path | str] | None = None,
    progress: Progress = SILENCE,
) -> ImageModel:
    """Save a trained network as an image model.

    Args:
        network: takes float32 (images, 3, height, width), returns logits (images, classes).
        description: what `model.json` will say.
        out: the folder to write.
        samples: up to three image files, for `_samples.json`.
        extra: more files of the model by name: where they lie, or their text.
        progress: is told which step runs.

    Raises:
        OperationFailed: the network cannot be exported, or the ONNX file does not compute what it
            does.
        AlreadyExists, CannotWrite: `out` cannot be written.
    """
    image_model.check_target(out)
    network = copy.deepcopy(network).cpu().float().eval()
    progress.say("exporting the network to ONNX")
    with tempfile.TemporaryDirectory() as temporary:
        onnx = Path(temporary) / image_model.ONNX
        inner_outputs = to_onnx(network, onnx, input_size=description.input_size)
        check_parity(network, onnx, input_size=description.input_size)
        description = description.model_copy(update={"inner_outputs": inner_outputs})
        weights = Path(temporary) / image_model.WEIGHTS
        save_tensors(network.state_dict(), weights)
        content: dict[str, Path | str] = {image_model.ONNX: onnx, image_model.WEIGHTS: weights}
        content |= entry_script.files_for(description, samples=samples) | dict(extra or {})
        return image_model.save(out, description, content)


def to_onnx(network: nn.Module, path: Path, *, input_size: tuple[int, int]) -> InnerOutputs | None:
    """Write the network as one ONNX file whose batch size is free.

    Args:
        network: in evaluation mode.
        path: the file to write.
        input_size: height and width in pixels.

    Returns:
        What the file gives beside the logits.
    """
    import torch

    example = torch.zeros((2, 3, *input_size))
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=["image"],
                output_names=["logits"],
                opset_version=_OPSET,
                dynamic_shapes=({0: torch.export.Dim("images")},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever the network's code does
        raise _failed("expected torch to export the network", _reason(error)) from error
    if program is None:
        raise _failed("expected torch to export the network", "nothing")
    _strip(program.model)
    inner_outputs = expose(program.model)
    program.save(path, external_data=False)
    return inner_outputs


def _strip(model: Any) -> None:
    """Remove the exporter's notes: they name the folders of the machine that it runs on."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
    for value in (*model.graph.initializers.values(), *model.graph.inputs, *model.graph.outputs):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()


def check_exportable(network: nn.Module, *, input_size: tuple[int, int]) -> None:
    """Export a network for trial, so that nobody trains for hours what cannot be saved.

    Raises:
        OperationFailed: it cannot be exported, or the ONNX file does not compute what it does.
    """
    network = copy.deepcopy(network).eval()
    with tempfile.TemporaryDirectory() as temporary:
        onnx = Path(temporary) / image_model.ONNX
        to_onnx(network, onnx, input_size=input_size)
        check_parity(network, onnx, input_size=input_size)


def check_parity(network: nn.Module, path: Path, *, input_size: tuple[int, int]) -> float:
    """Compare the ONNX file with the network on random images.

    Returns:
        The largest difference of an output, relative to the largest output.

    Raises:
        OperationFailed: the difference is more than 1e-4.
    """
    import torch

    shape = (_CHECKED_IMAGES, 3, *input_size)
    images = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    session = open_session(path)
    (got,) = session.run([session.get_outputs()[0].name], {"image": images})
    difference = float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-12))
    if not difference <= _TOLERANCE:  # also true of NaN
        raise _failed(
            f"expected the exported network to agree with torch within {_TOLERANCE:g}",
            f"a relative difference of {difference:g}",
        )
    return difference


def _reason(error: BaseException) -> str:
    """Return the first line of the first error: those raised on top of it give general advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]


def _failed(expected: str, got: str) -> errors.OperationFailed:
    action = "Report this with the architecture's name and the versions of torch and onnx."
    return errors.OperationFailed(expected, where="ONNX export", got=got, action=action)


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep the exporter's notes about its own progress off the user's terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
