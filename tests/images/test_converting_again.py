"""Converting again: nothing is read unless something changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conversion_watch import Heard, Picture, count_headers

from calotype.images.convert import convert
from calotype.images.formats import ImageLimits


def test_converting_again_reads_nothing_unless_something_changed(
    photos: Path, tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_headers(monkeypatch)
    heard = Heard()
    first = convert(photos, tmp_path / "out")
    assert len(read) == 5
    written = (tmp_path / "out/images.parquet").stat().st_mtime_ns
    again = convert(photos, tmp_path / "out", progress=heard)
    assert len(read) == 5
    assert again.info == first.info
    assert (tmp_path / "out/images.parquet").stat().st_mtime_ns == written
    assert "has not changed" in heard.said[0]

    picture(photos / "dogs/new.jpg")
    changed = convert(photos, tmp_path / "out")
    assert len(changed) == 6
    assert len(read) == 11
    assert changed.info.fingerprint != first.info.fingerprint


def change_time(photos: Path) -> None:
    os.utime(photos / "cats/1.jpg", ns=(1, 1))


def change_name(photos: Path) -> None:
    (photos / "cats/1.jpg").rename(photos / "cats/9.jpg")


def change_category(photos: Path) -> None:
    (photos / "cats/1.jpg").rename(photos / "dogs/9.jpg")


def add_empty_class(photos: Path) -> None:
    (photos / "birds").mkdir()


def add_skipped_file(photos: Path) -> None:
    (photos / "readme.txt").touch()


@pytest.mark.parametrize(
    "change", [change_time, change_name, change_category, add_empty_class, add_skipped_file]
)
def test_any_change_is_noticed(
    change: Callable[[Path], None],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    convert(photos, tmp_path / "out")
    read = count_headers(monkeypatch)
    change(photos)
    convert(photos, tmp_path / "out")
    assert read


@pytest.mark.parametrize(
    "options",
    [
        {"labels": "none"},
        {"digest": True},
        {"copy": True},
        {"drop_duplicates": True},
        {"limits": ImageLimits(max_bytes=10**6)},
        {"on_error": "fail"},
    ],
)
def test_other_options_convert_again(
    options: dict[str, Any], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(photos, tmp_path / "out")
    read = count_headers(monkeypatch)
    convert(photos, tmp_path / "out", **options)
    assert read


def test_a_damaged_result_is_made_again(photos: Path, tmp_path: Path) -> None:
    convert(photos, tmp_path / "out")
    (tmp_path / "out/images.parquet").write_bytes(b"PAR1")
    assert len(convert(photos, tmp_path / "out")) == 5
    convert(photos, tmp_path / "copy", copy=True)
    (tmp_path / "copy/images.tar").unlink()
    made = convert(photos, tmp_path / "copy", copy=True)
    with made.reader() as reader:
        assert reader.read(next(made.entries())) == (photos / "cats/1.jpg").read_bytes()
