"""File datasets under the names of the retired SDK."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from calotype import errors
from calotype.webservice import unsupported
from calotype.webservice.dataset_absent import AbsentMethods
from calotype.webservice.dataset_factory import FileFactory, TabularFactory
from calotype.webservice.dataset_files import DatasetFiles, MountedDataset
from calotype.webservice.exceptions import UserErrorException, told_as
from calotype.webservice.version_number import version_of
from calotype.workspace import unpacked
from calotype.workspace.dataset_sources import LocalSource
from calotype.workspace.web_content import is_url

if TYPE_CHECKING:
    from calotype.workspace.dataset import RegisteredDataset
    from calotype.workspace.workspace import Workspace


class Dataset(AbsentMethods):
    """Files under a name and a version, or files that may be registered.

    Made by `Dataset.File.from_files`, `Dataset.get_by_name` and the like.
    """

    File = FileFactory
    Tabular = TabularFactory()

    def __init__(
        self,
        source: str,
        registered: RegisteredDataset | None = None,
        *,
        files: DatasetFiles | None = None,
    ) -> None:
        self._source = source
        self._registered = registered
        self._files = files

    def __repr__(self) -> str:
        return f"Dataset(name={self.name!r}, version={self.version!r}, source={self._source!r})"

    @classmethod
    def get_by_name(cls, workspace: Workspace, name: str, version: int | str = "latest") -> Self:
        """Return a registered dataset.

        Raises:
            UserErrorException: there is none.
        """
        with told_as(UserErrorException):
            return cls._of(workspace.datasets.get(name, version_of(version)))

    @classmethod
    def get_by_id(cls, workspace: Workspace, id: str) -> Self:
        """Return the registered dataset `name:version`.

        Raises:
            UserErrorException: there is none.
        """
        with told_as(UserErrorException):
            return cls._of(workspace.datasets.find(id))

    @classmethod
    def get_all(cls, workspace: Workspace) -> dict[str, Self]:
        """Return the latest version of every dataset, by name."""
        return {one.name: cls._of(one) for one in workspace.datasets.list(latest=True)}

    @classmethod
    def _of(cls, registered: RegisteredDataset) -> Self:
        return cls(registered.origin, registered)

    def register(
        self,
        workspace: Workspace,
        name: str,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        create_new_version: bool = False,
        *,
        copy: bool = False,
    ) -> Dataset:
        """Register the files; other files than those of the latest version become a new one.

        Args:
            workspace: where.
            name: of the dataset.
            description: for people.
            tags: names and values that can be changed.
            create_new_version: make one even of the same files.
            copy: keep the files in the workspace.

        Raises:
            UserErrorException: they cannot be registered.
        """
        with told_as(UserErrorException):
            self._check_whole()
            made = workspace.datasets.register(
                name,
                self._source,
                description=description or "",
                tags=tags,
                copy=copy,
                create_new_version=create_new_version,
            )
        self._registered = made
        return type(self)._of(made)

    @property
    def name(self) -> str | None:
        """Its name; None when it is not registered."""
        return self._registered.name if self._registered else None

    @property
    def version(self) -> int | None:
        """1, 2, …; None when it is not registered."""
        return self._registered.version if self._registered else None

    @property
    def id(self) -> str | None:
        """`name:version`; None when it is not registered."""
        return self._registered.id if self._registered else None

    @property
    def description(self) -> str | None:
        """For people."""
        return self._registered.description if self._registered else None

    @property
    def tags(self) -> dict[str, str]:
        """Names and values that can be changed."""
        return dict(self._registered.tags) if self._registered else {}

    @property
    def data_changed_time(self) -> datetime | None:
        """When its files were registered."""
        return self._registered.created_at if self._registered else None

    @property
    def source(self) -> str:
        """The path, pattern or URL of its files."""
        return self._source

    def add_tags(self, tags: Mapping[str, str]) -> Self:
        """Add tags, or change those of the same names."""
        return self._change(add_tags=tags)

    def remove_tags(self, tags: Sequence[str]) -> Self:
        """Remove the tags of these names."""
        return self._change(remove_tags=tags)

    def update(self, description: str | None = None, tags: Mapping[str, str] | None = None) -> Self:
        """Change the description, or all tags at once."""
        return self._change(description=description, tags=tags)

    def unregister_all_versions(self) -> None:
        """Forget all versions of this name; files outside the workspace stay.

        Raises:
            UserErrorException: it is not registered.
        """
        with told_as(UserErrorException):
            one = self._known()
        datasets = one.workspace.datasets
        for version in datasets.list(one.name):
            with contextlib.suppress(errors.NotFound):  # by another process meanwhile
                datasets.delete(version)
        self._registered = None

    def to_path(self) -> list[str]:
        """Return the paths of its files, below its folder, with a slash first."""
        return [f"/{name}" for name in self._found().names()]

    def download(
        self,
        target_path: str | Path | None = None,
        overwrite: bool = False,
        ignore_not_found: bool = False,
    ) -> list[str]:
        """Write its files into a folder, a new one when none is given; return their paths.

        Args:
            target_path: the folder; made when it is not there.
            overwrite: take the place of files and folders of the same names.
            ignore_not_found: has no meaning here.

        Raises:
            UserErrorException: there are such files, and `overwrite` is false.
        """
        unsupported.ignore_given(ignore_not_found=ignore_not_found or None)
        target = Path(target_path or tempfile.mkdtemp(prefix="calotype-"))
        written: list[Path] = []

        def write(folder: Path) -> None:
            self._write(folder)
            found = sorted(path for path in folder.rglob("*") if path.is_file())
            written.extend(path.relative_to(folder) for path in found)

        with told_as(UserErrorException):
            unpacked.place(write, target, exist_ok=overwrite)
        return [str(target / path) for path in written]

    def mount(self, mount_point: str | None = None) -> MountedDataset:
        """Give a folder with its files, which must not be written to; it stays until `stop`."""
        unsupported.ignore_given(mount_point=mount_point)
        return MountedDataset(self._found())

    def take(self, count: int) -> Dataset:
        """Return its first files, as a dataset that is not registered."""
        return self._some(slice(count))

    def skip(self, count: int) -> Dataset:
        """Return all but its first files."""
        return self._some(slice(count, None))

    def take_sample(self, probability: float, seed: int | None = None) -> Dataset:
        """Return files that are chosen by chance, each with this probability."""
        return self.random_split(probability, seed)[0]

    def random_split(self, percentage: float, seed: int | None = None) -> tuple[Dataset, Dataset]:
        """Return about this part of its files (0 to 1), chosen by chance, and the others.

        Raises:
            UserErrorException: the part is no number from 0 to 1.
        """
        first, second = self._found().split(percentage, seed)
        return Dataset(self._source, files=first), Dataset(self._source, files=second)

    def path_or_unpacked(self) -> Path:
        """Return where its files can be read: a folder, a file or an archive."""
        if self._registered is not None:
            with told_as(UserErrorException):
                return self._registered.path_or_unpacked()
        found = self._found()
        if found.chosen is None and found.source.form in ("file", "archive"):
            return found.source.path
        return Path(self.mount().mount_point)

    def preview(self, out: str | Path) -> Path:
        """Write a page that shows what is in it."""
        with told_as(UserErrorException):
            return self._known().preview(out)

    def _found(self) -> DatasetFiles:
        """Return its files as they are now; those of a URL as they were at the first look."""
        if self._files is not None:
            return self._files
        with told_as(UserErrorException):
            if self._registered is not None:
                return DatasetFiles(self._registered.local())
            if is_url(self._source):
                self._files = DatasetFiles.of_url(self._source)
                return self._files
            return DatasetFiles(LocalSource.find(self._source))

    def _write(self, folder: Path) -> None:
        if self._registered is not None:
            self._registered.write(folder)
            return
        found = self._found()
        folder.mkdir()
        found.gather(folder, as_links=False)

    def _some(self, chosen: slice) -> Dataset:
        found = self._found()
        return Dataset(self._source, files=found.some(found.names()[chosen]))

    def _change(self, **changes: Any) -> Self:
        with told_as(UserErrorException):
            one = self._known()
            self._registered = one.workspace.datasets.update(one, **changes)
        return self

    def _check_whole(self) -> None:
        if self._files is not None and self._files.chosen is not None:
            raise errors.NotSupported(
                f"expected all files of {self._source}, not some of them, to be registered",
                action="Call download(folder), and register that folder.",
            )

    def _known(self) -> RegisteredDataset:
        if self._registered is None:
            raise errors.NotFound(
                "expected a registered dataset",
                where=self._source,
                got="one that is not registered",
                action="Call register(workspace, name) first.",
            )
        return self._registered
