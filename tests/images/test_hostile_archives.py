"""Hostile, damaged and empty archives: refused, listed or stopped, and nothing left behind."""

from __future__ import annotations

import os
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_archives import ARCHIVES, add, make_archive, open_tar, skipped

from calotype import errors
from calotype.images.convert import convert
from calotype.images.sources.unpacked import plain_tar
from calotype.images.sources.unpacking import UnpackLimits
from calotype.images.tar_writer import TarWriter


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
