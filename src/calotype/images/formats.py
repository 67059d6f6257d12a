"""The nine extensions, the limits, and the headers of image files: size and format, no pixel.

JPEG, PNG and WebP headers are parsed here, because a million of them are read when a set is
converted: 4 µs against 60 µs and more by Pillow, which for WebP even reads the whole file. The
rarer formats, and every header that looks unusual, go through Pillow. What a file contains
decides; its extension never does.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from calotype import errors

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

EXTENSIONS: Final = frozenset(
    (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
)

_FIRST_BLOCK_BYTES: Final = 4096
# A JPEG of 256 MB in segments of the greatest size has 4,096; more is an attack on our time.
_MOST_JPEG_SEGMENTS: Final = 5000

ReadAt = Callable[[int, int], bytes]
"""Takes a count and a position, returns that many bytes of the image, fewer at its end."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest image that is accepted; a larger one is error 0127.

    Args:
        max_pixels: width times height; the default is that of Pillow against decompression bombs.
        max_bytes: size of the encoded file; 256 MiB by default.
    """

    max_pixels: int = 89_478_485
    max_bytes: int = 268_435_456


DEFAULT_LIMITS: Final = ImageLimits()


class ImageHeader(NamedTuple):
    """What the first bytes of an image file tell."""

    width: int
    """In pixels, as stored: before any EXIF rotation."""
    height: int
    format: str
    """`JPEG`, `PNG`, `WEBP`, `BMP`, `TIFF` or `PPM` (PGM included)."""


def has_image_extension(name: str) -> bool:
    """Return whether a file name ends in one of the nine extensions, in any case."""
    return name[name.rfind(".") :].lower() in EXTENSIONS


def read_header(descriptor: int, *, offset: int = 0, length: int, where: str = "") -> ImageHeader:
    """Read the size and format of an image inside an open file.

    Args:
        descriptor: an open file; its position is neither used nor moved.
        offset: where the image begins, in bytes.
        length: size of the image, in bytes.
        where: the name for messages.

    Raises:
        UnreadableFile: the content is no image of the supported formats, or its header is cut off.
    """

    def read_inside(count: int, position: int) -> bytes:
        return read_at(descriptor, min(count, length - position), offset + position)

    head = read_inside(_FIRST_BLOCK_BYTES, 0)
    if head.startswith(b"\xff\xd8\xff"):
        header = _jpeg_header(head, read_inside)
    elif head.startswith(b"\x89PNG\r\n\x1a\n"):
        header = _png_header(head)
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        header = _webp_header(head)
    else:
        header = None
    return header or _header_by_pillow(head, read_inside, length, where)


_position_lock = threading.Lock()


def read_at(descriptor: int, count: int, position: int) -> bytes:
    """Read up to `count` bytes from `position`; safe for many threads on one descriptor."""
    if count <= 0:
        return b""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, position)
    with _position_lock:  # Windows
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.read(descriptor, count)


def _jpeg_header(block: bytes, read_inside: ReadAt) -> ImageHeader | None:
    """Walk over the segments to the frame header (ITU-T T.81, B.2.2); None when in doubt."""
    start, position = 0, 2
    for _ in range(_MOST_JPEG_SEGMENTS):
        here = position - start
        if here + 10 > len(block):
            block, start, here = read_inside(_FIRST_BLOCK_BYTES, position), position, 0
            if len(block) < 10:
                return None
        filler, marker, size = struct.unpack_from(">BBH", block, here)
        if 0xC0 <= marker <= 0xC2:  # baseline, extended, progressive
            precision, height, width, channels = struct.unpack_from(">BHHB", block, here + 4)
            is_usual = precision == 8 and channels in (1, 3, 4) and width and height
            return ImageHeader(width, height, "JPEG") if is_usual else None
        is_table = marker == 0xC4 or 0xDB <= marker <= 0xEF or marker == 0xFE
        if filler != 0xFF or not is_table or size < 2:
            return None
        position += 2 + size
    raise _no_image("a JPEG with too many segments", "")


def _png_header(head: bytes) -> ImageHeader | None:
    """Read the IHDR chunk, which comes first and has a checksum; None when in doubt."""
    if len(head) < 33 or head[8:16] != b"\x00\x00\x00\x0dIHDR":
        return None
    width, height = struct.unpack_from(">II", head, 16)
    is_whole = zlib.crc32(head[12:29]) == int.from_bytes(head[29:33], "big")
    return ImageHeader(width, height, "PNG") if is_whole and width and height else None


def _webp_header(head: bytes) -> ImageHeader | None:
    """Read the first chunk (RFC 9649): extended, lossless or lossy; None when in doubt."""
    chunk, body = head[12:16], head[20:30]
    if len(body) < 10:
        return None
    if chunk == b"VP8X":
        width, height = (int.from_bytes(body[i : i + 3], "little") + 1 for i in (4, 7))
    elif chunk == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
    else:
        return None
    return ImageHeader(width, height, "WEBP") if width and height else None


def _header_by_pillow(head: bytes, read_inside: ReadAt, length: int, where: str) -> ImageHeader:
    """Let Pillow's parser of that format read the header, without its guess and pixel limit.

    The parsers are called by name: `Image.open` would refuse large images before their size is
    known, and warn about others through a filter that all threads share.
    """
    parser = _parser_of(head)
    if parser is None:
        raise _no_image("a file of another format" if head else "an empty file", where)
    window = io.BufferedReader(_Window(read_inside, length))
    try:
        with parser(window, "") as image:
            return ImageHeader(*image.size, parser.format or "")
    except (OSError, SyntaxError, ValueError, OverflowError, UserWarning) as error:
        # Pillow's parsers report damage with any of these.
        raise _no_image(str(error) or type(error).__name__, where) from error


def _parser_of(head: bytes) -> type[ImageFile] | None:
    from PIL import (
        BmpImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile
    parsers: tuple[tuple[tuple[bytes, ...], type[ImageFile]], ...] = (
        ((b"\xff\xd8\xff",), JpegImagePlugin.JpegImageFile),
        ((b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
        ((b"BM",), BmpImagePlugin.BmpImageFile),
        ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
        ((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), PpmImagePlugin.PpmImageFile),
    )
    return next((parser for magic, parser in parsers if head.startswith(magic)), None)


class _Window(io.RawIOBase):
    """The bytes of one image inside a larger file, as the file object that Pillow wants."""

    def __init__(self, read_inside: ReadAt, length: int) -> None:
        self._read_inside = read_inside
        self._length = length
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - called by BufferedReader alone
        data = self._read_inside(len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position


def _no_image(got: str, where: str) -> errors.UnreadableFile:
    expected = "expected a readable image (JPEG, PNG, BMP, TIFF, WebP, PPM or PGM)"
    return errors.UnreadableFile(expected, where=where, got=got)
