"""The members of a zip archive, read from its central directory in constant memory.

`zipfile` keeps an object of half a kilobyte for each member. Names of fields and record layouts
follow APPNOTE.TXT 6.3.10, section 4.3, ZIP64 included.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from calotype import errors
from calotype.images.formats import ReadAt

STORED: Final = 0
DEFLATED: Final = 8
BZIP2: Final = 12

_END: Final = struct.Struct("<4s4H2LH")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_ENTRY: Final = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL: Final = struct.Struct("<4s2B4HL2L2H")

_LONGEST_COMMENT_BYTES: Final = 65535
_READ_BYTES: Final = 1 << 20
_MADE_ON_UNIX: Final = 3


class ZipMember(NamedTuple):
    """One member of an archive."""

    name: str
    header_offset: int
    """Position of its local header in the archive, in bytes."""
    stored_size: int
    size: int
    method: int
    crc: int
    is_encrypted: bool
    unix_mode: int
    """Type and permissions; 0 when the archive was not made on Unix."""

    @property
    def is_folder(self) -> bool:
        """Whether it stands for a folder."""
        return self.name.endswith("/")

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.unix_mode)

    @property
    def is_regular(self) -> bool:
        """Whether it is neither a link nor a device."""
        return stat.S_IFMT(self.unix_mode) in (0, stat.S_IFREG)


class _Directory(NamedTuple):
    """Where the central directory lies."""

    offset: int
    size: int
    entries: int
    shift: int
    """How many bytes precede the archive in its file, as in a self-extracting one."""


def zip_members(read: ReadAt, *, size: int, where: str) -> Iterator[ZipMember]:
    """Yield the members of an archive in the order of its central directory.

    Args:
        read: reads the archive.
        size: its length, in bytes.
        where: its name for messages.

    Raises:
        InvalidArchive: it is damaged, cut off, or one disk of several.
    """
    directory = _find_directory(read, size, where)
    block, start, here = b"", directory.offset, 0
    for _ in range(directory.entries):
        if here + _entry_length(block, here) > len(block):
            start, here = start + here, 0
            left = directory.offset + directory.size - start
            block = read(min(_READ_BYTES, left), start)
        end = here + _entry_length(block, here)
        if end > len(block) or not block.startswith(b"PK\1\2", here):
            raise _damaged("a damaged central directory", where)
        yield _parse(block[here:end], directory.shift, where)
        here = end


def data_offset(read: ReadAt, member: ZipMember, *, where: str) -> int:
    """Return the position of a member's content in the archive.

    Raises:
        InvalidArchive: there is no local header where the central directory says.
    """
    local = read(_LOCAL.size, member.header_offset)
    if len(local) < _LOCAL.size or not local.startswith(b"PK\3\4"):
        raise _damaged(f"no header of '{member.name}'", where)
    *_, name_length, extra_length = _LOCAL.unpack(local)
    return member.header_offset + _LOCAL.size + name_length + extra_length


def _find_directory(read: ReadAt, size: int, where: str) -> _Directory:
    tail_offset = max(0, size - _END.size - _LONGEST_COMMENT_BYTES - _LOCATOR_64.size)
    tail = read(size - tail_offset, tail_offset)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < _END.size:
        raise _damaged("no end of the archive; it may be cut off", where)
    _, disk, first_disk, here, entries, length, offset, _ = _END.unpack_from(tail, found)
    end = tail_offset + found
    if found >= _LOCATOR_64.size and tail.startswith(b"PK\6\7", found - _LOCATOR_64.size):
        end, disk, first_disk, here, entries, length, offset = _read_end_64(
            read, tail[found - _LOCATOR_64.size : found], end, where
        )
    if disk or first_disk or here != entries:
        raise _damaged("one part of an archive in several", where)
    shift = end - length - offset
    if shift < 0 or entries * _ENTRY.size > length:
        raise _damaged("a damaged end record", where)
    return _Directory(offset + shift, length, entries, shift)


def _read_end_64(
    read: ReadAt, locator: bytes, end: int, where: str
) -> tuple[int, int, int, int, int, int, int]:
    """Read the ZIP64 end record, which lies right before its locator or where that says."""
    _, _, offset, disks = _LOCATOR_64.unpack(locator)
    if disks > 1:
        raise _damaged("one part of an archive in several", where)
    for position in (end - _LOCATOR_64.size - _END_64.size, offset):
        record = read(_END_64.size, max(position, 0))
        if len(record) == _END_64.size and record.startswith(b"PK\6\6"):
            _, _, _, _, disk, first, here, entries, length, start = _END_64.unpack(record)
            return position, disk, first, here, entries, length, start
    raise _damaged("no ZIP64 end record", where)


def _entry_length(block: bytes, here: int) -> int:
    if len(block) - here < _ENTRY.size:
        return _ENTRY.size
    return _ENTRY.size + sum(struct.unpack_from("<3H", block, here + 28))


def _parse(entry: bytes, shift: int, where: str) -> ZipMember:
    (
        _, _, made_on, _, _, flags, method, _, _, crc, stored, size, name_length, extra_length,
        _, disk, _, attributes, offset,
    ) = _ENTRY.unpack_from(entry)  # fmt: skip
    name = entry[_ENTRY.size : _ENTRY.size + name_length]
    extra = entry[_ENTRY.size + name_length :][:extra_length]
    size, stored, offset = _wide(extra, [size, stored, offset], where)
    if disk not in (0, 0xFFFF):
        raise _damaged("one part of an archive in several", where)
    return ZipMember(
        # Some programs on Windows write backslashes, which APPNOTE 4.4.17 forbids.
        name=_decode(name, is_utf8=bool(flags & 0x800)).replace("\\", "/"),
        header_offset=offset + shift,
        stored_size=stored,
        size=size,
        method=method,
        crc=crc,
        is_encrypted=bool(flags & 0x1),
        unix_mode=attributes >> 16 if made_on == _MADE_ON_UNIX else 0,
    )


def _decode(name: bytes, *, is_utf8: bool) -> str:
    return name.decode("utf-8", "surrogateescape") if is_utf8 else name.decode("cp437")


def _wide(extra: bytes, values: list[int], where: str) -> list[int]:
    """Replace values of 0xFFFFFFFF by those of the ZIP64 extra field, in its order."""
    if 0xFFFFFFFF not in values:
        return values
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            numbers = iter(struct.unpack_from(f"<{min(length, len(extra) - 4) // 8}Q", extra, 4))
            wide = [next(numbers, -1) if value == 0xFFFFFFFF else value for value in values]
            if -1 in wide:
                break
            return wide
        extra = extra[4 + length :]
    raise _damaged("a damaged ZIP64 field", where)


def _damaged(got: str, where: str) -> errors.InvalidArchive:
    return errors.InvalidArchive(
        "expected a whole zip archive",
        where=where,
        got=got,
        action="Copy or download the archive again.",
    )
