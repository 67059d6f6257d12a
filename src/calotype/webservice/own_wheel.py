"""A wheel of the Calotype that runs, for packages: no index has that of a source tree."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import calotype

_NAME: Final = "calotype"
_WHEEL: Final = (
    "Wheel-Version: 1.0\nGenerator: calotype\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
)


def is_from_index() -> bool:
    """Whether pip finds this Calotype again by its version: it was not installed from a place."""
    found = _distribution()
    if found is None or not _home().is_relative_to(Path(str(found.locate_file(""))).resolve()):
        return False  # it runs from a source tree
    return found.read_text("direct_url.json") is None


def is_among(wheels: Sequence[Path]) -> bool:
    """Whether one of some wheels is of Calotype."""
    return any(wheel.name.lower().startswith(f"{_NAME}-") for wheel in wheels)


def write(folder: Path) -> Path | None:
    """Write a wheel of the package as it lies here; None when what it depends on is not known."""
    found = _distribution()
    about = found.read_text("METADATA") if found is not None else None
    if found is None or about is None:
        return None
    path = folder / f"{_NAME}-{calotype.__version__}-py3-none-any.whl"
    place = f"{_NAME}-{calotype.__version__}.dist-info"
    record: list[str] = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, data: bytes) -> None:
            archive.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(data)}\n")

        for file in _files():
            add(file.relative_to(_home().parent).as_posix(), file.read_bytes())
        add(f"{place}/METADATA", about.encode())
        add(f"{place}/WHEEL", _WHEEL.encode())
        add(f"{place}/entry_points.txt", (found.read_text("entry_points.txt") or "").encode())
        archive.writestr(f"{place}/RECORD", "".join([*record, f"{place}/RECORD,,\n"]))
    return path


def _distribution() -> metadata.Distribution | None:
    try:
        found = metadata.distribution(_NAME)
    except metadata.PackageNotFoundError:
        return None
    return found if found.version == calotype.__version__ else None


def _home() -> Path:
    return Path(calotype.__file__).resolve().parent


def _files() -> Iterator[Path]:
    for file in sorted(_home().rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file
