"""Registered file datasets: versions under a name, by reference or with their files."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import Connection, RowMapping

from calotype import errors
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.manifest import INFO_NAME
from calotype.progress import SILENCE, Progress
from calotype.workspace import listing, tables, unpacked, web_content
from calotype.workspace.artifacts import Tree
from calotype.workspace.dataset import RegisteredDataset
from calotype.workspace.dataset_sources import LocalSource, gather
from calotype.workspace.naming import (
    Filters,
    Reference,
    changed_tags,
    check_name,
    checked_texts,
    matches,
    next_version,
    not_found,
    note_deleted,
)
from calotype.workspace.services import aware, now, user
from calotype.workspace.web_content import FetchLimits

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class _Content:
    """What a row says about files; two of the same content are equal."""

    source: dict[str, Any]
    artifact: str | None
    files: int
    bytes: int


class DatasetRegistry:
    """The datasets of a workspace.

    Args:
        workspace: whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._database = workspace.database

    def register(
        self,
        name: str,
        source: str | Path,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        copy: bool = False,
        create_new_version: bool = False,
        limits: FetchLimits | None = None,
        progress: Progress = SILENCE,
    ) -> RegisteredDataset:
        """Register files under a name.

        Files of this machine stay where they are, and only their names, sizes and times are
        noted. The same files as in the latest version stay that version, whose tags and
        description are brought up to date.

        Args:
            name: 1 to 255 letters, digits, dots, dashes and underscores.
            source: a folder, an archive, a file, a pattern such as `photos/**/*.jpg`, or an
                http(s) URL, whose content is fetched now and never again.
            description: for people.
            tags: may be changed later.
            copy: store the files in the workspace, so that the source may go; always done when
                the workspace's artifacts are not on this machine.
            create_new_version: make one even of the same files.
            limits: of what a URL gives.
            progress: told about listing, copying and fetching.

        Raises:
            UnparsableValue: the name is none (0002).
            UnreadableFile: there is nothing at the source, or it may not be read (0048).
            InvalidArchive: it is called an archive and is none (0102).
            EmptyInput: it has no files (0003).
            OperationFailed: a URL gives more than the limits allow (0039).
        """
        check_name(name, kind="dataset")
        said = checked_texts(tags, what="tags")
        content = self._content(str(source), copy, limits, progress)
        if content.files == 0:
            raise errors.EmptyInput("expected at least one file", where=str(source), got="none")
        with self._database.writing() as connection:
            latest = _rows(connection, Reference(name), limit=1)
            if latest and not create_new_version and _content_of(latest[0]) == content:
                known = _dataset(latest[0], self._workspace)
                return _changed(connection, known, {**known.tags, **said}, description or None)
            values: dict[str, Any] = {
                "name": name,
                "version": next_version(connection, tables.datasets, name),
                **dataclasses.asdict(content),
                "description": description,
                "tags": said,
                "properties": {},
                "created_at": now(),
                "created_by": user(),
            }
            connection.execute(sqlalchemy.insert(tables.datasets).values(**values))
        return RegisteredDataset(**values, workspace=self._workspace)

    def get(self, name: str, version: int | None = None) -> RegisteredDataset:
        """Return a version of a dataset, the latest when none is said.

        Raises:
            NotFound: there is none; the message suggests the nearest name (2004).
        """
        with self._database.reading() as connection:
            return self._get(connection, Reference(name, version))

    def find(self, reference: str) -> RegisteredDataset:
        """Return the dataset that `name` or `name:version` means.

        Raises:
            UnparsableValue: it is no reference.
            NotFound: there is none.
        """
        said = Reference.parse(reference, kind="dataset")
        return self.get(said.name, said.version)

    def list(
        self, name: str | None = None, tags: Filters | None = None, *, latest: bool = False
    ) -> builtins.list[RegisteredDataset]:
        """Return datasets, by name, the newest version first.

        Args:
            name: of this name only.
            tags: with all of these: a key, or a key and its value.
            latest: of each name the newest version only, before the other filters.
        """
        with self._database.reading() as connection:
            rows = _rows(connection, Reference(name) if name is not None else None)
            found = [_dataset(row, self._workspace) for row in rows]
        if latest:
            newest = {one.name: one for one in reversed(found)}
            found = [one for one in found if newest[one.name] is one]
        return [one for one in found if matches(one.tags, tags)]

    def names(self) -> builtins.list[str]:
        """Return all names, sorted."""
        with self._database.reading() as connection:
            return _names(connection)

    def update(
        self,
        dataset: RegisteredDataset,
        *,
        tags: Mapping[str, str] | None = None,
        add_tags: Mapping[str, str] | None = None,
        remove_tags: Iterable[str] = (),
        description: str | None = None,
    ) -> RegisteredDataset:
        """Change what is said about a dataset, never its files, and return it anew.

        Args:
            dataset: which.
            tags: take the place of all tags.
            add_tags: are added, or change those of the same keys.
            remove_tags: keys of those that go, before others are added.
            description: takes the place of the old one.

        Raises:
            NotFound: it was deleted meanwhile.
        """
        with self._database.writing() as connection:
            there = self._get(connection, Reference(dataset.name, dataset.version))
            kept = changed_tags(there.tags, tags=tags, add=add_tags, remove=remove_tags)
            return _changed(connection, there, kept, description)

    def delete(self, dataset: RegisteredDataset) -> None:
        """Forget a version of a dataset; files outside the workspace stay.

        Raises:
            NotFound: it was deleted already.
        """
        with self._database.writing() as connection:
            self._get(connection, Reference(dataset.name, dataset.version))
            connection.execute(sqlalchemy.delete(tables.datasets).where(_is(dataset)))
            note_deleted(connection, tables.datasets, dataset.name, dataset.version)
        self._workspace.audit.note("dataset.delete", dataset.id, origin=dataset.origin)

    def _get(self, connection: Connection, reference: Reference) -> RegisteredDataset:
        rows = _rows(connection, reference, limit=1)
        if not rows:
            versions = [row["version"] for row in _rows(connection, Reference(reference.name))]
            raise not_found("dataset", reference, versions, _names(connection))
        return _dataset(rows[0], self._workspace)

    def _content(
        self, source: str, copy: bool, limits: FetchLimits | None, progress: Progress
    ) -> _Content:
        if web_content.is_url(source):
            return self._fetched(source, limits, progress)
        local = LocalSource.find(source)
        if copy or not self._workspace.place.artifacts.startswith("file:"):
            return self._copied(local, progress)
        listed = listing.summarize(local.files(progress=progress), progress=progress)
        document = local.to_document() | {"names": listed.names, "times": listed.times}
        return _Content({"kind": "reference", **document}, None, listed.files, listed.bytes)

    def _fetched(self, url: str, limits: FetchLimits | None, progress: Progress) -> _Content:
        with unpacked.room(self._workspace) as folder:
            path = web_content.fetch(url, folder, limits=limits, progress=progress)
            form = LocalSource.find(path).form
            tree = self._workspace.artifacts.put(path)
        source = {"kind": "url", "form": form, "url": web_content.public_url(url)}
        return _stored(source, tree)

    def _copied(self, local: LocalSource, progress: Progress) -> _Content:
        source = {"kind": "copy", **local.to_document()}
        if local.form in ("file", "archive"):
            return _stored(source, self._workspace.artifacts.put(local.path))
        with unpacked.room(self._workspace) as own:
            made = own / "files"
            if local.form == "folder" and _refers_to_images(local.path):
                convert(local.path, made, copy=True, progress=progress)
            else:  # links to exactly what a reference would have
                made.mkdir()
                gather(local, made, as_links=True, progress=progress)
            return _stored(source, self._workspace.artifacts.put(made))


def _refers_to_images(folder: Path) -> bool:
    """Return whether this is an image directory whose images lie elsewhere."""
    if not (folder / INFO_NAME).is_file():
        return False
    try:
        return ImageDirectory.load(folder).info.source.kind != "copy"
    except errors.InvalidDataset:  # a file of that name, of somebody else's
        return False


def _stored(source: dict[str, Any], tree: Tree) -> _Content:
    return _Content(source, tree.digest, len(tree.entries), tree.bytes)


def _content_of(row: RowMapping) -> _Content:
    return _Content(row["source"], row["artifact"], row["files"], row["bytes"])


def _is(dataset: RegisteredDataset) -> sqlalchemy.ColumnElement[bool]:
    key = tables.datasets.c
    return sqlalchemy.and_(key.name == dataset.name, key.version == dataset.version)


def _rows(
    connection: Connection, reference: Reference | None, *, limit: int | None = None
) -> list[RowMapping]:
    key = tables.datasets.c
    query = sqlalchemy.select(tables.datasets).order_by(key.name, key.version.desc()).limit(limit)
    if reference is not None:
        query = query.where(key.name == reference.name)
        if reference.version is not None:
            query = query.where(key.version == reference.version)
    return list(connection.execute(query).mappings())


def _names(connection: Connection) -> list[str]:
    key = tables.datasets.c
    query = sqlalchemy.select(key.name).distinct().order_by(key.name)
    return list(connection.execute(query).scalars())


def _changed(
    connection: Connection,
    dataset: RegisteredDataset,
    tags: dict[str, str],
    description: str | None,
) -> RegisteredDataset:
    said = dataset.description if description is None else description
    connection.execute(
        sqlalchemy.update(tables.datasets).where(_is(dataset)).values(tags=tags, description=said)
    )
    return dataclasses.replace(dataset, tags=tags, description=said)


def _dataset(row: RowMapping, workspace: Workspace) -> RegisteredDataset:
    names = [
        item.name for item in dataclasses.fields(RegisteredDataset) if item.name != "workspace"
    ]
    values: dict[str, Any] = {name: row[name] for name in names}
    values["created_at"] = aware(row["created_at"])
    return RegisteredDataset(**values, workspace=workspace)
