"""Convert to Image Directory: what is taken, and what is not and why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conversion_watch import Heard, Picture, skipped, taken

from calotype import errors, files
from calotype.images import headers
from calotype.images.convert import convert
from calotype.images.formats import ImageLimits
from calotype.images.image_directory import ImageDirectory


def test_class_folders_become_categories(photos: Path, tmp_path: Path) -> None:
    made = convert(photos, tmp_path / "out")
    assert taken(made) == {
        "cats/1.jpg": "cats",
        "cats/2.png": "cats",
        "cats/3.JPG": "cats",
        "dogs/1.jpg": "dogs",
        "dogs/2.bmp": "dogs",
    }
    assert [entry.id for entry in made.entries()] == [0, 1, 2, 3, 4]
    assert made.categories == ["cats", "dogs"]
    assert made.info.counts.categories == {"cats": 3, "dogs": 2}
    assert made.info.counts.skipped == {}
    first = next(made.entries())
    assert (first.width, first.height, first.format) == (8, 6, "JPEG")
    assert first.bytes == (photos / "cats/1.jpg").stat().st_size
    assert (first.container, first.offset, first.length, first.digest) == (None, None, None, None)


def test_the_files_are_those_of_the_contract(photos: Path, tmp_path: Path) -> None:
    convert(photos, tmp_path / "out")
    document = files.read_json(tmp_path / "out" / "image_directory.json")
    assert document["format_version"] == 1
    assert document["categories"] == ["cats", "dogs"]
    assert document["source"]["location"] == str(photos)
    assert document["counts"]["images"] == 5
    assert document["pending_transformation"] is None
    assert len(document["fingerprint"]) == 32
    assert [column["name"] for column in document["schema"]] == ["image", "id", "category"]
    table = pq.read_table(tmp_path / "out" / "images.parquet")
    assert table.column_names == [
        *("id", "path", "container", "offset", "length", "category", "width", "height"),
        *("format", "bytes", "digest"),
    ]
    assert str(table.schema.field("id").type) == "int64"
    assert sorted(os.listdir(tmp_path / "out")) == [
        "image_directory.json",
        "images.parquet",
        "skipped.parquet",
    ]


def test_files_of_a_folder_come_by_name_and_before_its_folders(
    tmp_path: Path, picture: Picture
) -> None:
    for name in ("b/2.jpg", "b/10.jpg", "a/x/1.jpg", "a/1.jpg", "c.jpg"):
        picture(tmp_path / "photos" / name)
    made = convert(tmp_path / "photos", tmp_path / "out", labels="none")
    assert list(taken(made)) == ["c.jpg", "a/1.jpg", "a/x/1.jpg", "b/10.jpg", "b/2.jpg"]
    assert not made.is_labeled
    assert made.categories == []


def test_every_file_that_is_not_taken_has_its_reason(
    photos: Path, tmp_path: Path, picture: Picture
) -> None:
    picture(photos / "root.jpg")
    picture(photos / "dogs/puppies/deep.jpg")
    picture(photos / "dogs/.hidden.jpg")
    picture(photos / ".git/cats/1.jpg")
    picture(photos / "__MACOSX/cats/1.jpg")
    picture(photos / "cats/large.png", (100, 50))
    (photos / "cats/readme.txt").write_text("no image")
    (photos / "cats/Thumbs.db").write_text("no image")
    (photos / "cats/text.jpg").write_text("no image")
    (photos / "cats/empty.png").touch()
    (photos / "cats/broken.jpg").symlink_to(tmp_path / "nowhere")
    (photos / "cats/self.jpg").symlink_to(photos / "cats/self.jpg")
    picture(photos / "cats/moving.gif").rename(photos / "cats/moving.jpg")
    os.mkfifo(photos / "cats/pipe.jpg")
    made = convert(photos, tmp_path / "out", limits=ImageLimits(max_pixels=4999))
    assert skipped(made) == {
        "root.jpg": ("wrong depth", None),
        "dogs/puppies/deep.jpg": ("wrong depth", None),
        "dogs/.hidden.jpg": ("hidden", None),
        ".git/cats/1.jpg": ("hidden", None),
        "__MACOSX/cats/1.jpg": ("__MACOSX", None),
        "cats/large.png": ("too large", 127),
        "cats/readme.txt": ("wrong extension", None),
        "cats/Thumbs.db": ("wrong extension", None),
        "cats/text.jpg": ("unreadable", 48),
        "cats/empty.png": ("unreadable", 48),
        "cats/broken.jpg": ("missing", 48),
        "cats/self.jpg": ("link loop", 48),
        "cats/moving.jpg": ("unreadable", 48),
        "cats/pipe.jpg": ("not a regular file", 48),
    }
    assert len(made) == 5
    assert made.info.counts.skipped["unreadable"] == 3
    assert sum(made.info.counts.skipped.values()) == 14


def test_limits_on_pixels_and_bytes(tmp_path: Path, picture: Picture) -> None:
    small = picture(tmp_path / "photos/small.png", (10, 10))
    picture(tmp_path / "photos/wide.png", (101, 10))
    size = small.stat().st_size
    made = convert(tmp_path / "photos", tmp_path / "a", limits=ImageLimits(max_pixels=1000))
    assert taken(made).keys() == {"small.png"}
    with pytest.raises(errors.InvalidDataset, match="2 too large"):
        convert(tmp_path / "photos", tmp_path / "b", limits=ImageLimits(max_bytes=size - 1))
    assert len(convert(tmp_path / "photos", tmp_path / "b", limits=ImageLimits(1010, 10**6))) == 2


def test_on_error_fail_stops_at_the_first(photos: Path, tmp_path: Path, picture: Picture) -> None:
    picture(photos / "dogs/large.png", (100, 50))
    with pytest.raises(errors.ImageTooLarge, match=r"^dogs/large.png: .*4,999 pixels.*100 x 50"):
        convert(photos, tmp_path / "out", limits=ImageLimits(max_pixels=4999), on_error="fail")
    (photos / "cats/text.jpg").write_text("no image")
    with pytest.raises(errors.UnreadableFile, match=r"^cats/text.jpg: "):
        convert(photos, tmp_path / "out", on_error="fail")
    (photos / "cats/text.jpg").unlink()
    (photos / "cats/text.jpg").symlink_to("nowhere")
    with pytest.raises(errors.UnreadableFile, match=r"^cats/text.jpg: .*missing"):
        convert(photos, tmp_path / "out", on_error="fail")
    assert not (tmp_path / "out").exists()


def test_empty_class_folders_stay_as_categories_with_a_warning(
    photos: Path, tmp_path: Path
) -> None:
    (photos / "birds").mkdir()
    (photos / "fish").mkdir()
    (photos / "fish/notes.txt").touch()
    heard = Heard()
    made = convert(photos, tmp_path / "out", progress=heard)
    assert made.categories == ["birds", "cats", "dogs", "fish"]
    assert made.info.counts.categories == {"birds": 0, "cats": 3, "dogs": 2, "fish": 0}
    assert heard.said == ["Warning: no image in 'birds', 'fish'; kept as a category."]


STRANGE_NAMES = [
    *("01", "1", "NA", "null", "true", "nan", "1e5", "é漢字 🌷", "a,b", 'a"b', "a b ", "-", "a\nb"),
    *("c" * 250, "ü" * 125),
]


def test_names_survive_as_they_are(tmp_path: Path, picture: Picture) -> None:
    for name in STRANGE_NAMES:
        picture(tmp_path / "photos" / name / f"{name[:121]}.jpg")
    long_name = "l" * 246 + ".jpg"
    picture(tmp_path / "photos" / "01" / long_name)
    made = convert(tmp_path / "photos", tmp_path / "out")
    assert made.categories == sorted(STRANGE_NAMES)
    assert {entry.category for entry in made.entries()} == set(STRANGE_NAMES)
    assert all(isinstance(name, str) for name in made.info.categories)
    with made.reader() as reader:
        for entry in made.entries():
            assert reader.read(entry) == (tmp_path / "photos" / entry.path).read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_names_that_are_no_utf8_are_listed_escaped(
    photos: Path, tmp_path: Path, picture: Picture
) -> None:
    shutil.copy(photos / "cats/1.jpg", photos / "cats" / os.fsdecode(b"caf\xe9.jpg"))
    (photos / os.fsdecode(b"ma\xeen")).mkdir()
    shutil.copy(photos / "cats/1.jpg", photos / os.fsdecode(b"ma\xeen") / "1.jpg")
    made = convert(photos, tmp_path / "out")
    assert skipped(made) == {
        r"cats/caf\xe9.jpg": ("name is not UTF-8", None),
        r"ma\xeen/1.jpg": ("name is not UTF-8", None),
    }
    assert made.categories == ["cats", "dogs"]
    assert convert(photos, tmp_path / "out").info == made.info


def test_fingerprints_tell_different_data_apart(photos: Path, tmp_path: Path) -> None:
    largest = max(path.stat().st_size for path in photos.rglob("*.*"))
    made = [
        convert(photos, tmp_path / "1"),
        convert(photos, tmp_path / "2", labels="none"),
        convert(photos, tmp_path / "3", limits=ImageLimits(max_bytes=largest - 1)),
        convert(photos / "cats", tmp_path / "4"),
    ]
    assert len({one.info.fingerprint for one in made}) == 4
    assert convert(photos, tmp_path / "5").info.fingerprint == made[0].info.fingerprint


def test_links_are_followed_and_loops_cut(photos: Path, tmp_path: Path, picture: Picture) -> None:
    (photos / "felines").symlink_to(photos / "cats")
    (photos / "dogs/linked.jpg").symlink_to(photos / "cats/1.jpg")
    (photos / "dogs/all").symlink_to(photos)
    made = convert(photos, tmp_path / "out")
    assert made.info.counts.categories == {"cats": 3, "dogs": 3, "felines": 3}
    assert skipped(made)["dogs/all"] == ("link loop", 48)


def test_duplicates_are_dropped_when_asked(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "cats/2.png", photos / "cats/4.png")
    shutil.copy(photos / "cats/2.png", photos / "dogs/4.png")
    assert len(convert(photos, tmp_path / "all")) == 7
    made = convert(photos, tmp_path / "out", drop_duplicates=True)
    assert skipped(made) == {
        "cats/4.png": ("duplicate", None),
        "dogs/4.png": ("duplicate", None),
    }
    assert [entry.id for entry in made.entries()] == [0, 1, 2, 3, 4]


def test_digests_are_those_of_the_files(photos: Path, tmp_path: Path) -> None:
    made = convert(photos, tmp_path / "out", digest=True)
    for entry in made.entries():
        assert entry.digest == files.sha256(photos / entry.path)


def test_a_copy_does_without_its_source(photos: Path, tmp_path: Path) -> None:
    contents = {
        path.relative_to(photos).as_posix(): path.read_bytes()
        for path in sorted(photos.rglob("*.*"))
    }
    convert(photos, tmp_path / "out", copy=True)
    shutil.rmtree(photos)
    (tmp_path / "out").rename(tmp_path / "moved")
    made = ImageDirectory.load(tmp_path / "moved")
    with made.reader() as reader:
        assert {entry.path: reader.read(entry) for entry in made.entries()} == contents
    listed = subprocess.run(
        ["tar", "tf", tmp_path / "moved/images.tar"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == list(contents)


def test_slow_disks_are_read_by_several_threads_in_the_same_order(
    photos: Path, tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        picture(photos / f"class{number}" / "1.jpg")
    monkeypatch.setattr("calotype.images.sources.folder.CHUNK_FILES", 1)
    serial = convert(photos, tmp_path / "serial")
    monkeypatch.setattr(headers, "_SLOW_FILE_S", 0.0)
    parallel = convert(photos, tmp_path / "parallel")
    assert list(parallel.entries()) == list(serial.entries())
    assert parallel.info.fingerprint == serial.info.fingerprint


def test_an_image_that_vanishes_before_it_is_copied_is_listed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = headers.HeaderReader.read

    def read_and_remove(self: headers.HeaderReader, chunk: Any) -> Any:
        done = original(self, chunk)
        (photos / "cats/1.jpg").unlink(missing_ok=True)
        return done

    monkeypatch.setattr(headers.HeaderReader, "read", read_and_remove)
    made = convert(photos, tmp_path / "out", copy=True)
    assert skipped(made) == {"cats/1.jpg": ("unreadable", 48)}
    assert len(made) == 4
