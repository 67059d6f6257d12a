"""Writing that never leaves a half file behind, and digests of what was written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO

from calotype import errors

_CHUNK_BYTES = 1 << 20


def user_cache() -> Path:
    """Return the folder for what can be made again: `CALOTYPE_CACHE`, or the user's cache."""
    import platformdirs

    return Path(os.environ.get("CALOTYPE_CACHE") or platformdirs.user_cache_dir("calotype"))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def aside(path: Path) -> Generator[Path]:
    """Give a name beside `path` to write to; on success it takes the place of `path` at once.

    The name keeps the suffix of `path`. After an exception nothing of it is left.

    Raises:
        CannotWrite: the folder cannot be made or written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        temporary.replace(path)
    except OSError as error:
        raise errors.write_error(error, where=str(path)) from error
    finally:
        with contextlib.suppress(NotADirectoryError):  # the folder is a file
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_aside(path: Path) -> Generator[Path]:
    """Give an empty folder to fill; on success it takes the place of `path`, old content and all.

    Raises:
        CannotWrite: the folder cannot be made or written to, or the disk is full.
    """
    path = path.absolute()
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:80]}.", dir=path.parent))
        temporary.chmod(0o755)  # mkdtemp makes private folders; results are as public as others
        yield temporary
        if path.exists():
            old = temporary.with_name(temporary.name + ".old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
    except OSError as error:
        raise errors.write_error(error, where=str(path)) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def flush(path: Path) -> None:
    """Bring a file's content to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, or not at all."""
    with aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole, or not at all; two spaces of indent, letters kept as they are."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UnreadableFile: the file cannot be opened.
        UnparsableFile: its content is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable file", where=str(path), got=error.strerror or "an I/O error"
        ) from error
    except ValueError as error:
        raise errors.UnparsableFile(
            "expected JSON text", where=str(path), got=str(error), action="Make the file again."
        ) from error


@contextlib.contextmanager
def locked(path: Path, *, what: str) -> Generator[None]:
    """Hold the lock file `path` so that `what` has one writer; a dead process holds nothing.

    Raises:
        Busy: another process holds the lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise errors.write_error(error, where=str(path.parent)) from error
    with file:
        if not _try_lock(file):
            raise errors.Busy(
                "expected to be the only writer",
                where=what,
                got="another process that is writing there",
                action="Wait until it has finished, or choose another folder.",
            )
        yield


def _try_lock(file: BinaryIO) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows has no flock; its byte-range lock serves as well
        import msvcrt

        lock = getattr(msvcrt, "locking")  # noqa: B009 - absent from the stubs of other systems
        try:
            lock(file.fileno(), getattr(msvcrt, "LK_NBLCK"), 1)  # noqa: B009
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
