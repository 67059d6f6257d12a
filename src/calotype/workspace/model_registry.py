"""Registered models: versions under a name, each a tree of files that never changes."""

from __future__ import annotations

import builtins
import dataclasses
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy

from calotype import errors
from calotype.models.image_model import ImageModel
from calotype.progress import SILENCE
from calotype.workspace import model_rows, tables, unpacked
from calotype.workspace.artifacts import Tree
from calotype.workspace.dataset_sources import LocalSource, gather
from calotype.workspace.location import FOLDER
from calotype.workspace.model_kinds import check_framework, recognise
from calotype.workspace.naming import (
    Filters,
    Reference,
    added_properties,
    changed_tags,
    check_name,
    checked_texts,
    matches,
    next_version,
)
from calotype.workspace.registered_model import RegisteredModel
from calotype.workspace.services import now, user

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace


class ModelRegistry:
    """The models of a workspace.

    Args:
        workspace: whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._database = workspace.database

    def register(
        self,
        path: str | Path,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str = "",
        framework: str | None = None,
        framework_version: str | None = None,
        run_id: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> RegisteredModel:
        """Store a model's files and register them as the next version of a name.

        The files of an image model lie at the top of what is stored; any other folder stays a
        folder of its own name in there.

        Args:
            path: an image model, an .onnx file, any other file or folder.
            name: 1 to 255 letters, digits, dots, dashes and underscores.
            tags: may be changed later.
            properties: may only be added to later.
            description: for people.
            framework: one of `FRAMEWORKS`; guessed from the files when left out.
            framework_version: of what trained it; read from an image model when left out.
            run_id: the run that made it.
            details: datasets, samples, resources.

        Raises:
            UnparsableValue: the name or the framework is none (0002).
            UnreadableFile: there is nothing at `path`, or it may not be read (0048).
            EmptyInput: the folder is empty (0003).
            CorruptModel: it is an image model that is damaged (0082).
            CannotWrite: the workspace's artifacts cannot be written (0046).
        """
        check_name(name, kind="model")
        path = Path(path).absolute()
        seen = recognise(path)
        kept = (checked_texts(tags, what="tags"), checked_texts(properties, what="properties"))
        chosen = check_framework(framework) if framework else seen.framework
        is_whole = seen.kind == "image" or path.is_file()
        tree = self._stored(path, below="" if is_whole else path.resolve().name)
        facts = {"kind": seen.kind} | ({"image_model": seen.facts} if seen.facts else {})
        values: dict[str, Any] = {
            "name": name,
            "artifact": tree.digest,
            "bytes": tree.bytes,
            "framework": chosen,
            "framework_version": framework_version or seen.framework_version,
            "run_id": run_id,
            "details": {**(details or {}), **facts},
            "description": description,
            "tags": kept[0],
            "properties": kept[1],
            "created_by": user(),
        }
        with self._database.writing() as connection:
            version = next_version(connection, tables.models, name)
            moment = now()
            connection.execute(
                sqlalchemy.insert(tables.models).values(
                    **values, version=version, created_at=moment, updated_at=moment
                )
            )
        return RegisteredModel(**values, version=version, created_at=moment, updated_at=moment)

    def _stored(self, path: Path, *, below: str) -> Tree:
        if path.is_file() or next(path.rglob(FOLDER), None) is None:
            return self._workspace.artifacts.put(path, below=below)
        # The folder has a workspace in it, whose key file must not become a part of a model.
        with unpacked.room(self._workspace) as own:
            gather(LocalSource("folder", path), own, as_links=True, progress=SILENCE)
            return self._workspace.artifacts.put(own, below=below)

    def get(self, name: str, version: int | None = None) -> RegisteredModel:
        """Return a version of a model, the latest when none is said.

        Raises:
            NotFound: there is none; the message suggests the nearest name (2004).
        """
        with self._database.reading() as connection:
            return model_rows.get(connection, Reference(name, version))

    def find(self, reference: str) -> RegisteredModel:
        """Return the model that `name` or `name:version` means.

        Raises:
            UnparsableValue: it is no reference.
            NotFound: there is none.
        """
        said = Reference.parse(reference, kind="model")
        return self.get(said.name, said.version)

    def list(
        self,
        name: str | None = None,
        tags: Filters | None = None,
        properties: Filters | None = None,
        run_id: str | None = None,
        *,
        latest: bool = False,
        framework: str | None = None,
    ) -> builtins.list[RegisteredModel]:
        """Return models, by name, the newest version first.

        Args:
            name: of this name only.
            tags: with all of these: a key, or a key and its value.
            properties: likewise.
            run_id: made by this run.
            latest: of each name the newest version only, before the other filters.
            framework: of this one only.
        """
        with self._database.reading() as connection:
            models = model_rows.every(connection, name)
        if latest:
            newest = {model.name: model for model in reversed(models)}
            models = [model for model in models if newest[model.name] is model]
        return [
            model
            for model in models
            if matches(model.tags, tags)
            and matches(model.properties, properties)
            and run_id in (None, model.run_id)
            and (framework is None or framework.lower() == model.framework.lower())
        ]

    def names(self) -> builtins.list[str]:
        """Return all names, sorted."""
        with self._database.reading() as connection:
            return model_rows.names(connection)

    def unpack(self, model: RegisteredModel, folder: Path) -> None:
        """Write a model's files into `folder`, which appears whole or not at all.

        Raises:
            CorruptWorkspace: a stored file is missing or damaged.
            CannotWrite: the folder cannot be written.
        """
        self._workspace.artifacts.unpack(model.artifact, folder)

    def path_of(self, model: RegisteredModel) -> Path:
        """Return a model's files on this machine, unpacked once for all who ask.

        It is the file itself when it is one, the model folder of an image model, and else the
        folder that was registered. Nobody may write there.
        """
        return unpacked.path_of(self._workspace, model.artifact)

    def folder_of(self, model: RegisteredModel) -> Path:
        """Return the folder with all that was stored, as a script finds it: AZUREML_MODEL_DIR."""
        return unpacked.folder_of(self._workspace, model.artifact)

    def copy_of_image_model(self, model: RegisteredModel, folder: Path) -> Path:
        """Write an image model into `folder`, to be changed there, and return its folder.

        Raises:
            InvalidModel: it is another kind of model (0159).
        """
        if model.kind != "image":
            raise errors.InvalidModel(
                "expected an image model",
                where=f"model '{model.id}'",
                got=f"one of framework {model.framework}",
            )
        copy = folder / model.name
        shutil.copytree(ImageModel.load(self.path_of(model)).path, copy)
        return copy

    def download(
        self, model: RegisteredModel, target: str | Path = ".", *, exist_ok: bool = False
    ) -> Path:
        """Write a model's files into a folder of the user's.

        A file or folder gets the name that it had when it was registered; an image model becomes
        a folder called like the model.

        Returns:
            The file or folder that was written.

        Raises:
            AlreadyExists: there is one, and `exist_ok` is false (0057).
        """
        folder = model.name if model.kind == "image" else ""

        def write(made: Path) -> None:
            self.unpack(model, made)

        return unpacked.place(write, Path(target), folder=folder, exist_ok=exist_ok)

    def update(
        self,
        model: RegisteredModel,
        *,
        tags: Mapping[str, str] | None = None,
        add_tags: Mapping[str, str] | None = None,
        remove_tags: Iterable[str] = (),
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> RegisteredModel:
        """Change what is said about a model, never its files, and return it anew.

        Args:
            model: which.
            tags: take the place of all tags.
            add_tags: are added, or change those of the same keys.
            remove_tags: keys of those that go, before others are added.
            properties: are added; a property that is there cannot be changed.
            description: takes the place of the old one.
            details: are added, or change those of the same keys.

        Raises:
            NotFound: it was deleted meanwhile.
            NotSupported: a property would be changed (2006).
        """
        with self._database.writing() as connection:
            now_there = model_rows.get(connection, Reference(model.name, model.version))
            values: dict[str, Any] = {
                "tags": changed_tags(now_there.tags, tags=tags, add=add_tags, remove=remove_tags),
                "properties": added_properties(
                    now_there.properties, properties, where=f"model '{model.id}'"
                ),
                "description": now_there.description if description is None else description,
                "details": {**now_there.details, **(details or {})},
                "updated_at": now(),
            }
            connection.execute(
                sqlalchemy.update(tables.models).where(model_rows.is_(model)).values(**values)
            )
        return dataclasses.replace(now_there, **values)

    def delete(self, model: RegisteredModel) -> None:
        """Forget a version of a model; `workspace gc` removes its files.

        Raises:
            InUse: services use it (2005).
            NotFound: it was deleted already.
        """
        with self._database.writing() as connection:  # no service can be added meanwhile
            if users := self._workspace.services.users_of(model.id):
                raise errors.InUse(
                    "expected a model that no service uses",
                    where=f"model '{model.id}'",
                    got=f"used by {', '.join(users)}",
                    action="Update or delete these services first.",
                )
            model_rows.remove(connection, model)
        self._workspace.audit.note("model.delete", model.id)
