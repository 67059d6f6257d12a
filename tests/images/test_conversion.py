"""Convert to Image Directory: what is taken, what is not and why, and where the result may go."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from calotype import errors, files
from calotype.images import formats, headers
from calotype.images.convert import convert
from calotype.images.formats import ImageLimits
from calotype.images.image_directory import ImageDirectory

Picture = Callable[..., Path]


class Heard:
    """A progress listener that remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tasks: list[str] = []

    def begin(self, task: str, *, total: int | None, unit: str) -> None:
        self.tasks.append(task)

    def advance(self, count: int = 1, *, note: str = "") -> None: ...
    def end(self) -> None: ...
    def say(self, message: str) -> None:
        self.said.append(message)


def taken(directory: ImageDirectory) -> dict[str, str | None]:
    return {entry.path: entry.category for entry in directory.entries()}


def skipped(directory: ImageDirectory) -> dict[str, tuple[str, int | None]]:
    return {one.path: (one.reason, one.error_number) for one in directory.skipped()}


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


def count_headers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the name of each image whose header is read."""
    read: list[str] = []
    original = formats.read_header

    def counting(*arguments: Any, **options: Any) -> Any:
        read.append(options["where"])
        return original(*arguments, **options)

    monkeypatch.setattr(headers, "read_header", counting)
    return read


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


def test_the_output_may_lie_inside_the_source(photos: Path, tmp_path: Path) -> None:
    made = convert(photos, photos / "out")
    assert made.categories == ["cats", "dogs"]
    assert made.info.counts.skipped == {}
    heard = Heard()
    convert(photos, photos / "out", progress=heard)
    assert "has not changed" in heard.said[0]


def test_nothing_of_somebody_else_is_overwritten(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").touch()
    (tmp_path / "file").touch()
    for place in (tmp_path / "full", tmp_path / "file", photos):
        with pytest.raises(errors.AlreadyExists, match="Choose another folder"):
            convert(photos, place)
    convert(photos, tmp_path / "out")
    (tmp_path / "out/thesis.txt").touch()
    with pytest.raises(errors.AlreadyExists):
        convert(photos, tmp_path / "out", digest=True)
    convert(photos / "cats", tmp_path / "cats")
    with pytest.raises(errors.AlreadyExists, match="image directory of something else"):
        convert(photos, tmp_path / "cats")
    (tmp_path / "empty").mkdir()
    assert len(convert(photos, tmp_path / "empty")) == 5


def test_no_image_says_what_was_seen(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(errors.InvalidDataset, match="Got an empty folder") as raised:
        convert(folder, tmp_path / "out", labels="folders")
    assert raised.value.number == 18
    for name in ("a.gif", "b.gif", "c.gif", "d.gif", ".e.jpg"):
        (folder / name).touch()
    expected = r"5 files: 4 wrong extension \(a.gif, b.gif, c.gif, …\); 1 hidden \(.e.jpg\)"
    with pytest.raises(errors.InvalidDataset, match=expected):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert os.listdir(tmp_path) == ["photos"]


@pytest.mark.parametrize("name", ["missing", "file.txt", "pipe", "image.gif"])
def test_what_is_no_source_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "image.gif").write_bytes(b"GIF89a")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.InvalidDataset, match=f"{name}: expected a folder of images"):
        convert(tmp_path / name, tmp_path / "out")


def test_class_folders_can_be_demanded(photos: Path, tmp_path: Path) -> None:
    assert len(convert(photos, tmp_path / "out", labels="folders").categories) == 2
    with pytest.raises(errors.NotLabeled) as raised:
        convert(photos / "cats", tmp_path / "cats", labels="folders")
    assert raised.value.number == 24


def test_a_place_below_a_file_is_refused_before_any_work(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_headers(monkeypatch)
    (tmp_path / "file").touch()
    with pytest.raises(errors.CannotWrite, match="choose another folder"):
        convert(photos, tmp_path / "file" / "out")
    with pytest.raises(errors.CannotWrite, match="Choose a shorter path"):
        convert(photos, tmp_path / ("x" * 300))
    assert read == []


def test_a_full_disk_leaves_nothing_behind(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(photos, tmp_path / "out")
    before = sorted(os.listdir(tmp_path))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("calotype.images.tar_writer.TarWriter.add", full)
    with pytest.raises(errors.CannotWrite, match="Free some disk space"):
        convert(photos, tmp_path / "out", copy=True)
    assert sorted(os.listdir(tmp_path)) == before
    assert len(ImageDirectory.load(tmp_path / "out")) == 5


def test_a_file_size_limit_is_one_message(photos: Path, tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    run = subprocess.run(
        [sys.executable, "-m", "calotype", "convert", photos, tmp_path / "out"],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("error 0046: ")
    assert run.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["photos"]


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
