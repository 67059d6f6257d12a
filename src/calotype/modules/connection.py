"""What may be joined to what: by the types of the ports, and by what really lies in a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.modules.module import AnyModule, Port, PortType

_NOUNS: Final = {
    PortType.ANY_DIRECTORY: "a folder of files",
    PortType.ZIP_FILE: "an archive",
    PortType.IMAGE_DIRECTORY: "an image directory",
    PortType.TRANSFORMATION_DIRECTORY: "an image transformation",
    PortType.UNTRAINED_MODEL_DIRECTORY: "an untrained model",
    PortType.MODEL_DIRECTORY: "a trained image model",
    PortType.DATA_FRAME_DIRECTORY: "a table of scored images",
}

# What an input that wants the type says to everything else: the error, and what to do.
_REFUSALS: Final[Mapping[PortType, tuple[type[errors.CalotypeError], str]]] = {
    PortType.ANY_DIRECTORY: (
        errors.InvalidDataset,
        "Join a dataset of image files: a folder or an archive.",
    ),
    PortType.ZIP_FILE: (errors.InvalidDataset, "Join an archive of image files."),
    PortType.IMAGE_DIRECTORY: (
        errors.InvalidDataset,
        "Use Convert to Image Directory: it makes one of a folder or an archive of images.",
    ),
    PortType.TRANSFORMATION_DIRECTORY: (
        errors.InvalidTransformation,
        "Join Init Image Transformation; transformations of tables belong to the general Apply "
        "Transformation module.",
    ),
    PortType.UNTRAINED_MODEL_DIRECTORY: (errors.InvalidModel, "Join ResNet or DenseNet."),
    PortType.MODEL_DIRECTORY: (
        errors.InvalidModel,
        "Join Train PyTorch Model, or import a model with 'calotype model import'; classic models, "
        "which score tables, belong to the Score Model module.",
    ),
    PortType.DATA_FRAME_DIRECTORY: (
        errors.NotScored,
        "Score the images first, with Score Image Model.",
    ),
}

# Better advice for likely mistakes: (wanted, found).
_ADVICE: Final[Mapping[tuple[PortType, PortType], str]] = {
    (PortType.MODEL_DIRECTORY, PortType.UNTRAINED_MODEL_DIRECTORY): (
        "Train it first, with Train PyTorch Model."
    ),
    (PortType.UNTRAINED_MODEL_DIRECTORY, PortType.MODEL_DIRECTORY): (
        "It is trained already: join it to Score Image Model, or train a new one from ResNet or "
        "DenseNet."
    ),
    (PortType.IMAGE_DIRECTORY, PortType.TRANSFORMATION_DIRECTORY): (
        "Apply Image Transformation attaches it to an image directory."
    ),
    (PortType.IMAGE_DIRECTORY, PortType.MODEL_DIRECTORY): (
        "A model belongs on another port; join the images here."
    ),
    (PortType.IMAGE_DIRECTORY, PortType.UNTRAINED_MODEL_DIRECTORY): (
        "A model belongs on another port; join the images here."
    ),
    (PortType.IMAGE_DIRECTORY, PortType.DATA_FRAME_DIRECTORY): (
        "A table holds no images: join Convert to Image Directory to the files themselves."
    ),
    (PortType.MODEL_DIRECTORY, PortType.IMAGE_DIRECTORY): (
        "Images belong on another port; join the trained model here."
    ),
}

# Which files a folder of each type holds, the telling ones. The names are written out here so that
# checking a draft loads none of the libraries that read them.
_FILES: Final[tuple[tuple[PortType, tuple[str, ...]], ...]] = (
    (PortType.IMAGE_DIRECTORY, ("image_directory.json",)),
    (PortType.IMAGE_DIRECTORY, ("images.lst", "_schema.json")),  # the retired designer's
    (PortType.TRANSFORMATION_DIRECTORY, ("transformation.json",)),
    (PortType.UNTRAINED_MODEL_DIRECTORY, ("untrained_model.json",)),
    (PortType.MODEL_DIRECTORY, ("model.json",)),
    (PortType.DATA_FRAME_DIRECTORY, ("run.json", "_schema.json")),
    (PortType.DATA_FRAME_DIRECTORY, ("scored.parquet",)),
    (PortType.DATA_FRAME_DIRECTORY, ("scored.csv",)),
    (PortType.DATA_FRAME_DIRECTORY, ("evaluation.json",)),
)

# How archives begin: (offset, bytes) of zip, also an empty one, gzip, bzip2, xz and tar.
_ARCHIVES: Final = (
    (0, b"PK\3\4"),
    (0, b"PK\5\6"),
    (0, b"\x1f\x8b"),
    (0, b"BZh"),
    (0, b"\xfd7zXZ\0"),
    (257, b"ustar"),
)


def check_connection(source: Port | PortType, target: Port, *, where: str = "") -> None:
    """Check that an output, or a dataset of some type, may be joined to an input.

    Args:
        source: the output port, or the type of the dataset.
        target: the input port.
        where: the place in the draft, for the message.

    Raises:
        CalotypeError: the types do not fit. The number follows from what the input takes: 0018
            for images, 0158 for transformations, 0159 for models, 0025 for tables.
    """
    types = source.types if isinstance(source, Port) else (source,)
    if any(_fits(one, target) for one in types):
        return
    place = f"input '{target.name}'"
    got = f"the output '{source.name}'" if isinstance(source, Port) else "a dataset"
    raise _refusal(target, types[0], where=f"{where}: {place}" if where else place, got=got)


def check_inputs(module: AnyModule, inputs: Mapping[str, Path]) -> None:
    """Check that a module can run on what really lies on its inputs.

    Args:
        module: the module.
        inputs: the folder or file on each joined input, by the key of its port.

    Raises:
        EmptyInput: required inputs are not joined (0003); all of them are named.
        UnparsableValue: the module has no such input (0002).
        CalotypeError: something else lies there than the input takes; see `check_connection`.
    """
    ports = {port.key: port for port in module.inputs}
    _check_joined(module, ports, inputs)
    for key, path in inputs.items():
        _check_content(ports[key], path, where=f"{module.name}, input '{ports[key].name}'")


def type_of(path: Path) -> PortType | None:
    """Return what lies at a path, judged by the names of its files or by how a file begins.

    Returns:
        `AnyDirectory` for a folder that is nothing more special; None for a file of another kind,
        and when nothing is there.

    Raises:
        UnreadableFile: a file cannot be opened.
    """
    if path.is_file():
        return _type_of_file(path)
    if not path.is_dir():
        return None
    for kind, names in _FILES:
        if all((path / name).is_file() for name in names):
            return kind
    return _type_of_original(path) or PortType.ANY_DIRECTORY


def _fits(found: PortType, target: Port) -> bool:
    # An image directory stands for a folder of images: what takes folders takes it too.
    is_images = found is PortType.IMAGE_DIRECTORY
    return found in target.types or (is_images and PortType.ANY_DIRECTORY in target.types)


def _check_joined(module: AnyModule, ports: Mapping[str, Port], inputs: Mapping[str, Path]) -> None:
    unknown = next((key for key in inputs if key not in ports), None)
    if unknown is not None:
        raise errors.UnparsableValue(
            f"expected one of its inputs ({', '.join(ports) or 'it has none'})",
            where=module.name,
            got=f"'{unknown}'",
            action=errors.suggest(unknown, ports),
        )
    missing = [port for key, port in ports.items() if port.is_required and key not in inputs]
    if missing:
        wanted = " and ".join(f"{_nouns(port)} on the input '{port.name}'" for port in missing)
        raise errors.EmptyInput(
            f"expected {wanted}",
            where=module.name,
            got="nothing",
            action="Join an output of another module, or a dataset.",
        )


def _check_content(port: Port, path: Path, *, where: str) -> None:
    found = type_of(path)
    if found is None and PortType.ANY_DIRECTORY in port.types and path.exists():
        return  # a single file of any kind: the module looks closer
    if found is None or not _fits(found, port):
        raise _refusal(port, found, where=where, got=str(path), is_there=path.exists())
    try:
        _open(found, path)
    except errors.CalotypeError as error:
        error.where = f"{where}: {error.where}" if error.where else where
        raise


def _open(kind: PortType, path: Path) -> None:
    """Read what is read in a moment: the folder may be damaged, or be the retired designer's."""
    if kind is PortType.MODEL_DIRECTORY:
        from calotype.models.image_model import ImageModel

        ImageModel.load(path)
    elif kind is PortType.UNTRAINED_MODEL_DIRECTORY:
        from calotype.models.untrained_model import UntrainedModel

        UntrainedModel.load(path)
    elif kind is PortType.TRANSFORMATION_DIRECTORY:
        from calotype.images.transformation import Transformation

        Transformation.load(path)


def _type_of_file(path: Path) -> PortType | None:
    if path.suffix == ".calotype" or (
        path.suffix == ".onnx" and (path.parent / "model.json").is_file()
    ):
        return PortType.MODEL_DIRECTORY
    if path.suffix in (".parquet", ".csv"):
        return PortType.DATA_FRAME_DIRECTORY
    head = _first_bytes(path)
    is_archive = any(head.startswith(magic, offset) for offset, magic in _ARCHIVES)
    return PortType.ZIP_FILE if is_archive else None


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable file", where=str(path), got=error.strerror or "an I/O error"
        ) from error


def _type_of_original(folder: Path) -> PortType | None:
    """Read the type from the `_meta.yaml` that the retired designer put into its folders."""
    meta = folder / "_meta.yaml"
    if not meta.is_file():
        return None
    text = meta.read_text(encoding="utf-8", errors="replace")
    named = re.search(r"^type:\s*(\w+)", text, re.MULTILINE)
    return next((kind for kind in PortType if named is not None and kind == named[1]), None)


def _refusal(
    target: Port, found: PortType | None, *, where: str, got: str, is_there: bool = True
) -> errors.CalotypeError:
    wanted = target.types[0]
    error, action = _REFUSALS[wanted]
    if found is not None:
        action = _ADVICE.get((wanted, found), action)
        got = f"{got}, {_NOUNS[found]} ({found})"
    else:
        got = f"{got}, a file of another kind" if is_there else f"nothing at {got}"
    return error(f"expected {_nouns(target)}", where=where, got=got, action=action)


def _nouns(port: Port) -> str:
    return " or ".join(_NOUNS[kind] for kind in port.types)
