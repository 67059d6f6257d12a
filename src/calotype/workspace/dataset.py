"""One version of a registered dataset, and ways to its files."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calotype import errors
from calotype.progress import SILENCE, Progress
from calotype.workspace import listing, unpacked
from calotype.workspace.dataset_sources import LocalSource, gather

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Change:
    """How the files of a reference differ from those that were registered.

    Attributes:
        got: what there is now.
        is_loss: whether files are gone for sure; else some are new, or others.
    """

    got: str
    is_loss: bool


@dataclass(frozen=True, slots=True)
class RegisteredDataset:
    """Files under a name and a version; what they are was settled when they were registered.

    Attributes:
        source: `kind` ("reference", "copy", "url") and `form` ("folder", "archive", "file",
            "pattern"); `path` and `pattern`, or `url`; of a reference the digests `names` and
            `times`.
        artifact: digest of its tree in the workspace; None for a reference.
        files: how many.
        bytes: of all of them.
    """

    name: str
    version: int
    source: dict[str, Any]
    artifact: str | None
    files: int
    bytes: int
    description: str
    tags: dict[str, str]
    properties: dict[str, str]
    created_at: datetime
    created_by: str
    workspace: Workspace = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """`name:version`."""
        return f"{self.name}:{self.version}"

    @property
    def kind(self) -> str:
        """ "reference", "copy" or "url"."""
        return str(self.source["kind"])

    @property
    def origin(self) -> str:
        """The path, pattern or URL that it was registered from."""
        if self.kind == "url":
            return str(self.source["url"])
        return LocalSource.of_document(self.source).text

    @property
    def links_name(self) -> str:
        """The name of its folder of links, if it is a pattern; empty for all else."""
        if self.artifact is not None or self.source["form"] != "pattern":
            return ""
        key = f"{self.origin}\0{self.source['names']}".encode("utf-8", "surrogateescape")
        return f"links-{hashlib.sha256(key).hexdigest()[:32]}"

    def to_document(self) -> dict[str, Any]:
        """Return this as commands print it."""
        names = [item.name for item in dataclasses.fields(self) if item.name != "workspace"]
        values = {name: getattr(self, name) for name in names}
        return {
            "id": self.id,
            **values,
            "kind": self.kind,
            "origin": self.origin,
            "created_at": self.created_at.isoformat(),
        }

    def path_or_unpacked(self, *, progress: Progress = SILENCE) -> Path:
        """Return where its files can be read on this machine; nobody may write there.

        A reference is checked: other names or sizes are an error, other times a warning.

        Raises:
            InvalidDataset: the files of a reference are gone or have changed (0018).
            CorruptWorkspace: a stored file is missing or damaged (2007).
        """
        local = self.local(progress=progress)
        return self._links(local, progress) if local.form == "pattern" else local.path

    def local(self, *, progress: Progress = SILENCE) -> LocalSource:
        """Return its files on this machine, checked like those of `path_or_unpacked`.

        Raises:
            InvalidDataset: the files of a reference are gone or have changed (0018).
            CorruptWorkspace: a stored file is missing or damaged (2007).
        """
        if self.artifact is None:
            self.check(progress=progress)
            return LocalSource.of_document(self.source)
        folder = unpacked.folder_of(self.workspace, self.artifact)
        if self.source["form"] in ("file", "archive"):
            return LocalSource(self.source["form"], next(folder.iterdir()))
        return LocalSource("folder", folder)

    def check(self, *, progress: Progress = SILENCE) -> None:
        """Check that the files of a reference are those that were registered.

        Raises:
            InvalidDataset: they are gone or have changed (0018).
        """
        change = self.change(progress=progress)
        if change is not None:
            raise errors.InvalidDataset(
                "expected the files as they were registered",
                where=f"dataset '{self.id}' ({self.origin})",
                got=change.got,
                action=f"Put them back, or register them again as a new version of '{self.name}'; "
                "--copy keeps files in the workspace.",
            )

    def change(self, *, progress: Progress = SILENCE) -> Change | None:
        """Return how the files of a reference differ from those that were registered.

        Files of the same names and sizes that were written again are told to `progress` only.

        Raises:
            UnreadableFile: one may not be read.
        """
        if self.artifact is not None:
            return None
        local = LocalSource.of_document(self.source)
        if not local.path.exists():
            return Change("nothing there", is_loss=True)
        found = listing.summarize(local.files(), progress=progress)
        if found.names != self.source["names"]:
            return Change(_difference(self, found), is_loss=found.files < self.files)
        if found.times != self.source["times"]:
            progress.say(
                f"dataset '{self.id}': files in {local.text} were written again since it was "
                "registered; their names and sizes are the same."
            )
        return None

    def download(
        self, target: str | Path = ".", *, exist_ok: bool = False, progress: Progress = SILENCE
    ) -> Path:
        """Write copies of its files into a folder of the user's.

        Args:
            target: the folder; made when it is not there.
            exist_ok: take the place of files and folders of the same names.
            progress: told about the copying.

        Returns:
            What was written: the file or folder when it is one, else `target`.

        Raises:
            AlreadyExists: one of the names is taken, and `exist_ok` is false (0057).
            InvalidDataset: the files of a reference are gone or have changed (0018).
        """
        write = functools.partial(self.write, progress=progress)
        return unpacked.place(write, Path(target), exist_ok=exist_ok)

    def write(self, folder: Path, *, progress: Progress = SILENCE) -> None:
        """Make a folder with copies of its files.

        Raises:
            InvalidDataset: the files of a reference are gone or have changed (0018).
        """
        if self.artifact is not None:
            self.workspace.artifacts.unpack(self.artifact, folder)
            return
        local = self.local(progress=progress)
        folder.mkdir()
        gather(local, folder, as_links=False, progress=progress)

    def preview(
        self, out: str | Path, *, thumbnails: int = 8, progress: Progress = SILENCE
    ) -> Path:
        """Write one HTML page: counts, sizes, and of images some of each category.

        Args:
            out: the file to write.
            thumbnails: how many of each category.
            progress: told about the reading.

        Raises:
            InvalidDataset: the files of a reference are gone or have changed (0018).
            CannotWrite: the page cannot be written.
        """
        from calotype.workspace.preview import write_preview

        return write_preview(self, Path(out), thumbnails=thumbnails, progress=progress)

    def _links(self, local: LocalSource, progress: Progress) -> Path:
        """Return a folder of links to what a pattern names, made once for all who ask."""
        folder = unpacked.root(self.workspace) / self.links_name
        if not folder.is_dir():
            with unpacked.room(self.workspace) as own:
                (own / "links").mkdir()
                gather(local, own / "links", as_links=True, progress=progress)
                unpacked.take_place(own / "links", folder)
        return folder


def _difference(dataset: RegisteredDataset, found: listing.Listing) -> str:
    if found.files == dataset.files and found.bytes == dataset.bytes:
        return "other names or sizes"
    return (
        f"{found.files:,} files of {found.bytes:,} bytes instead of {dataset.files:,} of "
        f"{dataset.bytes:,}"
    )
