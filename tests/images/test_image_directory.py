"""Image directories: loading, opening any source, reading on from anywhere, deriving others."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calotype import errors, files
from calotype.images import manifest
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.manifest import IMAGE_COLUMNS, TableWriter
from calotype.images.transformation import Transformation

Picture = Callable[..., Path]


@pytest.fixture
def directory(photos: Path, tmp_path: Path) -> ImageDirectory:
    return convert(photos, tmp_path / "images")


def test_loading_gives_what_was_made(directory: ImageDirectory, tmp_path: Path) -> None:
    loaded = ImageDirectory.load(tmp_path / "images")
    assert loaded.info == directory.info
    assert list(loaded.entries()) == list(directory.entries())
    assert len(loaded) == 5
    assert loaded.path == tmp_path / "images"
    assert loaded.category_indices().tolist() == [0, 0, 0, 1, 1]
    assert loaded.ids().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("place", ["photos", "missing"])
def test_other_folders_are_refused_with_the_remedy(place: str, photos: Path) -> None:
    with pytest.raises(errors.InvalidDataset, match=f"'calotype convert .*{place} OUT'") as raised:
        ImageDirectory.load(photos.with_name(place))
    assert raised.value.number == 18


def damage_format_version(folder: Path) -> None:
    document = files.read_json(folder / manifest.INFO_NAME)
    files.write_json(folder / manifest.INFO_NAME, {**document, "format_version": 2})


def damage_json(folder: Path) -> None:
    (folder / manifest.INFO_NAME).write_text("{")


def damage_table(folder: Path) -> None:
    (folder / manifest.IMAGES_NAME).write_bytes(b"PAR1 no more PAR1")


def remove_table(folder: Path) -> None:
    (folder / manifest.IMAGES_NAME).unlink()


def lose_rows(folder: Path) -> None:
    path = folder / manifest.IMAGES_NAME
    pq.write_table(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize(
    "damage", [damage_format_version, damage_json, damage_table, remove_table, lose_rows]
)
def test_damage_is_an_error_of_ours(
    damage: Callable[[Path], None], directory: ImageDirectory
) -> None:
    damage(directory.folder)
    with pytest.raises((errors.InvalidDataset, errors.UnparsableFile)) as raised:
        ImageDirectory.load(directory.folder)
    assert str(directory.folder) in str(raised.value)


@pytest.mark.parametrize("kind", ["image directory", "loaded", "folder", "flat", "file", "tar"])
def test_any_source_is_opened(
    kind: str, directory: ImageDirectory, photos: Path, tmp_path: Path
) -> None:
    shutil.make_archive(str(tmp_path / "photos"), "tar", photos)
    source = {
        "image directory": tmp_path / "images",
        "loaded": directory,
        "folder": str(photos),
        "flat": photos / "cats",
        "file": photos / "cats/1.jpg",
        "tar": tmp_path / "photos.tar",
    }[kind]
    with ImageDirectory.open(source) as opened:
        folder = opened.folder
        expected = {"flat": 3, "file": 1}.get(kind, 5)
        assert len(opened) == expected
        assert opened.is_labeled == (kind not in ("flat", "file"))
        assert (opened.path is None) == ("directory" not in kind and kind != "loaded")
        with opened.reader() as reader:
            assert len([reader.read(entry) for entry in opened.entries()]) == expected
    assert folder.exists() == ("directory" in kind or kind == "loaded")


def test_the_temporary_folder_is_no_part_of_the_source(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(photos))
    with ImageDirectory.open(photos) as first, ImageDirectory.open(photos / "cats") as cats:
        assert first.info.counts.skipped == {}
        assert first.categories == ["cats", "dogs"]
        assert len(cats) == 3
    with ImageDirectory.open(photos) as second:
        assert second.info.fingerprint == first.info.fingerprint


def test_opening_twice_gives_the_same_fingerprint(photos: Path) -> None:
    with ImageDirectory.open(photos) as first, ImageDirectory.open(photos) as second:
        assert first.info.fingerprint == second.info.fingerprint
        assert first.folder != second.folder
    os.utime(photos / "cats/1.jpg", ns=(1, 1))
    with ImageDirectory.open(photos) as third:
        assert third.info.fingerprint != first.info.fingerprint


@pytest.fixture
def large(directory: ImageDirectory) -> ImageDirectory:
    """Rewrite the table with 20,000 rows, as no test has time to make images for."""
    rows = 20_000
    entry = next(directory.entries())
    columns = {name: [getattr(entry, name)] * rows for name in IMAGE_COLUMNS.names}
    columns["id"] = list(range(rows))
    writer = TableWriter(
        directory.folder / manifest.IMAGES_NAME, IMAGE_COLUMNS, repetitive=["category"]
    )
    table = pa.table(columns, IMAGE_COLUMNS)
    for start in range(0, rows, 3333):
        writer.add(table.slice(start, 3333))
    writer.close()
    path = directory.folder / manifest.INFO_NAME
    document = json.loads(path.read_text())
    document["counts"]["images"] = rows
    path.write_text(json.dumps(document))
    return ImageDirectory.load(directory.folder)


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, 1), (8191, 8193), (8192, None), (16384, 16390), (19_999, None), (20_000, None),
     (30_000, None), (5, 5), (12_000, 3), (-3, None)],
)  # fmt: skip
def test_reading_goes_on_from_anywhere(large: ImageDirectory, start: int, stop: int | None) -> None:
    assert [e.id for e in large.entries(start, stop)] == list(range(20_000))[start:stop]


def test_only_the_row_groups_that_are_needed_are_read(
    large: ImageDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    original = pq.ParquetFile.read_row_group

    def counting(self: pq.ParquetFile, i: int, **options: object) -> object:
        groups.append(i)
        return original(self, i, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counting)
    assert next(large.entries(17_000)).id == 17_000
    assert groups == [2]
    assert len(list(large.entries(8190, 8194))) == 4
    assert groups == [2, 0, 1]


def test_a_reader_tells_what_has_changed(directory: ImageDirectory, photos: Path) -> None:
    first, second, *_ = directory.entries()
    (photos / first.path).unlink()
    (photos / second.path).write_bytes((photos / second.path).read_bytes() + b"more")
    with directory.reader() as reader:
        with pytest.raises(errors.UnreadableFile, match=r"^cats/1.jpg: .*No such file") as raised:
            reader.read(first)
        assert raised.value.number == 48
        with pytest.raises(errors.UnreadableFile, match=r"^cats/2.png: .*another size"):
            reader.read(second)


def test_a_digest_notices_other_content_of_the_same_size(photos: Path, tmp_path: Path) -> None:
    made = convert(photos, tmp_path / "out", digest=True)
    entry = next(made.entries())
    data = bytearray((photos / entry.path).read_bytes())
    data[-3] ^= 1
    (photos / entry.path).write_bytes(data)
    with made.reader() as reader, pytest.raises(errors.UnreadableFile, match="other content"):
        reader.read(entry)


def test_a_transformation_is_carried_and_touches_nothing(
    directory: ImageDirectory, tmp_path: Path
) -> None:
    applied = directory.with_pending(Transformation.of({"size": 99}), "training", tmp_path / "t")
    assert applied.pending is not None
    assert applied.pending.mode == "training"
    assert applied.pending.transformation == Transformation.of({"size": 99})
    assert list(applied.entries()) == list(directory.entries())
    assert directory.pending is None
    assert applied.info.fingerprint != directory.info.fingerprint
    loaded = ImageDirectory.load(tmp_path / "t")
    assert loaded.pending == applied.pending

    other = directory.with_pending(Transformation.of({"size": 98}), "training", tmp_path / "t")
    assert other.info.fingerprint != applied.info.fingerprint
    with pytest.raises(errors.InvalidDataset, match="that this one was made of") as raised:
        other.with_pending(Transformation.of({}), "inference", tmp_path / "u")
    assert raised.value.number == 18


def test_a_subset_keeps_ids_and_order(directory: ImageDirectory, tmp_path: Path) -> None:
    origin = directory.info.origin
    some = directory.subset(np.array([1, 2, 4]), tmp_path / "some", origin=origin)
    assert [entry.id for entry in some.entries()] == [1, 2, 4]
    assert some.info.counts.categories == {"cats": 2, "dogs": 1}
    assert some.categories == directory.categories
    assert some.info.fingerprint != directory.info.fingerprint
    fewer = some.subset(np.array([4]), tmp_path / "fewer", origin=origin)
    assert [entry.path for entry in fewer.entries()] == ["dogs/2.bmp"]
    with fewer.reader() as reader:
        assert reader.read(next(fewer.entries()))


def test_an_image_directory_converts_to_one_with_its_ids(
    directory: ImageDirectory, photos: Path, tmp_path: Path
) -> None:
    some = directory.subset(np.array([1, 4]), tmp_path / "some", origin=directory.info.origin)
    applied = some.with_pending(Transformation.of({}), "inference", tmp_path / "applied")
    made = convert(tmp_path / "applied", tmp_path / "again")
    assert [entry.id for entry in made.entries()] == [1, 4]
    assert made.pending == applied.pending
    assert not convert(tmp_path / "applied", tmp_path / "flat", labels="none").is_labeled

    copied = convert(tmp_path / "applied", tmp_path / "copy", copy=True)
    copied_again = convert(tmp_path / "copy", tmp_path / "copy2", copy=True)
    expected = [(photos / entry.path).read_bytes() for entry in made.entries()]
    shutil.rmtree(photos)
    for one in (copied, copied_again):
        with one.reader() as reader:
            assert [reader.read(entry) for entry in one.entries()] == expected
    with pytest.raises(errors.AlreadyExists):
        convert(tmp_path / "copy", tmp_path / "copy")


def test_a_subset_of_a_copy_reads_from_the_copy(photos: Path, tmp_path: Path) -> None:
    copy = convert(photos, tmp_path / "copy", copy=True)
    expected = (photos / "cats/2.png").read_bytes()
    shutil.rmtree(photos)
    some = copy.subset(np.array([1]), tmp_path / "some", origin=copy.info.origin)
    with some.reader() as reader:
        assert reader.read(next(some.entries())) == expected
