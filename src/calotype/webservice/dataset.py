"""File datasets under the names of the retired SDK."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from calotype import errors
from calotype.webservice import unsupported
from calotype.webservice.exceptions import UserErrorException, told_as
from calotype.webservice.version_number import version_of

if TYPE_CHECKING:
    from calotype.workspace import dataset as known
    from calotype.workspace.workspace import Workspace


class FileFactory:
    """`Dataset.File`: datasets of files, most of all images."""

    @staticmethod
    def from_files(
        path: str | Path | Sequence[str | Path],
        validate: bool = True,
        partition_format: str | None = None,
        is_file: bool | None = None,
    ) -> Dataset:
        """Return a dataset of files, which is not registered yet.

        Args:
            path: a folder, an archive, a file, a pattern such as `photos/**/*.jpg`, or a URL.
            validate: check that there is something.
            partition_format: has no meaning here.
            is_file: has no meaning here.

        Raises:
            UserErrorException: there is nothing at the path.
        """
        unsupported.ignore_given(partition_format=partition_format)
        source = _one(path)
        is_plain = "://" not in source and not any(mark in source for mark in "*?[")
        if validate and is_plain and not Path(source).exists():
            with told_as(UserErrorException):
                raise errors.UnreadableFile(
                    "expected a folder, archive or file", where=source, got="nothing there"
                )
        return Dataset(source)


class _TabularFactory:
    """`Dataset.Tabular`, which says that there is none."""

    def __getattr__(self, name: str) -> NoReturn:
        unsupported.refuse("Dataset.Tabular")


class Dataset:
    """Files under a name and a version, or files that may be registered.

    Made by `Dataset.File.from_files`, `Dataset.get_by_name` and the like.
    """

    File = FileFactory
    Tabular = _TabularFactory()

    def __init__(self, source: str, registered: known.Dataset | None = None) -> None:
        self._source = source
        self._registered = registered

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
    def _of(cls, registered: known.Dataset) -> Self:
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

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Add tags, or change those of the same names."""
        self._change(add_tags=tags)

    def remove_tags(self, tags: Sequence[str]) -> None:
        """Remove the tags of these names."""
        self._change(remove_tags=tags)

    def to_path(self) -> list[str]:
        """Return the paths of its files, below its folder, with a slash first."""
        with self.mount() as mounted:
            root = Path(mounted.mount_point)
            return [f"/{path.relative_to(root).as_posix()}" for path in _files(root)]

    def download(
        self, target_path: str | Path | None = None, overwrite: bool = False, **_ignored: Any
    ) -> list[str]:
        """Write its files into a folder, a new one when none is given; return their paths.

        Raises:
            UserErrorException: there are such files, and `overwrite` is false.
        """
        target = Path(target_path or tempfile.mkdtemp(prefix="calotype-"))
        with told_as(UserErrorException):
            self._known().download(target, exist_ok=overwrite)
        return [str(path) for path in _files(target)]

    @contextlib.contextmanager
    def mount(self, mount_point: str | None = None) -> Generator[MountedDataset]:
        """Give a folder with its files, which must not be written to."""
        unsupported.ignore_given(stacklevel=4, mount_point=mount_point)
        with told_as(UserErrorException):
            place = self._known().path_or_unpacked() if self._registered else Path(self._source)
        yield MountedDataset(str(place if place.is_dir() else place.parent))

    def path_or_unpacked(self) -> Path:
        """Return where its files can be read: a folder, a file or an archive."""
        with told_as(UserErrorException):
            return self._known().path_or_unpacked()

    def preview(self, out: str | Path) -> Path:
        """Write a page that shows what is in it."""
        with told_as(UserErrorException):
            return self._known().preview(out)

    def _change(self, **changes: Any) -> None:
        with told_as(UserErrorException):
            one = self._known()
            self._registered = one.workspace.datasets.update(one, **changes)

    def _known(self) -> known.Dataset:
        if self._registered is None:
            raise errors.NotFound(
                "expected a registered dataset",
                where=self._source,
                got="one that is not registered",
                action="Call register(workspace, name) first.",
            )
        return self._registered


class MountedDataset:
    """Where the files of a dataset are.

    Attributes:
        mount_point: the folder.
    """

    def __init__(self, mount_point: str) -> None:
        self.mount_point = mount_point

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """They are there already."""

    def stop(self) -> None:
        """They stay where they are."""


def _one(path: Any) -> str:
    if isinstance(path, list | tuple) and len(path) == 1:  # pyright: ignore[reportUnknownArgumentType]
        path = path[0]
    if isinstance(path, tuple) or not isinstance(path, str | os.PathLike | list):
        unsupported.refuse("datastore")
    if isinstance(path, list):
        with told_as(UserErrorException):
            raise errors.UnparsableValue(
                "expected one path",
                where="Dataset.File.from_files",
                got="several",
                action="Put the files below one folder, or use a pattern such as 'a/**/*.jpg'.",
            )
    return os.fspath(path)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())
