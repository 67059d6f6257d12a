"""Unpacking compressed archives into one plain tar archive, with guards against bombs.

No path is ever made of a member's name: nothing is extracted, so that nothing can be written
elsewhere, linked, or made a device.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from calotype import errors
from calotype.images.formats import ReadAt, has_image_extension
from calotype.images.sources.archive_file import opened
from calotype.images.sources.members import file_refusal
from calotype.images.sources.tar_index import BLOCK_BYTES, is_tar
from calotype.images.sources.zip_index import (
    BZIP2,
    DEFLATED,
    ZipMember,
    data_offset,
    zip_members,
)
from calotype.images.tar_writer import TarWriter
from calotype.progress import Progress

_PIECE_BYTES: Final = 1 << 20
_PACKED_PIECE_BYTES: Final = 1 << 14  # may become a thousand times as many
_LARGEST_SINGLE_IMAGE_BYTES: Final = 1 << 28

Decompressed = gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile

_OPENERS: Final[dict[bytes, Callable[[BinaryIO], Decompressed]]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """What an archive may become; more is taken for a bomb.

    Args:
        max_bytes: of everything unpacked; 1 TiB by default.
        max_ratio: unpacked bytes for each compressed byte. Images hardly shrink; blank bitmaps
            do, a hundred times.
        ratio_from_bytes: how much may be unpacked before the ratio counts; 256 MiB by default.
        max_members: files and folders, compressed or not.
    """

    max_bytes: int = 1 << 40
    max_ratio: int = 250
    ratio_from_bytes: int = 1 << 28
    max_members: int = 20_000_000

    def check(self, unpacked: int, *, packed: int, where: str) -> None:
        """Raise `InvalidArchive` when so many bytes from so few are too much."""
        if unpacked > self.max_bytes:
            raise bomb(f"at most {self.max_bytes:,} bytes when unpacked", where)
        if unpacked > self.ratio_from_bytes and unpacked > self.max_ratio * packed:
            raise bomb(f"at most {self.max_ratio} bytes unpacked for each byte", where)

    def check_members(self, members: int, *, where: str) -> None:
        """Raise `InvalidArchive` when there are too many members."""
        if members > self.max_members:
            raise bomb(f"at most {self.max_members:,} members", where)


DEFAULT_UNPACK_LIMITS: Final = UnpackLimits()


def bomb(allowed: str, where: str) -> errors.InvalidArchive:
    """Return the error for an archive over a limit."""
    return errors.InvalidArchive(
        f"expected an archive of {allowed}",
        where=where,
        got="more, as of an archive made to fill the disk",
        action="If you trust it, unpack it yourself and convert the folder.",
    )


def is_compressed(archive: Path) -> bool:
    """Return whether a file is compressed by gzip, bzip2 or xz; its content decides."""
    with archive.open("rb") as file:
        return _opener_of(file) is not None


def _opener_of(packed: BinaryIO) -> Callable[[BinaryIO], Decompressed] | None:
    head = packed.read(6)
    packed.seek(0)
    return next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)


def needs_unpacking(member: ZipMember) -> bool:
    """Return whether a member of a zip archive is an image that has to be unpacked."""
    is_wanted = member.is_regular and not member.is_folder and not member.is_encrypted
    is_packed = member.method in (DEFLATED, BZIP2)
    return is_wanted and is_packed and file_refusal(member.name) is None


def unpack_zip(archive: Path, out: Path, *, limits: UnpackLimits, progress: Progress) -> None:
    """Write the images that are compressed in a zip archive into a tar archive, in their order.

    They are named by number. A damaged one becomes an empty file.

    Raises:
        InvalidArchive: the archive is damaged, or over a limit.
    """
    where = str(archive)
    with opened(archive) as (read, size), TarWriter(out) as tar:
        total = sum(m.size for m in zip_members(read, size=size, where=where) if needs_unpacking(m))
        limits.check(total, packed=size, where=where)
        progress.begin(f"Unpacking {archive.name}", total=total, unit="bytes")
        wanted = filter(needs_unpacking, zip_members(read, size=size, where=where))
        for number, member in enumerate(wanted):
            try:
                tar.add_parts(str(number), _inflated(read, member, where), size=member.size)
            except (errors.InvalidArchive, ValueError):
                tar.add(str(number), b"")
            progress.advance(member.size)
        progress.end()


def _inflated(read: ReadAt, member: ZipMember, where: str) -> Iterator[bytes]:
    """Yield the content of a member; raise ValueError when it is not what the archive says."""
    inflater = zlib.decompressobj(-15) if member.method == DEFLATED else bz2.BZ2Decompressor()
    position, size, crc = data_offset(read, member, where=where), 0, 0
    end = position + member.stored_size
    while not inflater.eof and (piece := read(min(_PACKED_PIECE_BYTES, end - position), position)):
        position += len(piece)
        try:
            part = inflater.decompress(piece, member.size - size + 1)
        except (zlib.error, OSError) as error:  # OSError is what bz2 raises for damage
            raise ValueError(str(error)) from error
        size, crc = size + len(part), zlib.crc32(part, crc)
        if size > member.size:
            break
        yield part
    if size != member.size or crc != member.crc:
        raise ValueError("another size or checksum than the archive says")


def unpack_stream(archive: Path, out: Path, *, limits: UnpackLimits, progress: Progress) -> None:
    """Decompress a tar archive; a single compressed image is put into one.

    Raises:
        InvalidArchive: the archive is damaged, over a limit, or neither.
    """
    where = str(archive)
    try:
        packed = archive.open("rb")
    except OSError as error:
        raise damaged(error, where) from error
    progress.begin(f"Unpacking {archive.name}", total=archive.stat().st_size, unit="bytes")
    try:
        with packed:
            pieces = _pieces(packed, limits, progress, where)
            first = next(pieces, b"")
            if is_tar(first[:BLOCK_BYTES]):
                with out.open("wb") as file:
                    for piece in itertools.chain([first], pieces):
                        file.write(piece)
            else:
                _write_single_image(itertools.chain([first], pieces), archive, out)
    finally:
        progress.end()


def _pieces(
    packed: BinaryIO, limits: UnpackLimits, progress: Progress, where: str
) -> Iterator[bytes]:
    opener = _opener_of(packed) or bz2.BZ2File
    unpacked = consumed = 0
    try:
        with opener(packed) as stream:
            while piece := stream.read(_PIECE_BYTES):
                unpacked += len(piece)
                limits.check(unpacked, packed=packed.tell(), where=where)
                progress.advance(packed.tell() - consumed)
                consumed = packed.tell()
                yield piece
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise damaged(error, where) from error


def _write_single_image(pieces: Iterator[bytes], archive: Path, out: Path) -> None:
    name = _inner_name(archive)
    if not has_image_extension(name):
        raise errors.InvalidArchive(
            "expected a compressed tar archive or image",
            where=str(archive),
            got=f"a compressed file '{name}'",
        )
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > _LARGEST_SINGLE_IMAGE_BYTES:
            raise bomb(f"one image of at most {_LARGEST_SINGLE_IMAGE_BYTES:,} bytes", str(archive))
    with TarWriter(out) as tar:
        tar.add(name, bytes(content))


def _inner_name(archive: Path) -> str:
    """Return the name of a single compressed file: without the suffix, or as gzip stores it."""
    if has_image_extension(archive.stem):
        return archive.stem
    with archive.open("rb") as file:
        head = file.read(4096)
    # RFC 1952, 2.3: the name follows ten bytes when flag 8 is set and no extra field (4) precedes.
    if head.startswith(b"\x1f\x8b") and head[3] & 0b1100 == 0b1000:
        name = head[10:].partition(b"\0")[0].decode("latin-1")
        return name.rpartition("/")[2]
    return archive.stem


def damaged(error: Exception, where: str) -> errors.InvalidArchive:
    """Return the error for an archive that cannot be decompressed."""
    return errors.InvalidArchive(
        "expected a whole archive",
        where=where,
        got=str(error) or type(error).__name__,
        action="Copy or download it again.",
    )
