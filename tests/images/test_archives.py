"""Tar and zip archives: read where they lie, unpacked once, hostile, damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from calotype import errors
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.sources.tar_index import TarMember, tar_members
from calotype.images.sources.unpacked import plain_tar
from calotype.images.sources.unpacking import UnpackLimits
from calotype.images.sources.zip_index import data_offset, zip_members
from calotype.images.tar_writer import TarWriter

Picture = Callable[..., Path]


def open_tar(archive: Path) -> tarfile.TarFile:
    """Open a new tar archive, compressed as its suffix says."""
    if archive.suffix in (".gz", ".tgz"):
        return tarfile.open(archive, "w:gz")
    if archive.suffix == ".bz2":
        return tarfile.open(archive, "w:bz2")
    return tarfile.open(archive, "w:xz" if archive.suffix == ".xz" else "w")


def make_archive(folder: Path, archive: Path) -> Path:
    """Pack a folder as the suffix says; a zip named 'stored' is not compressed."""
    if archive.suffix == ".zip":
        methods = {"stored": zipfile.ZIP_STORED, "bz": zipfile.ZIP_BZIP2}
        method = methods.get(archive.stem, zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(archive, "w", method) as z:
            for path in sorted(folder.rglob("*")):
                z.write(path, path.relative_to(folder))
        return archive
    with open_tar(archive) as tar:
        tar.add(folder, ".")
    return archive


ARCHIVES = ["a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "stored.zip", "a.zip", "bz.zip"]


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
def test_many_threads_read_at_once(name: str, photos: Path, tmp_path: Path) -> None:
    made = convert(make_archive(photos, tmp_path / name), tmp_path / "out")
    entries = list(made.entries()) * 40
    descriptors = len(os.listdir("/proc/self/fd"))
    with made.reader() as reader, ThreadPoolExecutor(8) as pool:
        for entry, data in zip(entries, pool.map(reader.read, entries), strict=True):
            assert data == (photos / entry.path).read_bytes()
    assert len(os.listdir("/proc/self/fd")) == descriptors


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


# Hostile and damaged archives


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **attributes: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(data))


def skipped(directory: ImageDirectory) -> dict[str, str]:
    return {one.path: one.reason for one in directory.skipped()}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_hostile_tar_gets_nowhere(suffix: str, photos: Path, tmp_path: Path) -> None:
    image = (photos / "cats/1.jpg").read_bytes()
    archive = tmp_path / f"hostile.tar{suffix}"
    with open_tar(archive) as tar:
        add(tar, "cats/1.jpg", image)
        add(tar, "../escaped.jpg", image)
        add(tar, "cats/../../escaped.jpg", image)
        add(tar, "/tmp/escaped.jpg", image)  # noqa: S108 - nothing is ever written there
        add(tar, "cats/soft.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "cats/hard.jpg", type=tarfile.LNKTYPE, linkname="/etc/passwd")
        add(tar, "cats/pipe.jpg", type=tarfile.FIFOTYPE)
        add(tar, "cats/disk.jpg", type=tarfile.BLKTYPE, devmajor=8)
        add(tar, "cats/zero.jpg", type=tarfile.CHRTYPE, devmajor=1, devminor=5)
        add(tar, "dogs/1.jpg", image)
    made = convert(archive, tmp_path / "out")
    assert [entry.path for entry in made.entries()] == ["cats/1.jpg", "dogs/1.jpg"]
    assert skipped(made) == {
        "../escaped.jpg": "unsafe path",
        "cats/../../escaped.jpg": "unsafe path",
        "/tmp/escaped.jpg": "unsafe path",  # noqa: S108
        "cats/soft.jpg": "link",
        "cats/hard.jpg": "link",
        "cats/pipe.jpg": "not a regular file",
        "cats/disk.jpg": "not a regular file",
        "cats/zero.jpg": "not a regular file",
    }
    assert sorted(os.listdir(tmp_path)) == sorted([archive.name, "out", "photos"])


def test_a_hostile_zip_gets_nowhere(photos: Path, tmp_path: Path) -> None:
    image = (photos / "cats/1.jpg").read_bytes()
    archive = tmp_path / "hostile.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("cats/1.jpg", image)
        z.writestr("../escaped.jpg", image)
        z.writestr("/etc/escaped.jpg", image)
        z.writestr("cats\\..\\..\\escaped.jpg", image)
        link = zipfile.ZipInfo("cats/link.jpg")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        z.writestr(link, "/etc/passwd")
        z.writestr("dogs\\1.jpg", image)  # as some programs on Windows write it
        lzma = zipfile.ZipInfo("dogs/lzma.jpg")
        z.writestr(lzma, image, zipfile.ZIP_LZMA)
    made = convert(archive, tmp_path / "out")
    assert [entry.path for entry in made.entries()] == ["cats/1.jpg", "dogs/1.jpg"]
    assert skipped(made) == {
        "../escaped.jpg": "unsafe path",
        "/etc/escaped.jpg": "unsafe path",
        "cats/../../escaped.jpg": "unsafe path",
        "cats/link.jpg": "link",
        "dogs/lzma.jpg": "unknown compression",
    }


def test_encrypted_members_are_listed(photos: Path, tmp_path: Path) -> None:
    archive = make_archive(photos, tmp_path / "a.zip")
    data = bytearray(archive.read_bytes())
    entry = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)  # of a folder, then cats/1.jpg
    data[entry + 8] |= 1
    archive.write_bytes(data)
    made = convert(archive, tmp_path / "out")
    assert skipped(made) == {"cats/1.jpg": "encrypted"}
    with pytest.raises(errors.InvalidArchive, match=r"^cats/1.jpg: .*encrypted"):
        convert(archive, tmp_path / "out", on_error="fail")


@pytest.mark.parametrize("name", ["a.zip", "bz.zip"])
def test_a_damaged_member_of_a_zip_is_unreadable_alone(
    name: str, photos: Path, tmp_path: Path
) -> None:
    archive = make_archive(photos, tmp_path / name)
    with zipfile.ZipFile(archive) as z:
        member = z.getinfo("cats/2.png")
    data = bytearray(archive.read_bytes())
    middle = member.header_offset + 30 + len(member.filename) + member.compress_size // 2
    data[middle] ^= 0xFF
    archive.write_bytes(data)
    made = convert(archive, tmp_path / "out")
    assert skipped(made) == {"cats/2.png": "unreadable"}
    with made.reader() as reader:
        for entry in made.entries():
            assert reader.read(entry) == (photos / entry.path).read_bytes()


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.zip", "bz.zip"])
def test_a_bomb_is_stopped(name: str, tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "bomb"
    folder.mkdir()
    (folder / "1.bmp").write_bytes(bytes(20_000_000))
    archive = make_archive(folder, tmp_path / name)
    for limits, reason in (
        (UnpackLimits(max_bytes=10_000_000), "at most 10,000,000 bytes"),
        (UnpackLimits(max_ratio=50, ratio_from_bytes=1_000_000), "at most 50 bytes"),
    ):
        with pytest.raises(errors.InvalidArchive, match=reason) as raised:
            plain_tar(archive, limits=limits)
        assert raised.value.number == 102
    assert list(cache.rglob("*.tar")) == []
    assert plain_tar(archive).exists()  # neither limit applies to 20 MB by default


def test_a_zip_that_lies_about_sizes_is_stopped(tmp_path: Path, cache: Path) -> None:
    archive = tmp_path / "lies.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("1.bmp", bytes(5_000_000))
    data = bytearray(archive.read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + 24 : entry + 28] = struct.pack("<L", 1000)
    archive.write_bytes(data)
    with pytest.raises(errors.InvalidDataset, match=r"1 unreadable \(1.bmp\)"):
        convert(archive, tmp_path / "out")
    (unpacked,) = cache.rglob("*.tar")
    assert unpacked.stat().st_size == 10240


def test_a_member_that_fails_leaves_nothing_in_the_tar(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield bytes(50_000)
        raise ValueError

    with TarWriter(tmp_path / "a.tar") as tar:
        tar.add("first", b"1")
        with pytest.raises(ValueError, match=r"^$"):
            tar.add_parts("second", failing(), size=100_000)
        offset = tar.add("third", b"3")
    assert (tmp_path / "a.tar").stat().st_size == 10240
    assert (tmp_path / "a.tar").read_bytes()[offset : offset + 1] == b"3"
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == ["first", "third"]


def test_too_many_members_are_a_bomb(photos: Path, tmp_path: Path) -> None:
    from calotype.images.sources.tar import TarSource
    from calotype.images.sources.zip import ZipSource

    limits = UnpackLimits(max_members=4)
    sources = (
        TarSource(make_archive(photos, tmp_path / "a.tar"), limits=limits),
        ZipSource(make_archive(photos, tmp_path / "stored.zip"), limits=limits),
    )
    for source in sources:
        with pytest.raises(errors.InvalidArchive, match="at most 4 members"):
            list(source.chunks())


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_cut_archive_is_error_0102(
    name: str, part: float, photos: Path, tmp_path: Path, cache: Path
) -> None:
    archive = make_archive(photos, tmp_path / name)
    data = archive.read_bytes()
    kept = int(len(data) * part)
    if archive.suffix == ".tar":  # which is padded at its end
        kept = int((len(data.rstrip(b"\0")) - 100) * part)
    archive.write_bytes(data[:kept])
    with pytest.raises(errors.InvalidArchive) as raised:
        convert(archive, tmp_path / "out")
    assert raised.value.number == 102
    assert not (tmp_path / "out").exists()
    assert not list(cache.rglob(".*"))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.gz", "a.tar.bz2", "a.tar.xz"])
def test_what_is_only_called_an_archive_is_error_0102(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"this is no archive, whatever it is called" * 20)
    with pytest.raises(errors.InvalidArchive):
        convert(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_empty_archive_is_error_0018(name: str, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    archive = make_archive(tmp_path / "nothing", tmp_path / name)
    with pytest.raises(errors.InvalidDataset, match="expected at least one readable image"):
        convert(archive, tmp_path / "out")


def test_one_disk_of_several_is_error_0102(photos: Path, tmp_path: Path) -> None:
    archive = make_archive(photos, tmp_path / "stored.zip")
    data = bytearray(archive.read_bytes())
    end = data.rindex(b"PK\5\6")
    data[end + 4 : end + 6] = b"\1\0"
    archive.write_bytes(data)
    with pytest.raises(errors.InvalidArchive, match="one part of an archive in several"):
        convert(archive, tmp_path / "out")


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


# The indexes against the standard library

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
MEMBERS = st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=8)


def reading(data: bytes) -> Callable[[int, int], bytes]:
    return lambda count, position: data[position : position + count]


@settings(deadline=None)
@given(MEMBERS, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.integers(1, 40))
def test_the_tar_index_agrees_with_tarfile(
    members: list[tuple[str, bytes]], format_: int, repeat: int
) -> None:
    buffer = io.BytesIO()
    members = [(name.rstrip("/") + "x", data) for name, data in members]  # else it is a folder
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for name, data in members:
            add(tar, name * repeat, data)
            add(tar, name * repeat, type=tarfile.SYMTYPE, linkname=name * 60)
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as tar:
        expected = [(m.name, m.offset_data, m.size) for m in tar if m.isreg()]
    archive = buffer.getvalue()
    found = list(tar_members(reading(archive), size=len(archive), where="a.tar"))
    files = [member for member in found if member.kind == "file"]
    assert [(m.name, m.offset, m.size) for m in files] == expected


@settings(deadline=None)
@given(MEMBERS)
def test_the_zip_index_agrees_with_zipfile(members: list[tuple[str, bytes]]) -> None:
    buffer = io.BytesIO()
    unique = {name.replace("\\", "").strip("/") or "x": data for name, data in members}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in unique.items():
            with z.open(name, "w", force_zip64=len(data) % 2 == 0) as file:
                file.write(data)
    archive = buffer.getvalue()
    read = reading(archive)
    found = list(zip_members(read, size=len(archive), where="a.zip"))
    assert [member.name for member in found] == list(unique)
    for member in found:
        start = data_offset(read, member, where="a.zip")
        packed = archive[start : start + member.stored_size]
        assert zlib.decompress(packed, -15) == unique[member.name]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_archives_give_members_or_error_0102(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    if is_tar := data.draw(st.booleans()):
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            add(tar, "é" * 80 + ".jpg", b"x" * 600)
            add(tar, "a.jpg", b"x")
    else:
        with zipfile.ZipFile(buffer, "w") as z:
            z.writestr("é.jpg", b"x" * 600)
            z.writestr("a.jpg", b"x")
    archive = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    if is_tar and data.draw(st.booleans()):  # a header that is wrong and well summed up
        archive[148:156] = b" " * 8
        archive[148:156] = b"%06o\0 " % sum(archive[:512])
    cut = bytes(archive[: data.draw(st.integers(0, len(archive)))])
    index = tar_members if is_tar else zip_members
    try:
        for member in index(reading(cut), size=len(cut), where="archive"):
            if isinstance(member, TarMember):
                assert 0 <= member.offset + member.size <= len(cut)
            else:
                data_offset(reading(cut), member, where="archive")
    except errors.InvalidArchive as error:
        assert str(error).startswith("archive: ")  # noqa: PT017 - either is fine


def gnu_sparse() -> Iterator[bytes]:
    """A member of type S whose map needs one more block, then a plain one."""
    header = bytearray(tarfile.TarInfo("sparse.jpg").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"%011o\0" % 5
    header[156:157] = b"S"
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    yield bytes(header) + bytes(512) + b"hello".ljust(512, b"\0")
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    member = tarfile.TarInfo("plain.png")
    member.size = len(buffer.getvalue())
    yield member.tobuf(tarfile.GNU_FORMAT) + buffer.getvalue().ljust(1024, b"\0")


def test_sparse_members_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"".join(gnu_sparse()) + bytes(1024))
    made = convert(tmp_path / "a.tar", tmp_path / "out")
    assert [entry.path for entry in made.entries()] == ["plain.png"]
    assert skipped(made) == {"sparse.jpg": "not a regular file"}
