"""The `.calotype` file: a zip archive of a model folder, unpacked into the user's cache."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from calotype import errors, files

SUFFIX = ".calotype"

# Weights hardly compress, by a tenth; an archive that grows more than this is an attack.
_MOST_GROWTH = 20
_ALWAYS_ALLOWED_BYTES = 16 << 20
_MOST_FILES = 100
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(archive: Path, *, required: str) -> Path:
    """Return the folder of an archive's model; the first call for a content unpacks it.

    Args:
        archive: the model's files, or one folder with them, as zip programs like to make it.
        required: the name of the file without which it is no model.

    Raises:
        InvalidModel: the archive does not hold `required`.
        CorruptModel: the archive is damaged, or has members that no model has.
        CannotWrite: the cache cannot be written.
    """
    folder = files.user_cache() / "models" / files.sha256(archive)
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking.") as temporary:
            target = Path(temporary) / "model"
            target.mkdir()
            _extract(archive, target, required)
            _put(target, folder)
    except OSError as error:
        raise errors.write_error(error, where=str(folder.parent)) from error
    return folder


def _extract(archive: Path, target: Path, required: str) -> None:
    try:
        with zipfile.ZipFile(archive) as package:
            members = [member for member in package.infolist() if not member.is_dir()]
            _check_members(members, archive, required)
            for member in members:
                # zipfile reads no more than the size that the member declares.
                path = target / PurePosixPath(member.filename).name
                with package.open(member) as source, path.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        # What zipfile raises for damage, encryption and names that no file can have.
        raise corrupt(archive, "a zip archive", str(error) or type(error).__name__) from error


def _check_members(members: list[zipfile.ZipInfo], archive: Path, required: str) -> None:
    most = _ALWAYS_ALLOWED_BYTES + _MOST_GROWTH * archive.stat().st_size
    if len(members) > _MOST_FILES or sum(member.file_size for member in members) > most:
        raise corrupt(
            archive, f"at most {_MOST_FILES} files of {most:,} bytes together", "an archive of more"
        )
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
            raise corrupt(archive, "plain file names", f"the member '{member.filename}'")
        if member.compress_type not in _METHODS:
            raise corrupt(archive, "deflated members", f"another method for '{path}'")
    if len({PurePosixPath(member.filename).parent for member in members}) > 1:
        raise corrupt(archive, "the files of one model", "an archive of several folders")
    if required not in {PurePosixPath(member.filename).name for member in members}:
        raise errors.InvalidModel(
            "expected an archive of a model folder",
            where=str(archive),
            got=f"one without {required}",
            action="Make a zip archive of the files of a model folder.",
        )


def _put(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was faster
            raise


def corrupt(path: Path, expected: str, got: str) -> errors.CorruptModel:
    """Return the error for a damaged file of a model."""
    action = "Copy the model again from where it came, or train it again."
    return errors.CorruptModel(f"expected {expected}", where=str(path), got=got, action=action)
