"""Archives for tests: of a folder, in every form, and with hostile members."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from calotype.images.image_directory import ImageDirectory

Picture = Callable[..., Path]


def open_tar(archive: Path) -> tarfile.TarFile:
    """Open a new tar archive, compressed as its suffix says."""
    if archive.suffix in (".gz", ".tgz"):
        return tarfile.open(archive, "w:gz")
    if archive.suffix == ".bz2":
        return tarfile.open(archive, "w:bz2")
    return tarfile.open(archive, "w:xz" if archive.suffix == ".xz" else "w")


def make_archive(folder: Path, archive: Path) -> Path:
    """Pack a folder as the suffix says; a zip named 'stored' is not compressed."""
    if archive.suffix == ".zip":
        methods = {"stored": zipfile.ZIP_STORED, "bz": zipfile.ZIP_BZIP2}
        method = methods.get(archive.stem, zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(archive, "w", method) as z:
            for path in sorted(folder.rglob("*")):
                z.write(path, path.relative_to(folder))
        return archive
    with open_tar(archive) as tar:
        tar.add(folder, ".")
    return archive


ARCHIVES = ["a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "stored.zip", "a.zip", "bz.zip"]


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **attributes: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(data))


def skipped(directory: ImageDirectory) -> dict[str, str]:
    return {one.path: one.reason for one in directory.skipped()}
