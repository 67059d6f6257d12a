"""Which parts of an image a prediction rests on: class activation, or occlusion for any network.

Both work from the ONNX file alone and show the network's input back in the picture that it was cut
from; what was cut off has no part in the prediction, and is 0.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from calotype import errors, files
from calotype.images.decode import Picture
from calotype.images.preprocess import Box
from calotype.scoring.heat_colours import coloured

if TYPE_CHECKING:
    from calotype.scoring.scorer import Scorer

Method = Literal["auto", "activation", "occlusion"]
Heat = NDArray[np.float32]

_LONGEST_SIDE: Final = 1024  # pixels; a heat map has no more to show
_WINDOWS: Final = 9  # along each side: 81 runs of the network at most
_WINDOW_SHARE: Final = 0.2  # of a side: neighbouring windows overlap by half
_SOFTWARE: Final = "Calotype explain"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which parts of a picture speak for a label.

    Attributes:
        picture: the image, upright and RGB, shrunk to at most 1,024 pixels a side.
        heat: 0 for what does not speak for the label, 1 for what does most; float32, shape
            (height, width) of `picture`.
        label: the class that is explained.
        probability: what the model gives it, 0-1.
        method: how the heat was found.
    """

    picture: Image.Image
    heat: Heat
    label: str
    probability: float
    method: Literal["activation", "occlusion"]

    def overlay(self) -> Image.Image:
        """Return the picture in gray with the heat in colour on it."""
        return coloured(self.picture, self.heat)

    def png(self) -> bytes:
        """Return the overlay as the content of a PNG file."""
        note = PngImagePlugin.PngInfo()
        note.add_text("Software", _SOFTWARE)
        note.add_itxt("Description", f"{self.label} {self.probability:.4f} ({self.method})")
        buffer = io.BytesIO()
        self.overlay().save(buffer, "PNG", pnginfo=note)
        return buffer.getvalue()

    def data_uri(self) -> str:
        """Return the overlay as a data URI, for pages and answers in JSON."""
        return "data:image/png;base64," + base64.b64encode(self.png()).decode("ascii")

    def save(self, path: str | Path) -> None:
        """Write the overlay; an earlier one there is replaced.

        Raises:
            UnparsableValue: the name does not end in `.png`.
            AlreadyExists: something else is there.
            CannotWrite: the file cannot be written.
        """
        path = Path(path)
        check_target(path)
        with files.aside(path) as temporary:
            temporary.write_bytes(self.png())


def check_target(path: Path) -> None:
    """Check that an overlay may be written to `path`: a new file, or an earlier overlay.

    Raises:
        UnparsableValue: the name does not end in `.png`.
        AlreadyExists: something else is there.
    """
    if path.suffix.lower() != ".png":
        raise errors.UnparsableValue(
            "expected a name that ends in .png", where=str(path), got=f"'{path.name}'"
        )
    if path.exists() and not _is_overlay(path):
        raise errors.AlreadyExists(
            "expected a new file or an earlier explanation",
            where=str(path),
            action="Choose another name.",
        )


def _is_overlay(path: Path) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get("Software") == _SOFTWARE
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for files that are no PNG
        return False


def explain(scorer: Scorer, picture: Picture, *, label: str | None, method: Method) -> Explanation:
    """Explain the score of one picture; see `Scorer.explain`."""
    wanted = scorer.model.preprocessing
    preprocessor = scorer.preprocessor_for(wanted)
    batch = np.empty(wanted.input_shape(1), np.float32)
    preprocessor.normalize(preprocessor.crop(picture), batch[0])
    probabilities = scorer.infer(batch)[0]
    index = int(probabilities.argmax()) if label is None else _index_of(label, scorer.classes)
    used = _choose(scorer, method)
    found = _activation if used == "activation" else _occlusion
    shown = _shrunk(picture)
    return Explanation(
        picture=shown.image,
        heat=_placed(_scaled(found(scorer, batch, index)), preprocessor.span(shown), shown.image),
        label=scorer.classes[index],
        probability=float(probabilities[index]),
        method=used,
    )


def _index_of(label: str, classes: tuple[str, ...]) -> int:
    if label not in classes:
        raise errors.UnparsableValue(
            "expected a class of the model",
            where="parameter 'label'",
            got=f"'{label}'",
            action=errors.suggest(label, classes),
        )
    return classes.index(label)


def _choose(scorer: Scorer, method: Method) -> Literal["activation", "occlusion"]:
    inner = scorer.model.description.inner_outputs
    has_map = inner is not None and inner.feature_map is not None
    if method == "auto":
        return "activation" if has_map else "occlusion"
    if method == "activation" and not has_map:
        raise errors.UnparsableValue(
            "expected a network that averages one feature map before its last layer, and was "
            "trained or imported with this version",
            where="parameter 'method'",
            got=f"'activation' for {scorer.model.description.architecture.name}",
            action="Use 'occlusion', which works with any network.",
        )
    return method


def _activation(scorer: Scorer, batch: NDArray[np.float32], index: int) -> Heat:
    """Return how much each position of the feature map adds to the class's logit.

    Zhou et al., "Learning Deep Features for Discriminative Localization", 2016. The weights are
    those of the class minus the mean of all, because the softmax sees differences only.
    """
    description = scorer.model.description
    inner = description.inner_outputs
    assert inner is not None
    feature_map, weights = scorer.reference_session.run(
        [inner.feature_map, inner.class_weights], {description.input_name: batch}
    )
    own = np.asarray(weights)[index] - np.asarray(weights).mean(axis=0)
    return np.einsum("chw,c->hw", np.asarray(feature_map)[0], own)


def _occlusion(scorer: Scorer, batch: NDArray[np.float32], index: int) -> Heat:
    """Return how much less probable the class becomes when each part is hidden.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014. A window in
    the image's mean colour moves over it; a pixel gets the mean over the windows that hide it,
    those whose middle is near counting more.
    """
    height, width = scorer.model.input_size
    windows = list(_windows(height, width))
    size = scorer.runtime.batch_size
    groups = [windows[at : at + size] for at in range(0, len(windows), size)]
    is_channels_first = scorer.model.preprocessing.layout == "NCHW"
    mean = batch.mean(axis=(2, 3) if is_channels_first else (1, 2), keepdims=True)[0]

    def hidden(group: list[tuple[slice, slice]]) -> NDArray[np.float64]:
        copies = np.repeat(batch, len(group), axis=0)
        for copy, (rows, columns) in zip(copies, group, strict=True):
            if is_channels_first:
                copy[:, rows, columns] = mean
            else:
                copy[rows, columns] = mean
        return _surprise(scorer, copies, index)

    with ThreadPoolExecutor(scorer.threads, thread_name_prefix="explain") as pool:
        surprises = np.concatenate(list(pool.map(hidden, groups)))
    losses = surprises - _surprise(scorer, batch, index)[0]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for (rows, columns), loss in zip(windows, losses, strict=True):
        nearness = np.outer(_hill(rows.stop - rows.start), _hill(columns.stop - columns.start))
        total[rows, columns] += nearness * loss
        count[rows, columns] += nearness
    return (total / np.maximum(count, 1e-12)).astype(np.float32)


def _hill(length: int) -> NDArray[np.float64]:
    return np.hanning(length + 2)[1:-1]


def _windows(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    for top, bottom in _stretches(height):
        for left, right in _stretches(width):
            yield slice(top, bottom), slice(left, right)


def _stretches(length: int) -> list[tuple[int, int]]:
    size = max(1, math.ceil(length * _WINDOW_SHARE))
    starts = np.linspace(0, length - size, min(_WINDOWS, length - size + 1))
    return [(round(start), round(start) + size) for start in starts.tolist()]


def _surprise(scorer: Scorer, batch: NDArray[np.float32], index: int) -> NDArray[np.float64]:
    """Return -ln of the class's probability, shape (images,)."""
    outputs = scorer.runtime.infer(batch).astype(np.float64)
    if scorer.model.description.output == "probabilities":
        return -np.log(np.maximum(outputs[:, index], 1e-12))
    largest = outputs.max(axis=1)
    total = np.log(np.exp(outputs - largest[:, None]).sum(axis=1))
    return largest + total - outputs[:, index]


def _scaled(values: Heat) -> Heat:
    """Return values from 0 to 1; what speaks against the class is 0."""
    positive = np.maximum(np.nan_to_num(values.astype(np.float32)), 0.0)
    return (positive / max(positive.max(), 1e-12)).astype(np.float32)


def _shrunk(picture: Picture) -> Picture:
    image = picture.image
    if max(image.size) <= _LONGEST_SIDE:
        return picture
    scale = _LONGEST_SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return replace(picture, image=image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def _placed(heat: Heat, span: Box, image: Image.Image) -> Heat:
    """Return the heat of a network's input at its place in the picture."""
    left, top, right, bottom = (round(edge) for edge in span)
    size = (max(1, right - left), max(1, bottom - top))
    canvas = Image.new("F", image.size)
    # Smooth, as a position of the feature map stands for what lies around it.
    canvas.paste(Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC), (left, top))
    return np.clip(np.asarray(canvas, np.float32), 0.0, 1.0)
