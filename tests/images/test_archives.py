"""Tar and zip archives: read where they lie, or unpacked once."""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from made_archives import ARCHIVES, add, make_archive, skipped

from calotype import errors
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.sources.unpacked import plain_tar


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_its_folder(name: str, photos: Path, tmp_path: Path) -> None:
    (photos / "empty").mkdir()
    (photos / "cats/readme.txt").write_text("no image")
    expected = convert(photos, tmp_path / "folder")
    made = convert(make_archive(photos, tmp_path / name), tmp_path / "archive")
    assert made.info.counts == expected.info.counts
    assert made.categories == ["cats", "dogs", "empty"]
    by_path = {entry.path: entry for entry in made.entries()}
    with made.reader() as reader:
        for entry in expected.entries():
            found = by_path[entry.path]
            assert (found.category, found.width, found.bytes) == (entry.category, 8, entry.bytes)
            assert found.length == found.bytes
            assert reader.read(found) == (photos / entry.path).read_bytes()
    assert sorted(os.listdir(tmp_path)) == sorted(["archive", "folder", "photos", name])


@pytest.mark.parametrize("name", ["a.tar", "stored.zip"])
def test_uncompressed_members_are_read_where_they_lie(
    name: str, photos: Path, tmp_path: Path, cache: Path
) -> None:
    archive = make_archive(photos, tmp_path / name)
    made = convert(archive, tmp_path / "out")
    data = archive.read_bytes()
    for entry in made.entries():
        assert entry.container == name
        assert entry.offset is not None
        image = (photos / entry.path).read_bytes()
        assert data[entry.offset : entry.offset + entry.bytes] == image
    assert list(cache.rglob("*.tar")) == []


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "stored.zip"])
def test_many_threads_read_at_once(name: str, photos: Path, tmp_path: Path, cache: Path) -> None:
    made = convert(make_archive(photos, tmp_path / name), tmp_path / "out")
    entries = list(made.entries()) * 40
    with made.reader() as reader, ThreadPoolExecutor(8) as pool:
        for entry, data in zip(entries, pool.map(reader.read, entries), strict=True):
            assert data == (photos / entry.path).read_bytes()
        assert open_below(tmp_path, cache) != []
    assert open_below(tmp_path, cache) == []


def open_below(*folders: Path) -> list[str]:
    """Return the files of some folders that this process has open."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    # The listing's own descriptor is gone by now.
    opened = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [path for path in opened if path.startswith(tuple(f"{one}/" for one in folders))]


def test_a_single_compressed_image(photos: Path, tmp_path: Path) -> None:
    image = (photos / "cats/1.jpg").read_bytes()
    (tmp_path / "cat.JPG.gz").write_bytes(gzip.compress(image))
    (tmp_path / "cat.png.bz2").write_bytes(bz2.compress((photos / "cats/2.png").read_bytes()))
    with gzip.GzipFile(tmp_path / "named.gz", "wb", fileobj=None) as file:
        file.write(image)
    shutil.copy(photos / "cats/1.jpg", tmp_path / "inner.jpg")
    subprocess.run(["gzip", "-N", tmp_path / "inner.jpg"], check=True)
    (tmp_path / "inner.jpg.gz").rename(tmp_path / "outer.gz")
    for name, path in (
        ("cat.JPG.gz", "cat.JPG"),
        ("cat.png.bz2", "cat.png"),
        ("outer.gz", "inner.jpg"),
    ):
        with ImageDirectory.open(tmp_path / name) as made:
            assert [entry.path for entry in made.entries()] == [path]
    with pytest.raises(errors.InvalidArchive, match="a compressed file 'named'"):
        convert(tmp_path / "named.gz", tmp_path / "out")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_a_compressed_archive_is_unpacked_once(
    name: str, photos: Path, tmp_path: Path, cache: Path
) -> None:
    archive = make_archive(photos, tmp_path / name)
    made = convert(archive, tmp_path / "out")
    (unpacked,) = cache.rglob("*.tar")
    written = unpacked.stat().st_mtime_ns
    convert(archive, tmp_path / "again")
    assert unpacked.stat().st_mtime_ns == written

    unpacked.unlink()  # as a cache may be; it is made again when it is needed
    with made.reader() as reader:
        for entry in made.entries():
            assert reader.read(entry) == (photos / entry.path).read_bytes()
    assert unpacked.exists()

    os.utime(archive, ns=(1, 1))  # another archive now: the old one's copy goes
    convert(archive, tmp_path / "out")
    assert len(list(cache.rglob("*.tar"))) == 1
    assert not unpacked.exists()


def test_converting_an_unchanged_archive_again_does_not_even_unpack(
    photos: Path, tmp_path: Path, cache: Path
) -> None:
    archive = make_archive(photos, tmp_path / "a.tar.gz")
    first = convert(archive, tmp_path / "out")
    shutil.rmtree(cache)
    assert convert(archive, tmp_path / "out").info == first.info
    assert not cache.exists()


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "stored.zip"])
def test_a_changed_or_missing_archive_is_noticed(name: str, photos: Path, tmp_path: Path) -> None:
    archive = make_archive(photos, tmp_path / name)
    made = convert(archive, tmp_path / "out")
    entry = next(made.entries())
    os.utime(archive, ns=(1, 1))
    with made.reader() as reader, pytest.raises(errors.UnreadableFile, match="has changed"):
        reader.read(entry)
    archive.unlink()
    with made.reader() as reader, pytest.raises(errors.UnreadableFile, match="No such file"):
        reader.read(entry)


def test_two_programs_convert_the_same_archive_at_once(
    photos: Path, tmp_path: Path, cache: Path
) -> None:
    archive = make_archive(photos, tmp_path / "a.tar.bz2")
    command = [sys.executable, "-m", "calotype", "convert", "-q", archive]
    running = [subprocess.Popen([*command, tmp_path / f"out{n}"]) for n in range(2)]
    assert [program.wait(timeout=60) for program in running] == [0, 0]
    first, second = (ImageDirectory.load(tmp_path / f"out{n}") for n in range(2))
    assert list(first.entries()) == list(second.entries())
    assert len(list(cache.rglob("*.tar"))) == 1
    assert not list(cache.rglob(".*.tar"))


def test_one_waits_while_another_unpacks(photos: Path, tmp_path: Path, cache: Path) -> None:
    from calotype import files

    archive = make_archive(photos, tmp_path / "a.tar.gz")
    unpacked = plain_tar(archive)
    os.utime(unpacked, ns=(1, 1))
    unpacked.rename(tmp_path / "aside")
    lock = next((cache / "unpacked").glob("*.lock"))
    with ThreadPoolExecutor(1) as pool:
        with files.locked(lock, what="the archive"):
            waiting = pool.submit(plain_tar, archive)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            (tmp_path / "aside").rename(unpacked)  # what the other one has made meanwhile
        assert waiting.result(timeout=30).stat().st_mtime_ns == 1


def test_an_archive_is_known_by_its_content(photos: Path, tmp_path: Path) -> None:
    make_archive(photos, tmp_path / "a.tar.gz").rename(tmp_path / "photos.zip")
    assert len(convert(tmp_path / "photos.zip", tmp_path / "out")) == 5


def test_a_folder_that_holds_one_archive_stands_for_it(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    make_archive(photos, tmp_path / "dataset/photos.zip")
    (tmp_path / "dataset/.DS_Store").touch()
    assert convert(tmp_path / "dataset", tmp_path / "out").categories == ["cats", "dogs"]
    make_archive(photos, tmp_path / "dataset/more.zip")
    with pytest.raises(errors.InvalidDataset, match="convert the archive itself"):
        convert(tmp_path / "dataset", tmp_path / "two")


def test_hidden_members_are_listed(photos: Path, tmp_path: Path) -> None:
    for name in ("cats/.thumb.jpg", ".git/1.jpg", "dogs/.old/1.jpg", "__MACOSX/cats/._1.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    made = convert(make_archive(photos, tmp_path / "a.tar"), tmp_path / "out")
    assert skipped(made) == {
        "cats/.thumb.jpg": "hidden",
        ".git/1.jpg": "hidden",
        "dogs/.old/1.jpg": "hidden",
        "__MACOSX/cats/._1.jpg": "__MACOSX",
    }
    assert made.categories == ["cats", "dogs"]


@pytest.mark.parametrize("format_", [1, 2], ids=["GNU", "pax"])
def test_a_tar_with_a_member_of_nine_gigabytes(
    format_: Literal[1, 2], photos: Path, tmp_path: Path
) -> None:
    large = tarfile.TarInfo("large.bin")
    large.size = 9 << 30  # more than the eleven octal digits of the size field can say
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(large.tobuf(format_))
        file.seek(large.size, os.SEEK_CUR)  # a hole
        with tarfile.open(fileobj=file, mode="w", format=format_) as tar:
            tar.add(photos / "cats/1.jpg", "cats/1.jpg")
    made = convert(tmp_path / "a.tar", tmp_path / "out")
    with made.reader() as reader:
        assert reader.read(next(made.entries())) == (photos / "cats/1.jpg").read_bytes()


def test_a_zip_beyond_four_gigabytes(photos: Path, tmp_path: Path) -> None:
    with (tmp_path / "large.zip").open("wb") as file:
        file.seek(5 << 30)  # a hole
        with zipfile.ZipFile(file, "w") as z:
            for name in ("cats/1.jpg", "dogs/1.jpg"):
                z.write(photos / name, name)
    made = convert(tmp_path / "large.zip", tmp_path / "out")
    with made.reader() as reader:
        for entry in made.entries():
            assert entry.offset is not None
            assert entry.offset > 5 << 30
            assert reader.read(entry) == (photos / entry.path).read_bytes()
    assert len(made) == 2


def test_what_an_interrupted_run_left_in_the_cache_is_removed(photos: Path, tmp_path: Path) -> None:
    archive = make_archive(photos, tmp_path / "a.tar.gz")
    unpacked = plain_tar(archive)
    left = unpacked.with_name(f".{unpacked.stem}.4711.tar")
    unpacked.rename(left)
    assert plain_tar(archive) == unpacked
    assert not left.exists()


def test_something_before_a_zip_is_passed_over(photos: Path, tmp_path: Path) -> None:
    archive = make_archive(photos, tmp_path / "stored.zip")
    archive.write_bytes(b"#!/bin/sh\n" * 50 + archive.read_bytes())
    made = convert(archive, tmp_path / "out")
    with made.reader() as reader:
        for entry in made.entries():
            assert reader.read(entry) == (photos / entry.path).read_bytes()


@pytest.mark.parametrize("name", ["a.tar", "stored.zip", "a.zip"])
def test_of_a_path_that_comes_twice_the_last_counts(
    name: str, photos: Path, tmp_path: Path
) -> None:
    archive = make_archive(photos, tmp_path / name)
    newer = (photos / "cats/3.JPG").read_bytes()
    if archive.suffix == ".tar":
        with tarfile.open(archive, "a") as tar:
            add(tar, "./cats/1.jpg", newer)
    else:
        with zipfile.ZipFile(archive, "a") as z, pytest.warns(UserWarning, match="Duplicate"):
            z.writestr("cats/1.jpg", newer)
    made = convert(archive, tmp_path / "out")
    assert skipped(made) == {"cats/1.jpg": "replaced by a later file"}
    (entry,) = (entry for entry in made.entries() if entry.path == "cats/1.jpg")
    with made.reader() as reader:
        assert reader.read(entry) == newer


def test_a_tar_without_folder_entries_still_has_its_empty_class(
    photos: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "cats/1.jpg", (photos / "cats/1.jpg").read_bytes())
        add(tar, "birds/readme.txt", b"none yet")
    assert convert(tmp_path / "a.tar", tmp_path / "out").categories == ["birds", "cats"]
