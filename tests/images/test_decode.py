"""From the bytes of an image file to an upright RGB picture."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calotype import errors
from calotype.images.decode import decode
from calotype.images.formats import ImageLimits


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    values = np.indices((height, width)).sum(axis=0) * 255 // (width + height - 2)
    return Image.fromarray(np.stack([values, values[::-1], values[:, ::-1]], 2).astype(np.uint8))


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_pixels_back(format: str) -> None:
    picture = decode(encoded(gradient(), format))
    assert np.array_equal(np.asarray(picture.image), np.asarray(gradient()))
    assert picture.full_size == (40, 30)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lossy_formats_give_nearly_the_pixels_back(format: str) -> None:
    picture = decode(encoded(gradient(), format, quality=95))
    difference = np.abs(np.asarray(picture.image, int) - np.asarray(gradient(), int))
    assert difference.mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_sets_the_picture_upright(orientation: int) -> None:
    upright = gradient()
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(encoded(stored, "PNG", exif=exif))
    assert np.array_equal(np.asarray(picture.image), np.asarray(upright))
    assert picture.full_size == upright.size


def test_alpha_is_flattened_on_white_and_hides_the_color_beneath() -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0] = (255, 0, 0, 0)  # red, fully transparent
    pixels[1] = (0, 0, 0, 128)
    got = np.asarray(decode(encoded(Image.fromarray(pixels), "PNG")).image)
    assert (got[0] == 255).all()
    assert abs(int(got[1, 0, 0]) - 127) <= 1


def test_gray_with_alpha_and_transparent_palettes_are_flattened_too() -> None:
    gray = Image.fromarray(np.zeros((2, 2, 2), np.uint8), "LA")
    assert (np.asarray(decode(encoded(gray, "PNG")).image) == 255).all()
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert (np.asarray(decode(encoded(palette, "PNG", transparency=0)).image) == 255).all()
    assert tuple(np.asarray(decode(encoded(palette, "PNG")).image)[0, 0]) == (10, 20, 30)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_gray_keeps_its_range(format: str) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    got = np.asarray(decode(encoded(Image.fromarray(ramp), format)).image)
    assert np.array_equal(got[..., 0], (ramp >> 8).astype(np.uint8))
    assert np.array_equal(got[..., 0], got[..., 2])


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_floating_point_gray_is_zero_to_one_or_to_255(scale: float) -> None:
    ramp = np.linspace(0, scale, 64, dtype=np.float32).reshape(8, 8)
    got = np.asarray(decode(encoded(Image.fromarray(ramp), "TIFF")).image)
    assert got.min() == 0
    assert got.max() == 255


def test_cmyk_becomes_rgb() -> None:
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    red = np.asarray(decode(encoded(cmyk, "TIFF")).image)[0, 0]
    assert red[0] > 200
    assert red[1] < 60


def test_one_bit_and_plain_gray_become_rgb() -> None:
    assert decode(encoded(Image.new("1", (4, 4), 1), "PNG")).image.getpixel((0, 0)) == (255,) * 3
    assert decode(encoded(Image.new("L", (4, 4), 7), "PPM")).image.getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize("format", ["WEBP", "TIFF", "PNG"])
def test_of_an_animation_the_first_frame_counts(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("black", "white")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    assert decode(data).image.getpixel((4, 4)) == (0, 0, 0)


def test_a_large_jpeg_may_be_decoded_smaller_but_never_below_what_is_needed() -> None:
    data = encoded(gradient(800, 600), "JPEG", quality=95)
    picture = decode(data, at_least=(200, 200))
    assert picture.image.size == (400, 300)
    assert picture.full_size == (800, 600)
    assert decode(data, at_least=(500, 500)).image.size == (800, 600)
    assert decode(data).image.size == (800, 600)


def test_needed_size_counts_in_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(gradient(1600, 400), "JPEG", exif=exif)
    picture = decode(data, at_least=(200, 800))
    assert picture.full_size == (400, 1600)
    assert picture.image.size == (200, 800)


@pytest.mark.parametrize("keep", [0, 1, 20, 300])
def test_cut_off_files_are_unreadable_not_gray(keep: int) -> None:
    data = encoded(gradient(200, 200), "JPEG")[:keep]
    with pytest.raises(errors.UnreadableFile) as caught:
        decode(data, where="roses/1.jpg")
    assert caught.value.number == 48
    assert "roses/1.jpg" in str(caught.value)


def test_a_jpeg_cut_to_a_third_and_a_damaged_png_are_unreadable() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    jpeg = encoded(Image.fromarray(noise), "JPEG")
    png = bytearray(encoded(Image.fromarray(noise), "PNG"))
    png[len(png) // 2 : len(png) // 2 + 200] = bytes(200)
    for data in (jpeg[: len(jpeg) // 3], bytes(png)):
        with pytest.raises(errors.UnreadableFile):
            decode(data)


@pytest.mark.parametrize("data", [b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(50)])
def test_other_files_are_unreadable(data: bytes) -> None:
    with pytest.raises(errors.UnreadableFile):
        decode(data)


def test_a_gif_is_not_one_of_the_formats() -> None:
    with pytest.raises(errors.UnreadableFile):
        decode(encoded(gradient().convert("P"), "GIF"))


def test_too_many_pixels_and_bytes_are_error_0127() -> None:
    data = encoded(gradient(100, 100), "PNG")
    for limits in (ImageLimits(max_pixels=9_999), ImageLimits(max_bytes=len(data) - 1)):
        with pytest.raises(errors.ImageTooLarge) as caught:
            decode(data, limits=limits)
        assert caught.value.number == 127
    decode(data, limits=ImageLimits(max_pixels=10_000, max_bytes=len(data)))


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    header = encoded(Image.new("1", (8, 8)), "PNG")
    # Say 60,000 x 60,000 in the header, with the right checksum.
    import struct
    import zlib

    body = b"IHDR" + struct.pack(">II", 60_000, 60_000) + header[24:29]
    bomb = header[:12] + body + struct.pack(">I", zlib.crc32(body)) + header[33:]
    with pytest.raises(errors.ImageTooLarge):
        decode(bomb)
