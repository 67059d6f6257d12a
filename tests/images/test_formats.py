"""Headers: size and format of all nine extensions, and of everything that only pretends."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from calotype import errors
from calotype.images import formats
from calotype.images.formats import (
    EXTENSIONS,
    ImageHeader,
    ImageLimits,
    has_image_extension,
    read_header,
)

FORMAT_OF = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}


def header_of(
    data: bytes, folder: Path, *, before: bytes = b"", after: bytes = b"\xff\xd8 another one"
) -> ImageHeader:
    """Read the header of an image that lies between other things in a file."""
    path = folder / "file"
    path.write_bytes(before + data + after)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return read_header(descriptor, offset=len(before), length=len(data), where="file")
    finally:
        os.close(descriptor)


def encoded(
    format_: str, *, mode: str = "RGB", size: tuple[int, int] = (31, 17), **o: Any
) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format_, **o)
    return buffer.getvalue()


def test_there_are_nine_extensions_in_any_case() -> None:
    assert FORMAT_OF.keys() == EXTENSIONS
    assert has_image_extension("a.JPG")
    assert has_image_extension("a.b.TiFf")
    assert not has_image_extension("a.gif")
    assert not has_image_extension("jpg")
    assert not has_image_extension("a.jpg.txt")


@pytest.mark.parametrize("extension", sorted(FORMAT_OF))
def test_every_extension_has_its_header_read(
    extension: str, tmp_path: Path, picture: Callable[..., Path]
) -> None:
    data = picture(tmp_path / f"a{extension}", (31, 17)).read_bytes()
    assert header_of(data, tmp_path, before=b"x" * 777) == (31, 17, FORMAT_OF[extension])


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("JPEG", {"mode": "L"}),
        ("JPEG", {"mode": "CMYK"}),
        ("JPEG", {"exif": b"Exif\0\0" + b"e" * 9000}),
        ("JPEG", {"comment": b"c" * 5000}),
        ("JPEG", {"icc_profile": b"p" * 200_000}),
        ("PNG", {"mode": "I;16"}),
        ("PNG", {"mode": "P"}),
        ("PNG", {"mode": "1"}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"mode": "RGBA"}),
        ("WEBP", {"exif": b"Exif\0\0"}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"big_tiff": True}),
        ("BMP", {"mode": "1"}),
        ("PPM", {"mode": "L"}),
    ],
)
def test_variants_of_the_formats(format_: str, options: dict[str, Any], tmp_path: Path) -> None:
    data = encoded(format_, size=(301, 17), **options)
    with Image.open(io.BytesIO(data)) as image:  # the oracle
        assert header_of(data, tmp_path) == (*image.size, format_)


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"mode": "CMYK"}),
        ("JPEG", {"icc_profile": b"p" * 200_000}),
        ("PNG", {"mode": "RGBA"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"mode": "RGBA", "lossless": True, "exif": b"Exif\0\0"}),
    ],
)
def test_usual_files_need_no_pillow(
    format_: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(format_, **options)
    monkeypatch.setattr(formats, "_header_by_pillow", None)
    assert header_of(data, tmp_path) == (31, 17, format_)


def test_a_frame_header_may_straddle_any_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_header_by_pillow", None)
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 17, 31, 3) + bytes(9)
    for length in range(4060, 4110):
        comment = b"\xff\xfe" + struct.pack(">H", length + 2) + bytes(length)
        assert header_of(b"\xff\xd8" + comment + frame, tmp_path) == (31, 17, "JPEG")


def test_sides_are_as_stored_before_rotation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert header_of(encoded("JPEG", size=(40, 30), exif=exif), tmp_path) == (40, 30, "JPEG")


def test_a_picture_larger_than_pillow_would_open_has_a_size(tmp_path: Path) -> None:
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 50_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + ihdr + struct.pack(">I", zlib.crc32(ihdr))
    assert header_of(data, tmp_path) == (60_000, 50_000, "PNG")
    bitmap = bytearray(encoded("BMP"))
    bitmap[18:26] = struct.pack("<ii", 60_000, 50_000)
    assert header_of(bytes(bitmap), tmp_path) == (60_000, 50_000, "BMP")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0",
        b"\xff\xd8\xff\xd9",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"BM",
        b"II*\0",
        b"P6",
        b"P6\n0 0\n255\n",
        b"plain text",
        encoded("GIF"),
        encoded("ICO", size=(16, 16)),
        encoded("JPEG")[:100],
        encoded("PNG")[:20],
        encoded("WEBP")[:22],
        encoded("TIFF")[:9],
    ],
)
def test_what_is_no_whole_header_is_unreadable(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(errors.UnreadableFile, match=r"^file: expected a readable image") as raised:
        header_of(data, tmp_path)
    assert raised.value.number == 48


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_nothing_is_read_beyond_the_end_of_an_image(format_: str, tmp_path: Path) -> None:
    data = encoded(format_)
    with pytest.raises(errors.UnreadableFile):
        header_of(data[:9], tmp_path, after=data[9:])


def test_a_jpeg_without_end_of_segments_costs_no_time(tmp_path: Path) -> None:
    with pytest.raises(errors.UnreadableFile, match="too many segments"):
        header_of(b"\xff\xd8" + b"\xff\xe0\0\x02" * 100_000, tmp_path)


def test_a_png_with_a_wrong_checksum_is_unreadable(tmp_path: Path) -> None:
    data = bytearray(encoded("PNG"))
    data[19] ^= 1  # the width; the checksum does not fit any more
    with pytest.raises(errors.UnreadableFile):
        header_of(bytes(data), tmp_path)


@settings(deadline=None, max_examples=300)
@given(
    format_=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM"]),
    changes=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 2000),
)
def test_damaged_headers_give_a_size_or_one_error(
    format_: str, changes: list[tuple[int, int]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(encoded(format_))
    for position, value in changes:
        if position < len(data):
            data[position] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about damaged TIFF tags
        try:
            header = header_of(bytes(data[:cut]), tmp_path_factory.getbasetemp())
        except errors.UnreadableFile:
            return
    assert header.width > 0
    assert header.height > 0


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@given(width=st.integers(1, 400), height=st.integers(1, 400))
@settings(deadline=None, max_examples=30)
def test_own_parsers_agree_with_pillow(
    format_: str, width: int, height: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = encoded(format_, size=(width, height))
    assert header_of(data, tmp_path_factory.getbasetemp()) == (width, height, format_)


def test_default_limits() -> None:
    assert ImageLimits() == ImageLimits(max_pixels=89_478_485, max_bytes=268_435_456)
