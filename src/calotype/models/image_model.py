"""The image model: a folder that carries weights, class names and its own preprocessing.

Nothing in the folder is executed to load it: JSON, safetensors and ONNX only, each file checked
against the digest in `model.json` before it is used.
"""

from __future__ import annotations

import datetime
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import calotype
from calotype import errors, files
from calotype.images.preprocess import Preprocessing

MODEL_JSON = "model.json"
ONNX = "model.onnx"
INT8_ONNX = "model.int8.onnx"
WEIGHTS = "weights.safetensors"

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

    @property
    def is_trustworthy(self) -> bool:
        """Whether `auto` may use it: 99 % equal labels, at most half a point of accuracy lost."""
        if self.accuracy is None or self.fp32_accuracy is None:
            return self.label_agreement >= 0.99
        return self.label_agreement >= 0.99 and self.fp32_accuracy - self.accuracy <= 0.005


class ModelDescription(_Stored):
    """The content of `model.json`."""

    format_version: Literal[1] = _FORMAT_VERSION
    task: Literal["image_classification"] = "image_classification"
    is_trained: bool = True
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
        if any(Path(name).name != name for name in self.files):
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
        if path.suffix == ".calotype" and path.is_file():
            path = _unpack(path)
        folder = path.parent if path.suffix == ".onnx" else path
        if not (folder / MODEL_JSON).is_file():
            raise _not_a_model(path)
        data = (folder / MODEL_JSON).read_bytes()
        description = _parse(data, folder)
        if not description.is_trained:
            raise errors.InvalidModel(
                "expected a trained image model",
                where=str(path),
                got="an untrained one",
                action="Train it first with 'calotype train'.",
            )
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
            raise _corrupt(path, "a model with this file", "none")
        if files.sha256(path) != expected:
            raise _corrupt(path, "the content that model.json has the digest of", "another")
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
            temporary.write_bytes(content.read_bytes())
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
    with files.folder_aside(out) as folder:
        for name, source in content.items():
            if isinstance(source, str):
                (folder / name).write_text(source, encoding="utf-8")
            else:
                (folder / name).write_bytes(source.read_bytes())
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
    """Refuse to write a model over anything but an earlier model.

    Raises:
        AlreadyExists: `out` holds something that is not a model.
    """
    if out.exists() and not (out / MODEL_JSON).is_file() and (out.is_file() or any(out.iterdir())):
        raise errors.AlreadyExists(
            "expected a new folder, an empty one or an earlier model",
            where=str(out),
            action="Choose another folder.",
        )


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
    names = files.read_json(path) if path.suffix == ".json" else text.splitlines()
    return check_classes(names, where=str(path))


def check_classes(names: Sequence[Any], *, where: str) -> list[str]:
    """Return class names after checking that they are distinct, non-empty strings."""
    problem = ""
    if not isinstance(names, list) or not names:
        problem = "no list of names"
    elif any(not isinstance(name, str) or not name for name in names):
        problem = "a name that is empty or not text"
    elif len(set(names)) != len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        problem = f"'{repeated}' twice"
    if problem:
        raise errors.UnparsableFile(
            "expected distinct class names in index order, one a line or as a JSON list",
            where=where,
            got=problem,
        )
    return list(names)


def _parse(data: bytes, folder: Path) -> ModelDescription:
    try:
        return ModelDescription.model_validate_json(data)
    except ValidationError as invalid:
        detail = invalid.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        got = f"{place}: {detail['msg']}" if place else detail["msg"]
        raise _corrupt(folder / MODEL_JSON, "a model description of format 1", got) from None


def _corrupt(path: Path, expected: str, got: str) -> errors.CorruptModel:
    action = "Copy the model again from where it came, or train it again."
    return errors.CorruptModel(f"expected {expected}", where=str(path), got=got, action=action)


def _not_a_model(path: Path) -> errors.InvalidModel:
    """Say what is at `path` instead of an image model, and what to do about it."""
    got, action = "no such file or folder", "Check the path."
    if path.suffix in (".pkl", ".pickle", ".joblib"):
        got, action = "a classic (pickled) model", "Score tables with the Score Model module."
    elif path.suffix in (".onnx", ".safetensors", ".pth", ".pt"):
        got = "weights without a model.json beside them" if path.exists() else got
        action = "Make a model of it: 'calotype model import FILE --classes FILE --out MODEL'."
    elif (path / "_meta.yaml").is_file() or (path / "model_spec.yaml").is_file():
        got, action = _describe_original(path)
    elif (path / "image_directory.json").is_file():
        got, action = "an image directory", "Exchange the model and the images."
    elif path.exists():
        got = "a folder or file without model.json"
        action = "Train a model with 'calotype train', or import one with 'calotype model import'."
    return errors.InvalidModel(
        "expected a trained image model", where=str(path), got=got, action=action
    )


def _describe_original(path: Path) -> tuple[str, str]:
    spec = path / "model_spec.yaml"
    text = spec.read_text(encoding="utf-8", errors="replace") if spec.is_file() else ""
    if "pytorch" not in text:
        return "a classic (tabular) model", "Score tables with the Score Model module."
    return (
        "a model directory of the retired designer",
        "Import it: 'calotype model import DIR --out MODEL'.",
    )


def _unpack(archive: Path) -> Path:
    """Unpack a `.calotype` file into the user's cache, once per content."""
    folder = files.user_cache() / "models" / files.sha256(archive)
    if folder.is_dir():
        return folder
    try:
        with zipfile.ZipFile(archive) as package, files.folder_aside(folder) as target:
            for member in package.infolist():
                if Path(member.filename).name != member.filename:
                    raise _corrupt(archive, "a flat archive", f"the member '{member.filename}'")
                with package.open(member) as source, (target / member.filename).open("wb") as out:
                    while chunk := source.read(1 << 20):
                        out.write(chunk)
    except zipfile.BadZipFile as error:
        raise _corrupt(archive, "a zip archive", str(error)) from error
    return folder
