"""Registering a model: which files, and what is known about it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from calotype import errors
from calotype.webservice.dataset import Dataset
from calotype.webservice.resource_configuration import ResourceConfiguration
from calotype.workspace.registered_model import RegisteredModel
from calotype.workspace.workspace import Workspace


def register_files(
    workspace: Workspace, path: str, name: str, child_paths: Sequence[str] | None, **said: Any
) -> RegisteredModel:
    """Register a file or a folder, or only `child_paths` of the folder."""
    if not child_paths:
        return workspace.models.register(path, name, **said)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / (Path(path).resolve().name or name)
        for child in child_paths:
            _copy(Path(path), child, folder)
        return workspace.models.register(folder, name, **said)


def details_of(
    datasets: Iterable[tuple[str, Dataset]] | None = None,
    sample_input: Dataset | None = None,
    sample_output: Dataset | None = None,
    resources: ResourceConfiguration | None = None,
) -> dict[str, Any]:
    """Return what the registry keeps beside the files; what was not given is left out.

    Raises:
        UnparsableValue: a dataset is none, or is not registered.
    """
    details: dict[str, Any] = {}
    if datasets is not None:
        details["datasets"] = [
            {"purpose": purpose, **_reference(one)} for purpose, one in _pairs(datasets)
        ]
    for key, sample in (("sample_input", sample_input), ("sample_output", sample_output)):
        if sample is not None:
            details[key] = _reference(sample)
    if resources is not None:
        details["resources"] = resources.serialize()
    return details


def datasets_of(workspace: Workspace, details: Mapping[str, Any]) -> dict[str, list[Dataset]]:
    """Return the datasets of a model by purpose."""
    found: dict[str, list[Dataset]] = {}
    for said in details.get("datasets", ()):
        one = Dataset.get_by_name(workspace, said["name"], said["version"])
        found.setdefault(said["purpose"], []).append(one)
    return found


def _pairs(given: Any) -> Iterator[tuple[str, object]]:
    for one in given:
        if not isinstance(one, list | tuple) or len(one) != 2:  # pyright: ignore[reportUnknownArgumentType]
            raise errors.UnparsableValue(
                "expected pairs of a purpose and a dataset",
                where="datasets",
                got=repr(one)[:80],
                action='Write them as [("training", dataset)].',
            )
        yield str(one[0]), one[1]  # pyright: ignore[reportUnknownArgumentType]


def _reference(dataset: object) -> dict[str, Any]:
    if not isinstance(dataset, Dataset) or dataset.name is None:
        raise errors.UnparsableValue(
            "expected a registered dataset",
            where="datasets of a model",
            got=repr(dataset)[:80],
            action="Call dataset.register(workspace, name), and pass what it returns.",
        )
    return {"name": dataset.name, "version": dataset.version}


def _copy(base: Path, child: str, folder: Path) -> None:
    source, target = base / child, folder / child
    if not source.resolve().is_relative_to(base.resolve()):
        raise errors.UnparsableValue(
            "expected a path below the model's folder", where="child_paths", got=child
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a file or folder", where=str(source), got=error.strerror or "none"
        ) from error
