"""The image model: a folder that carries weights, class names and its own preprocessing.

Nothing in the folder is executed to load it: JSON, safetensors and ONNX only, each file checked
against the digest in `model.json` before it is used.
"""

from __future__ import annotations

import collections
import datetime
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import calotype
from calotype import errors, files
from calotype.images.preprocess import Preprocessing
from calotype.models import package
from calotype.models.foreign import not_a_model
from calotype.models.package import corrupt

MODEL_JSON = "model.json"
ONNX = "model.onnx"
INT8_ONNX = "model.int8.onnx"
WEIGHTS = "weights.safetensors"
NOVELTY = "novelty.npz"

_FORMAT_VERSION = 1


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Architecture(_Stored):
    """Which network this is: enough to build it again and load `weights.safetensors`."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Agreement(_Stored):
    """How a faster precision compares with fp32 on labelled or unlabelled images."""

    images: int
    label_agreement: float
    """Share of images that get the same label as in fp32."""
    accuracy: float | None = None
    fp32_accuracy: float | None = None
    images_per_s: float | None = None
    fp32_images_per_s: float | None = None
    layers: int | None = None
    """How many layers an int8 file has."""
    kept_layers: tuple[str, ...] = ()
    """Those of them that stayed in fp32, because int8 would have cost too much accuracy."""

    @property
    def is_trustworthy(self) -> bool:
        """Whether `auto` may use it: 99 % equal labels, at most half a point of accuracy lost."""
        if self.accuracy is None or self.fp32_accuracy is None:
            return self.label_agreement >= 0.99
        return self.label_agreement >= 0.99 and self.fp32_accuracy - self.accuracy <= 0.005


class InnerOutputs(_Stored):
    """Names of what `model.onnx` gives beside the scores; a model may have all, some or none."""

    features: str
    """Input of the last linear layer, shape (images, channels): what novelty is measured in."""
    feature_map: str | None = None
    """What the features are the mean of, shape (images, channels, height, width)."""
    class_weights: str | None = None
    """Weights of the last linear layer, shape (classes, channels)."""


class ModelDescription(_Stored):
    """The content of `model.json`."""

    format_version: Literal[1] = _FORMAT_VERSION
    task: Literal["image_classification"] = "image_classification"
    architecture: Architecture
    classes: tuple[str, ...] = Field(min_length=1)
    input_size: tuple[int, int]
    """Height and width in pixels."""
    preprocessing: Preprocessing
    input_name: str = "image"
    output_name: str = "logits"
    output: Literal["logits", "probabilities"] = "logits"
    is_batch_dynamic: bool = True
    """False when the ONNX file takes exactly one image at a time."""
    inner_outputs: InnerOutputs | None = None
    """None for networks of others, and for those of another build."""
    temperature: float | None = Field(default=None, gt=0)
    """What logits are divided by before the softmax, fitted on validation images; None: nothing."""
    metrics: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    data_fingerprint: str | None = None
    precisions: dict[str, Agreement] = Field(default_factory=dict)
    """Measured agreement with fp32 by `<runtime>:<precision>`, such as `openvino:bf16`."""
    versions: dict[str, str] = Field(default_factory=dict)
    licenses: dict[str, str] = Field(default_factory=dict)
    created: str = ""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of every other file of the folder, by name."""

    @model_validator(mode="after")
    def _check(self) -> ModelDescription:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("class names that all differ")
        if self.input_size != self.preprocessing.input_size:
            raise ValueError("an input size that equals what the preprocessing makes")
        if any(name in ("", ".", "..") or "/" in name or "\\" in name for name in self.files):
            raise ValueError("plain file names")
        return self


class ImageModel:
    """A trained image model on disk.

    Args:
        path: its folder.
        description: the content of its `model.json`.
        digest: SHA-256 of `model.json`, which itself holds the digests of the other files.
    """

    def __init__(self, path: Path, description: ModelDescription, *, digest: str) -> None:
        self.path = path
        self.description = description
        self.digest = digest

    @classmethod
    def load(cls, path: str | Path) -> ImageModel:
        """Open a model folder, a `.calotype` file, or an `.onnx` file beside its `model.json`.

        The name `imagenet` opens the ready model of 1,000 everyday things, unless a folder of that
        name is there; the first time it is made from weights on this machine.

        Raises:
            InvalidModel: there is no trained image model at `path` (0159).
            CorruptModel: its `model.json` is damaged or of a later format (0082).
        """
        path = Path(path)
        if str(path) == "imagenet" and not path.exists():
            from calotype.models.imagenet import make_once

            path = make_once()
        folder = path
        if path.suffix == package.SUFFIX and path.is_file():
            folder = package.unpack(path, required=MODEL_JSON)
        elif path.name == ONNX:
            folder = path.parent
        try:
            data = (folder / MODEL_JSON).read_bytes()
        except OSError as error:
            raise not_a_model(path) from error
        description = _parse(data, folder / MODEL_JSON)
        return cls(folder, description, digest=hashlib.sha256(data).hexdigest())

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self.description.classes

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels."""
        return self.description.input_size

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to an image before the network sees it."""
        return self.description.preprocessing

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured at the end of training."""
        return self.description.metrics

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the model comes from: architecture, training, data, versions, licences."""
        kept = {"architecture", "training", "data_fingerprint", "versions", "licenses", "created"}
        return self.description.model_dump(include=kept)

    def has(self, name: str) -> bool:
        """Whether the model has the file `name`."""
        return name in self.description.files

    def file(self, name: str) -> Path:
        """Return the path of one of the model's files after checking its digest.

        Raises:
            CorruptModel: the file is missing or its content has changed.
        """
        path = self.path / name
        expected = self.description.files.get(name)
        if expected is None or not path.is_file():
            raise corrupt(path, "a model with this file", "none")
        if files.sha256(path) != expected:
            raise corrupt(path, "the content that model.json has the digest of", "another")
        return path

    def verify(self) -> None:
        """Check the digest of every file.

        Raises:
            CorruptModel: a file is missing or its content has changed.
        """
        for name in self.description.files:
            self.file(name)

    def with_file(self, name: str, content: Path, **changes: Any) -> ImageModel:
        """Add or replace one file, change the description with it, and return the model anew.

        The file is put in place first: until `model.json` follows, the old one does not know it.
        """
        target = self.path / name
        with files.aside(target) as temporary:
            shutil.copyfile(content, temporary)
        digests = {**self.description.files, name: files.sha256(target)}
        return self.with_description(files=digests, **changes)

    def with_description(self, **changes: Any) -> ImageModel:
        """Change the description on disk and return the model anew."""
        description = self.description.model_copy(update=changes)
        files.write_json(self.path / MODEL_JSON, description.model_dump(mode="json"))
        return ImageModel.load(self.path)


def save(out: Path, description: ModelDescription, content: Mapping[str, Path | str]) -> ImageModel:
    """Write a model folder: all of it, or nothing.

    Args:
        out: the folder to make; an earlier model there is replaced.
        description: its `model.json`; digests, creation time and our version are filled in.
        content: file name to the file to take it from, or to its text.

    Raises:
        AlreadyExists: `out` holds something that is not a model.
        CannotWrite: the folder cannot be written.
    """
    check_target(out)
    with files.folder_aside(out.resolve()) as folder:  # a link goes on pointing there
        for name, source in content.items():
            if isinstance(source, str):
                (folder / name).write_text(source, encoding="utf-8")
            else:
                shutil.copyfile(source, folder / name)
            files.flush(folder / name)
        complete = description.model_copy(
            update={
                "files": {name: files.sha256(folder / name) for name in content},
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "versions": {"calotype": calotype.__version__, **description.versions},
            }
        )
        files.write_json(folder / MODEL_JSON, complete.model_dump(mode="json"))
    return ImageModel.load(out)


def check_target(out: Path) -> None:
    """Check that a model can be written to `out`: a new place, an empty folder, an earlier model.

    Raises:
        AlreadyExists: `out` holds something else, or other files beside an earlier model.
        CannotWrite: a part of the path is a file, or may not be written to.
    """
    try:
        names = {entry.name for entry in out.iterdir()}
    except FileNotFoundError:
        _check_writable(out)
        return
    except OSError as error:
        if not out.is_file():
            raise errors.write_error(error, where=str(out)) from error
        names = {out.name}
    _check_writable(out)
    if foreign := names - _files_of_model(out) - {"__pycache__"}:  # where score.py was run
        raise errors.AlreadyExists(
            "expected a new folder, an empty one or an earlier model",
            where=str(out),
            got=f"'{min(foreign)}'" + (f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""),
            action="Choose another folder.",
        )


def _files_of_model(folder: Path) -> set[str]:
    """Return the names of what a model in `folder` consists of; nothing when there is none.

    Others call their files model.json too: TensorFlow.js does.
    """
    try:
        document = json.loads((folder / MODEL_JSON).read_bytes())
        ours = {MODEL_JSON, INT8_ONNX, NOVELTY, *document["files"]}
        return ours if document["format_version"] else set()
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _check_writable(out: Path) -> None:
    """Check before hours of training what can be known before: that the folder may be made."""
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise errors.write_error(OSError(errno.ENOTDIR, "a file"), where=str(out))
    if not os.access(parent, os.W_OK | os.X_OK):
        raise errors.write_error(OSError(errno.EACCES, "no right to write"), where=str(out))


def read_classes(path: Path) -> list[str]:
    """Read class names in index order: one a line, or a JSON list.

    Raises:
        UnreadableFile: the file cannot be opened.
        UnparsableFile: no names, an empty one, or the same name twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UnreadableFile(
            "expected a UTF-8 text file of class names", where=str(path), got=str(error)
        ) from error
    if path.suffix.lower() != ".json":
        # Not splitlines: it would split names at rare characters that are no line ends.
        return check_classes(text.rstrip("\n").split("\n"), where=str(path))
    try:
        return check_classes(json.loads(text), where=str(path))
    except ValueError as error:
        raise errors.UnparsableFile("expected JSON", where=str(path), got=str(error)) from error


def check_classes(names: Any, *, where: str) -> list[str]:
    """Return class names after checking that they are distinct, non-empty texts."""
    problem = ""
    if not isinstance(names, list | tuple) or not names:
        problem = "no list of names"
    elif any(not isinstance(name, str) or not name.strip() for name in names):
        problem = "a name that is empty or not text"
    elif len(set(names)) != len(names):
        problem = f"'{collections.Counter(names).most_common(1)[0][0]}' twice"
    if problem:
        raise errors.UnparsableFile(
            "expected distinct class names in index order, one a line or as a JSON list",
            where=where,
            got=problem,
        )
    return list(names)


def _parse(data: bytes, path: Path) -> ModelDescription:
    try:
        return ModelDescription.model_validate_json(data)
    except ValidationError as invalid:
        detail = invalid.errors()[0]
        if detail["loc"] == ("format_version",):
            raise errors.CorruptModel(
                f"expected a model of format version {_FORMAT_VERSION}",
                where=str(path),
                got=repr(detail["input"]),
                action="Use the version of Calotype that made it, or a later one.",
            ) from None
        place = ".".join(str(part) for part in detail["loc"])
        got = f"{place}: {detail['msg']}" if place else detail["msg"]
        raise corrupt(path, "a model description of format 1", got) from None
