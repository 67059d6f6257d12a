"""`Dataset.File` and `Dataset.Tabular`: how datasets begin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from calotype import errors
from calotype.webservice import unsupported
from calotype.webservice.exceptions import UserErrorException, told_as
from calotype.workspace.dataset_sources import LocalSource
from calotype.workspace.web_content import is_url

if TYPE_CHECKING:
    from calotype.webservice.dataset import Dataset


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
        from calotype.webservice.dataset import Dataset

        unsupported.ignore_given(partition_format=partition_format, is_file=is_file or None)
        source = _one(path)
        if validate and not is_url(source):
            with told_as(UserErrorException):
                LocalSource.find(source)
        return Dataset(source)

    @staticmethod
    def upload_directory(*_given: Any, **_named: Any) -> NoReturn:
        """Say that there are no datastores."""
        unsupported.refuse("upload_directory")


class TabularFactory:
    """`Dataset.Tabular`, which says that there is none."""

    def __getattr__(self, name: str) -> NoReturn:
        unsupported.refuse("Dataset.Tabular")


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
