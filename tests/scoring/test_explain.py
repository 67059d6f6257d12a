"""Explanations: the heat lies on the object, with both methods, for any network."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calotype import errors
from calotype.images.decode import Picture
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.models.image_model import ImageModel
from calotype.models.importing import import_model
from calotype.scoring.explain import Method
from calotype.scoring.scorer import Scorer

METHODS: tuple[Method, ...] = ("activation", "occlusion")


@pytest.fixture(scope="module")
def scorer(imagenet_model: ImageModel) -> Scorer:
    return Scorer(imagenet_model, "fp32")


@pytest.fixture(scope="module")
def skimage_folder() -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data"


@pytest.mark.parametrize("method", METHODS)
def test_the_cup_outweighs_the_table(scorer: Scorer, skimage_folder: Path, method: Method) -> None:
    found = scorer.explain(skimage_folder / "coffee.png", method=method)
    assert (found.label, found.method) == ("espresso", method)
    assert found.probability > 0.9
    assert found.heat.shape == (400, 600)
    assert found.heat.dtype == np.float32
    assert 0 <= found.heat.min() <= found.heat.max() <= 1
    cup = np.zeros((400, 600), bool)
    cup[18:275, 173:400] = True
    seen = np.zeros((400, 600), bool)
    seen[25:375, 125:475] = True  # the centre crop
    assert found.heat[cup].mean() > 3 * found.heat[seen & ~cup].mean()
    assert found.heat[~seen].max() < 0.05
    assert cup[np.unravel_index(found.heat.argmax(), cup.shape)]


@pytest.mark.parametrize("method", METHODS)
def test_each_label_is_found_where_its_object_is(
    scorer: Scorer, skimage_folder: Path, method: Method
) -> None:
    both = Image.new("RGB", (500, 250))
    cut = {"chelsea.png": (80, 0, 380, 300), "coffee.png": (110, 0, 450, 340)}
    for place, (name, box) in enumerate(cut.items()):
        with Image.open(skimage_folder / name) as image:
            both.paste(image.convert("RGB").crop(box).resize((250, 250)), (250 * place, 0))
    # A square crop would see half of each: score the whole, squeezed.
    both = both.resize((250, 250))
    cat, cup = (
        scorer.explain(both, label, method=method).heat for label in ("Egyptian cat", "espresso")
    )
    assert cat[:, :125].mean() > 1.5 * cat[:, 125:].mean()
    assert cup[:, 125:].mean() > 1.5 * cup[:, :125].mean()


def test_the_probability_is_that_of_the_score(scorer: Scorer, skimage_folder: Path) -> None:
    path = skimage_folder / "chelsea.png"
    scores = scorer.predict(path)
    found = scorer.explain(path.read_bytes())
    assert found.method == "activation"
    assert found.label == scores.labels[0]
    assert found.probability == scores.probabilities.max()


def test_any_precision_can_be_explained(model: ImageModel, skimage_folder: Path) -> None:
    for precision in ("bf16", "int8"):
        found = Scorer(model, precision).explain(skimage_folder / "coffee.png")
        row, column = np.unravel_index(found.heat.argmax(), found.heat.shape)
        assert 18 < row < 275
        assert 173 < column < 400


def test_a_network_of_others_is_explained_by_occlusion(
    imagenet_model: ImageModel, skimage_folder: Path, tmp_path: Path
) -> None:
    imported = import_model(
        imagenet_model.file("model.onnx"), imagenet_model.classes, tmp_path / "imported"
    )
    scorer = Scorer(imported, "fp32")
    found = scorer.explain(skimage_folder / "coffee.png")
    assert found.method == "occlusion"
    assert found.heat[18:275, 173:400].mean() > 2 * found.heat[:, 400:].mean()
    with pytest.raises(errors.UnparsableValue, match="averages one feature map"):
        scorer.explain(skimage_folder / "coffee.png", method="activation")


def test_an_unknown_label_is_refused_with_a_hint(scorer: Scorer) -> None:
    with pytest.raises(errors.UnparsableValue, match="Did you mean 'espresso'"):
        scorer.explain(Image.new("RGB", (50, 50)), "expresso")


def test_large_pictures_are_shrunk_and_flat_ones_are_no_trouble(scorer: Scorer) -> None:
    for method in METHODS:
        found = scorer.explain(Image.new("RGB", (3000, 200), "gray"), method=method)
        assert found.picture.size == (1024, 68)
        assert found.heat.shape == (68, 1024)
        assert np.isfinite(found.heat).all()


def test_the_overlay_is_a_png_that_replaces_only_its_like(
    scorer: Scorer, skimage_folder: Path, tmp_path: Path
) -> None:
    found = scorer.explain(skimage_folder / "coffee.png")
    uri = found.data_uri()
    assert uri.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as overlay:
        assert overlay.size == (600, 400)
        pixels = np.asarray(overlay).astype(int)
    colourful = pixels.max(axis=2) - pixels.min(axis=2)
    assert colourful[found.heat > 0.5].min() > 30
    assert colourful[found.heat == 0].max() == 0
    out = tmp_path / "new folder" / "heat.png"
    found.save(out)
    found.save(out)
    with Image.open(out) as saved:
        assert saved.info["Description"].startswith("espresso 0.9")
    Image.new("RGB", (4, 4)).save(tmp_path / "holiday.png")
    with pytest.raises(errors.AlreadyExists):
        found.save(tmp_path / "holiday.png")
    with pytest.raises(errors.UnparsableValue, match="png"):
        found.save(tmp_path / "heat.jpg")


@pytest.mark.parametrize("size", [(600, 400), (400, 600), (100, 100), (30, 500)])
@pytest.mark.parametrize(
    "wanted",
    [
        {"resize": 256, "crop_height": 224, "crop_width": 224},
        {"resize": 64, "crop_height": 100, "crop_width": 60, "padding": 7},
        {"resize": None, "crop_height": 150, "crop_width": 200},
    ],
)
def test_the_span_is_where_the_input_was_cut(
    size: tuple[int, int], wanted: dict[str, int | None]
) -> None:
    """A picture of its own coordinates, preprocessed, must show those of the span."""
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    scale = 255 / max(size)
    pixels = np.stack([across * scale, down * scale, np.full_like(across, 255)], axis=-1)
    picture = Picture(Image.fromarray(pixels.astype(np.uint8)), size)
    preprocessor = Preprocessor(Preprocessing.of(wanted))
    left, top, right, bottom = preprocessor.span(picture)
    shown = preprocessor.crop(picture)
    height, width = shown.shape[:2]
    rows, columns = np.nonzero(shown[..., 2] > 250)  # not on a black border
    expected_x = left + (columns + 0.5) / width * (right - left) - 0.5
    expected_y = top + (rows + 0.5) / height * (bottom - top) - 0.5
    inside = [math.ceil(2 / scale)] * 2
    assert np.abs(shown[rows, columns, 0] / scale - expected_x).mean() < inside[0]
    assert np.abs(shown[rows, columns, 1] / scale - expected_y).mean() < inside[1]
