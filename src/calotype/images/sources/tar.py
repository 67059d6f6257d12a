"""A tar archive, plain or compressed, and a single compressed image."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from calotype.images.sources import unpacked
from calotype.images.sources.archive import Archive
from calotype.images.sources.archive_file import opened
from calotype.images.sources.members import Sorter, file_refusal
from calotype.images.sources.source import Chunk, Kind, Reason
from calotype.images.sources.tar_index import TarMember, tar_members


@dataclass(frozen=True)
class TarSource(Archive):
    """The members of a tar archive, in its order.

    A plain archive is read where it lies; a compressed one is unpacked once into the cache, as a
    plain archive.
    """

    is_compressed: bool = False
    kind: Kind = "tar"

    def locate(self, container: str) -> Path:
        """Return the archive, or what it was unpacked into."""
        if self.is_compressed:
            return self.plain()
        return self.location

    def prepare(self) -> None:
        """Unpack a compressed archive."""
        self.locate(self.location.name)

    def chunks(self, *, left_out: Collection[Path] = ()) -> Iterator[Chunk]:
        """Yield the members in order; see `Source.chunks`."""
        container, where = self.location.name, str(self.location)
        if self.is_compressed:
            container = unpacked.container_name(self.location)
        sorter = Sorter()
        with opened(self.locate(container)) as (read, size):
            members = tar_members(read, size=size, where=where)
            for number, member in enumerate(members, start=1):
                self.limits.check_members(number, where=where)
                _sort_in(sorter, member, container)
                if sorter.is_full:
                    yield sorter.take()
        yield sorter.take()


def _sort_in(sorter: Sorter, member: TarMember, container: str) -> None:
    if member.kind == "folder":
        sorter.add_folder(member.name)
    elif (reason := file_refusal(member.name)) is not None:
        sorter.refuse(member.name, reason)
    elif member.kind == "file":
        sorter.take_in(member.name, container, member.offset, member.size)
    else:
        reason = Reason.LINK if member.kind == "link" else Reason.NOT_REGULAR
        sorter.refuse(member.name, reason)
