"""The members of a plain tar archive, one header at a time, in constant memory.

`tarfile` keeps an object for each member and spends 40 µs on it; a million images would take a
gigabyte and most of a minute. This reads what POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and GNU tar
write, to find where each file's content lies; the content is not touched and nothing is extracted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from calotype import errors
from calotype.images.formats import ReadAt

BLOCK_BYTES: Final = 512
_LONGEST_EXTENSION_BYTES: Final = 1 << 20  # of a name or a pax header

MemberKind = Literal["file", "folder", "link", "special"]

_KINDS: Final[dict[bytes, MemberKind]] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",  # contiguous, which no system tells apart today
    b"5": "folder",
    b"1": "link",
    b"2": "link",
}
_HAS_NO_CONTENT: Final = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))  # whatever their size

# name, mode, owner and group, size, time, checksum, type, link, magic ... prefix
_HEADER: Final = struct.Struct("100s 8s 16x 12s 12x 8s c 100s 6s 82x 155s 12x")


class TarMember(NamedTuple):
    """One member of an archive."""

    name: str
    """As it is written there; bytes that are no UTF-8 are surrogate escapes."""
    kind: MemberKind
    offset: int
    """Position of its content in the archive, in bytes."""
    size: int


def is_tar(block: bytes) -> bool:
    """Return whether the first 512 bytes of a file are a tar header, or an empty archive."""
    return len(block) == BLOCK_BYTES and (not any(block) or _has_valid_checksum(block))


def tar_members(read: ReadAt, *, size: int, where: str) -> Iterator[TarMember]:
    """Yield the members of an archive in its order.

    Args:
        read: reads the archive.
        size: its length, in bytes.
        where: its name for messages.

    Raises:
        InvalidArchive: it is damaged or cut off.
    """
    position = 0
    extended: dict[str, str] = {}
    while block := read(BLOCK_BYTES, position):
        if not any(block):
            return
        if len(block) < BLOCK_BYTES or not _has_valid_checksum(block):
            raise _damaged(f"no header at byte {position:,}", where)
        header = _parse(block, extended, position, where)
        end = header.offset + (0 if header.type in _HAS_NO_CONTENT else header.size)
        if header.type == b"S":
            end += _sparse_extension(read, header) * BLOCK_BYTES
        if end > size:
            raise _damaged(f"{size:,} bytes, cut off inside '{header.name}'", where)
        position = end + -end % BLOCK_BYTES
        if header.type in (b"L", b"K", b"x", b"X", b"g"):
            extended |= _extension(read, header, where)
            continue
        yield _member(header, extended)
        extended = {}


class _Header(NamedTuple):
    name: str
    type: bytes
    offset: int
    size: int
    is_extended_sparse: bool


def _parse(block: bytes, extended: dict[str, str], position: int, where: str) -> _Header:
    name, _, size_field, _, type_, _, magic, prefix = _HEADER.unpack(block)
    name = name.partition(b"\0")[0]
    if magic == b"ustar\0" and (folder := prefix.partition(b"\0")[0]):
        name = folder + b"/" + name
    try:
        size = int(extended["size"]) if "size" in extended else _number(size_field)
    except ValueError:
        size = -1
    if size < 0:
        raise _damaged(f"a member of unreadable size at byte {position:,}", where)
    text = name.decode("utf-8", "surrogateescape")
    return _Header(text, type_, position + BLOCK_BYTES, size, block[482] != 0)


def _member(header: _Header, extended: dict[str, str]) -> TarMember:
    name = extended.get("GNU.sparse.name") or extended.get("path") or header.name
    kind = _KINDS.get(header.type, "special")
    if kind == "file" and name.endswith("/"):  # archives older than POSIX
        kind = "folder"
    if extended and any(key.startswith("GNU.sparse.") for key in extended):
        kind = "special"
    size = header.size if kind == "file" else 0
    return TarMember(name, kind, header.offset, size)


def _extension(read: ReadAt, header: _Header, where: str) -> dict[str, str]:
    """Read a member that describes the next one: a long name, or pax records."""
    if header.size > _LONGEST_EXTENSION_BYTES:
        raise _damaged(f"an extended header of {header.size:,} bytes", where)
    data = read(header.size, header.offset)
    if header.type == b"L":
        return {"path": data.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
    if header.type in (b"K", b"g"):  # the target of a link, and defaults for all members
        return {}
    return dict(_pax_records(data, where))


def _pax_records(data: bytes, where: str) -> Iterator[tuple[str, str]]:
    r"""Yield the records of a pax header, ``<length> <key>=<value>\n`` each."""
    position = 0
    while position < len(data) and data[position]:
        digits, _, _ = data[position : position + 20].partition(b" ")
        if not digits.isdigit() or not len(digits) + 2 < int(digits) <= len(data) - position:
            raise _damaged("a damaged pax header", where)
        record = data[position + len(digits) + 1 : position + int(digits) - 1]
        key, _, value = record.decode("utf-8", "surrogateescape").partition("=")
        yield key, value
        position += int(digits)


def _sparse_extension(read: ReadAt, header: _Header) -> int:
    """Return how many blocks of an old GNU sparse map follow the header."""
    blocks, is_more = 0, header.is_extended_sparse
    while is_more:
        block = read(BLOCK_BYTES, header.offset + blocks * BLOCK_BYTES)
        is_more = len(block) == BLOCK_BYTES and block[504] != 0
        blocks += 1
    return blocks


def _has_valid_checksum(block: bytes) -> bool:
    try:
        expected = _number(block[148:156])
    except ValueError:
        return False
    return sum(block) - sum(block[148:156]) + 8 * ord(" ") == expected


def _number(field: bytes) -> int:
    """Read a number: octal digits, or base 256 when the first bit is set."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big") - (256 ** (len(field) - 1) * (field[0] == 0xFF))
    digits = field.partition(b"\0")[0].strip()
    return int(digits, 8) if digits else 0


def _damaged(got: str, where: str) -> errors.InvalidArchive:
    return errors.InvalidArchive(
        "expected a whole tar archive",
        where=where,
        got=got,
        action="Copy or download the archive again.",
    )
