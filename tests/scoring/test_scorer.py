"""The Scorer: the same image gives the same bits, however it comes."""

from __future__ import annotations

import random
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.models.image_model import ImageModel
from calotype.scored_dataset import SCORED_LABELS, ScoredSchema
from calotype.scoring.runtimes import Precision
from calotype.scoring.scorer import Scorer, softmax

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")


@pytest.fixture(scope="module", params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> Precision:
    return request.param


@pytest.fixture(scope="module")
def reference(
    precision: Precision, model: ImageModel, photograph_folder: Path
) -> dict[str, np.ndarray]:
    """Each photograph's probabilities, scored one by one on one thread."""
    scorer = Scorer(model, precision, threads=1)
    scorer.runtime.batch_size = 1
    return scored(scorer, photograph_folder)


def scored(scorer: Scorer, source: Path) -> dict[str, np.ndarray]:
    with ImageDirectory.open(source) as directory:
        return {
            entry.path: row
            for chunk in scorer.chunks(directory)
            for entry, row in zip(chunk.entries, chunk.probabilities, strict=True)
        }


def assert_same_bits(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert len(got) >= 200
    differing = [path for path in got if got[path].tobytes() != expected[path].tobytes()]
    assert differing == []


@pytest.mark.parametrize("batch_size", [2, 3, 8])
@pytest.mark.parametrize("threads", [1, 3])
def test_neither_batch_size_nor_threads_change_a_bit(
    model: ImageModel,
    photograph_folder: Path,
    precision: Precision,
    reference: dict[str, np.ndarray],
    batch_size: int,
    threads: int,
) -> None:
    scorer = Scorer(model, precision, threads=threads)
    scorer.runtime.batch_size = batch_size
    assert_same_bits(scored(scorer, photograph_folder), reference)


def test_neither_source_nor_position_change_a_bit(
    model: ImageModel,
    photograph_folder: Path,
    precision: Precision,
    reference: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    scorer = Scorer(model, precision)
    paths = sorted(photograph_folder.rglob("*.jpg"))
    random.Random(5).shuffle(paths)
    names = [path.relative_to(photograph_folder).as_posix() for path in paths]
    with tarfile.open(tmp_path / "shuffled.tar", "w") as tar:
        for path, name in zip(paths, names, strict=True):
            tar.add(path, name)
    with zipfile.ZipFile(tmp_path / "deflated.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in zip(paths, names, strict=True):
            archive.write(path, name)
    assert_same_bits(scored(scorer, tmp_path / "shuffled.tar"), reference)
    assert_same_bits(scored(scorer, tmp_path / "deflated.zip"), reference)
    at_hand = scorer.predict([path.read_bytes() for path in paths]).probabilities
    assert_same_bits(dict(zip(names, at_hand, strict=True)), reference)


def test_a_missing_neighbour_does_not_change_a_bit(
    model: ImageModel,
    photograph_folder: Path,
    precision: Precision,
    reference: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        for index, path in enumerate(sorted(photograph_folder.rglob("*.jpg"))):
            name = path.relative_to(photograph_folder).as_posix()
            tar.add(path, name)
            if index % 7 == 0:
                data = path.read_bytes()[: path.stat().st_size // 3]
                (tmp_path / "cut.jpg").write_bytes(data)
                tar.add(tmp_path / "cut.jpg", f"{name}-cut.jpg")
    assert_same_bits(scored(Scorer(model, precision), tmp_path / "some.tar"), reference)


def test_fp32_equals_torch(model: ImageModel, photograph_folder: Path) -> None:
    import torch

    import baseline

    paths = sorted(photograph_folder.rglob("*.jpg"))[:60]
    network, transform = baseline.load_network(model.path), baseline.transform_of(model.path)
    with torch.inference_mode():
        expected = baseline.score_simply(network, transform, paths, batch=8).numpy()
    got = Scorer(model, "fp32", exact_decode=True).predict(paths)
    assert np.abs(got.probabilities - expected).max() < 0.01
    assert [int(row.argmax()) for row in got.probabilities] == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize(("precision_", "least"), [("bf16", 0.85), ("int8", 0.6)])
def test_faster_precisions_mostly_agree_with_fp32(
    model: ImageModel, photograph_folder: Path, precision_: Precision, least: float
) -> None:
    fp32 = scored(Scorer(model, "fp32"), photograph_folder)
    other = scored(Scorer(model, precision_), photograph_folder)
    equal = sum(fp32[path].argmax() == other[path].argmax() for path in fp32)
    assert least <= equal / len(fp32)
    assert any(fp32[path].tobytes() != other[path].tobytes() for path in fp32)


def test_rows_come_in_order_with_the_columns_of_a_scored_dataset(
    model: ImageModel, photograph_folder: Path
) -> None:
    batches = list(Scorer(model, "fp32").score(photograph_folder))
    assert batches[0].schema == ScoredSchema.of(model.classes, has_category=True).arrow_schema()
    ids = [value for batch in batches for value in batch.column("id").to_pylist()]
    assert ids == list(range(208))
    first = batches[0].to_pylist()[0]
    probabilities = [first[f"Scored Probabilities_{name}"] for name in model.classes]
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-5)
    assert first[SCORED_LABELS] == model.classes[int(np.argmax(probabilities))]
    assert first["path"].startswith(first["category"])


def test_predict_takes_paths_bytes_pictures_and_arrays(
    model: ImageModel, photograph_folder: Path
) -> None:
    path = next(photograph_folder.rglob("*.jpg"))
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    scorer = Scorer(model, "fp32", exact_decode=True)
    scores = scorer.predict([path, str(path), path.read_bytes(), picture, np.asarray(picture)])
    assert scores.probabilities.dtype == np.float32
    assert scores.probabilities.shape == (5, 1000)
    assert len({row.tobytes() for row in scores.probabilities}) == 1
    assert scorer.predict(path).labels == scores.labels[:1]
    assert scorer.predict([]).probabilities.shape == (0, 1000)


def test_predict_names_the_image_that_is_wrong(model: ImageModel, tmp_path: Path) -> None:
    scorer = Scorer(model, "fp32")
    with pytest.raises(errors.UnreadableFile, match="image 1"):
        scorer.predict([np.zeros((4, 4, 3), np.uint8), b"no image"])
    with pytest.raises(errors.UnreadableFile, match=r"gone\.jpg"):
        scorer.predict(tmp_path / "gone.jpg")
    with pytest.raises(errors.UnparsableValue, match="float64"):
        scorer.predict(np.zeros((4, 4, 3)))  # pyright: ignore[reportArgumentType]


def test_unreadable_images_are_reported_or_stop_the_run(
    model: ImageModel, photograph_folder: Path, tmp_path: Path
) -> None:
    for index, path in enumerate(sorted(photograph_folder.rglob("*.jpg"))[:6]):
        data = path.read_bytes()
        (tmp_path / f"{index}.jpg").write_bytes(data[:2000] if index == 3 else data)
    scorer = Scorer(model, "fp32")
    with ImageDirectory.open(tmp_path) as directory:
        chunks = list(scorer.chunks(directory))
        assert [e.path for c in chunks for e in c.entries] == [f"{i}.jpg" for i in (0, 1, 2, 4, 5)]
        (failure,) = [failure for chunk in chunks for failure in chunk.failures]
        assert (failure.entry.path, failure.error.number) == ("3.jpg", 48)
        with pytest.raises(errors.UnreadableFile, match=r"3\.jpg"):
            list(scorer.chunks(directory, on_error="fail"))


def test_leaving_early_stops_the_threads(model: ImageModel, photograph_folder: Path) -> None:
    before = set(threading.enumerate())
    with ImageDirectory.open(photograph_folder) as directory:
        chunks = Scorer(model, "fp32").chunks(directory)
        next(chunks)
        assert set(threading.enumerate()) - before
        chunks.close()  # pyright: ignore[reportAttributeAccessIssue] - it is a generator
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended too


def test_threads_must_be_positive(model: ImageModel) -> None:
    with pytest.raises(errors.NotGreaterOrEqual):
        Scorer(model, threads=0)


def test_softmax_is_stable_and_sums_to_one() -> None:
    rows = softmax(np.array([[1e4, 1e4 - 1, -1e4], [0, 0, 0]], np.float32))
    assert np.isfinite(rows).all()
    assert rows.sum(axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert rows[1].tolist() == pytest.approx([1 / 3] * 3)
