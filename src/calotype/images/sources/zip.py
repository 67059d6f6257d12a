"""A zip archive."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from calotype.images.formats import ReadAt
from calotype.images.sources import unpacked
from calotype.images.sources.archive import Archive
from calotype.images.sources.archive_file import opened
from calotype.images.sources.members import Sorter, file_refusal
from calotype.images.sources.source import Chunk, Kind, Reason
from calotype.images.sources.tar_index import TarMember, tar_members
from calotype.images.sources.unpacking import needs_unpacking
from calotype.images.sources.zip_index import STORED, ZipMember, data_offset, zip_members


@dataclass(frozen=True)
class ZipSource(Archive):
    """The members of a zip archive, in its order.

    Stored members are read where they lie; compressed ones are unpacked once into the cache, as
    one plain tar archive.
    """

    kind: Kind = "zip"

    def locate(self, container: str) -> Path:
        """Return the archive, or what its compressed members were unpacked into."""
        if unpacked.is_container(container):
            return self.plain()
        return self.location

    def prepare(self) -> None:
        """Unpack the compressed members, if there are any."""
        with opened(self.location) as (read, size):
            members = zip_members(read, size=size, where=str(self.location))
            is_needed = any(needs_unpacking(member) for member in members)
        if is_needed:
            self.plain()

    def chunks(self, *, left_out: Collection[Path] = ()) -> Iterator[Chunk]:
        """Yield the members in order; see `Source.chunks`."""
        where, sorter = str(self.location), Sorter()
        with opened(self.location) as (read, size), contextlib.closing(self._plain()) as plain:
            members = zip_members(read, size=size, where=where)
            for number, member in enumerate(members, start=1):
                self.limits.check_members(number, where=where)
                self._sort_in(sorter, member, read, plain)
                if sorter.is_full:
                    yield sorter.take()
        yield sorter.take()

    def _plain(self) -> Generator[TarMember]:
        """Yield the unpacked members in order; nothing is unpacked before the first is wanted."""
        path = self.plain()
        with opened(path) as (read, size):
            yield from tar_members(read, size=size, where=str(path))

    def _sort_in(
        self, sorter: Sorter, member: ZipMember, read: ReadAt, plain: Iterator[TarMember]
    ) -> None:
        if member.is_folder:
            sorter.add_folder(member.name)
        elif (reason := _refusal(member)) is not None:
            sorter.refuse(member.name, reason)
        elif needs_unpacking(member):
            found = next(plain)
            container = unpacked.container_name(self.location)
            sorter.take_in(member.name, container, found.offset, found.size)
        else:
            offset = data_offset(read, member, where=str(self.location))
            sorter.take_in(member.name, self.location.name, offset, member.size)


def _refusal(member: ZipMember) -> Reason | None:
    if (reason := file_refusal(member.name)) is not None:
        return reason
    if not member.is_regular:
        return Reason.LINK if member.is_link else Reason.NOT_REGULAR
    if member.is_encrypted:
        return Reason.ENCRYPTED
    if member.method == STORED:
        return None if member.stored_size == member.size else Reason.UNREADABLE
    return None if needs_unpacking(member) else Reason.COMPRESSION
