"""Formats that people send and that are not taken, by their first bytes: to say what to do."""

from __future__ import annotations

from typing import Final

TAKEN: Final = "JPEG, PNG, BMP, TIFF, WebP, PPM or PGM"

_FIRST_BYTES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"%PDF-", "PDF"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"qoif", "QOI"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x1aE\xdf\xa3", "WebM video"),
)
# ISO base media files: `ftyp` at byte 4, then what kind it is.
_BRANDS: Final[dict[bytes, str]] = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"crx ": "Canon raw",
    b"qt  ": "QuickTime video",
}
_TYPES: Final[dict[bytes, str]] = {
    b"image/gif": "GIF",
    b"image/heic": "HEIC",
    b"image/heif": "HEIF",
    b"image/avif": "AVIF",
    b"image/svg+xml": "SVG",
    b"image/jxl": "JPEG XL",
    b"image/jp2": "JPEG 2000",
    b"image/x-icon": "ICO",
    b"image/vnd.microsoft.icon": "ICO",
    b"image/vnd.adobe.photoshop": "Photoshop",
    b"application/pdf": "PDF",
}
_TAKEN_FIRST_BYTES: Final = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"RIFF",
    *(b"P%d" % kind for kind in range(1, 7)),
)


def looks_like_image(data: bytes) -> bool:
    """Whether the first bytes are those of an image, of a format that is taken or not."""
    return data.startswith(_TAKEN_FIRST_BYTES) or format_of(data) is not None


def format_of(data: bytes) -> str | None:
    """Return the name of a format that is not taken, or None for any other content."""
    for first, name in _FIRST_BYTES:
        if data.startswith(first):
            return name
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "MP4 video")
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return "SVG"
    return None


def format_of_type(content_type: bytes) -> str | None:
    """Return the name of a format that is not taken by its media type."""
    return _TYPES.get(content_type)


def advice(name: str) -> str:
    """Return the sentence for an image of a format that is not taken."""
    return f"Expected an image as {TAKEN}. Got {name}; convert it to JPEG or PNG."
