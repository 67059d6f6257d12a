"""Our own tar and zip indexes against the standard library's."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from made_archives import add, skipped
from PIL import Image

from calotype import errors
from calotype.images.convert import convert
from calotype.images.sources.tar_index import TarMember, tar_members
from calotype.images.sources.zip_index import data_offset, zip_members

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
