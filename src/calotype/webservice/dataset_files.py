"""Which files a dataset has, and a folder that shows just these."""

from __future__ import annotations

import dataclasses
import random
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from calotype import errors
from calotype.progress import SILENCE
from calotype.webservice.exceptions import UserErrorException, told_as
from calotype.workspace.dataset_sources import LocalSource, gather
from calotype.workspace.location import FOLDER
from calotype.workspace.web_content import fetch


@dataclass(frozen=True, slots=True)
class DatasetFiles:
    """Files of this machine, or some of them.

    Attributes:
        source: where they are.
        chosen: names of those that are meant; None for all.
        kept: what must not go before them.
    """

    source: LocalSource
    chosen: tuple[str, ...] | None = None
    kept: object = None

    @classmethod
    def of_url(cls, url: str) -> Self:
        """Fetch the content of a URL; it goes when nothing needs it any more."""
        folder = OwnFolder()
        return cls(LocalSource.find(fetch(url, folder.path)), kept=folder)

    @property
    def is_whole_folder(self) -> bool:
        """Whether there is a folder of just these: a workspace in it is no part of them."""
        is_folder = self.chosen is None and self.source.form == "folder"
        return is_folder and next(self.source.path.rglob(FOLDER), None) is None

    def names(self) -> tuple[str, ...]:
        """Return their names below their folder."""
        if self.chosen is not None:
            return self.chosen
        with told_as(UserErrorException):
            return tuple(file.path for file in self.source.files())

    def some(self, names: Sequence[str]) -> Self:
        """Return those of these names."""
        return dataclasses.replace(self, chosen=tuple(names))

    def split(self, part: float, seed: int | None) -> tuple[Self, Self]:
        """Return about this part of them, chosen by chance, and the others.

        Raises:
            UserErrorException: the part is no number from 0 to 1.
        """
        with told_as(UserErrorException):
            if not 0 <= part <= 1:
                raise errors.UnparsableValue(
                    "expected a part from 0 to 1", where="dataset", got=str(part)
                )
        chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
        taken = {name: chance.random() < part for name in self.names()}
        return (
            self.some([name for name, is_taken in taken.items() if is_taken]),
            self.some([name for name, is_taken in taken.items() if not is_taken]),
        )

    def gather(self, folder: Path, *, as_links: bool) -> None:
        """Put them, or links to them, into a folder that is there."""
        only = None if self.chosen is None else frozenset(self.chosen)
        with told_as(UserErrorException):
            gather(self.source, folder, as_links=as_links, progress=SILENCE, only=only)


class OwnFolder:
    """A folder that goes with this object, or before."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="calotype-"))
        self.remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class MountedDataset:
    """Where the files of a dataset are: their own folder, or one of links to them.

    Links stay until `stop`, or the end of the program: who has the path may have nothing else.

    Attributes:
        mount_point: the folder, which must not be written to.
    """

    def __init__(self, files: DatasetFiles) -> None:
        self._files = files
        self._own: OwnFolder | None = None
        self._is_whole_folder = files.is_whole_folder
        self.mount_point = str(files.source.path)
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Show the files; they are there at first, and after `stop` again."""
        if self._is_whole_folder or (self._own is not None and self._own.remove.alive):
            return
        self._own = OwnFolder()
        self.mount_point = str(self._own.path)
        self._files.gather(self._own.path, as_links=True)
        _MOUNTED.add(self)

    def stop(self) -> None:
        """Remove the links; the files stay where they are."""
        _MOUNTED.discard(self)
        if self._own is not None:
            self._own.remove()


_MOUNTED: Final[set[MountedDataset]] = set()
