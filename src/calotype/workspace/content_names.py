"""What a file of the web is called here: what it is, is known by the end of its name."""

from __future__ import annotations

import re
import tarfile
import urllib.parse
from pathlib import Path
from typing import Final

from calotype.workspace.dataset_sources import ARCHIVE_SUFFIXES

_MAX_BYTES: Final = 200
_SUFFIX: Final = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}$")
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
# One file to whoever uses them: tables, documents, models, programs.
_ARCHIVES_BY_NATURE: Final = (
    *(".npz", ".xlsx", ".xlsm", ".docx", ".pptx", ".ods", ".odt", ".odp", ".epub", ".kmz"),
    *(".pt", ".pt2", ".pth", ".ptl", ".ckpt", ".bin", ".keras", ".skops", ".mar"),
    *(".jar", ".apk", ".whl"),
)


def choose(content: Path, said: str | None, *urls: str) -> str:
    """Return the name of a file: as its server says, else as in a URL.

    The URL counts whose name ends like an archive's, else like a file's. An archive that is not
    called one is known by its first bytes, also one that was cut off.

    Args:
        content: the file.
        said: what the server calls it, if it says so.
        urls: what was asked for, and where it was found in the end.
    """
    paths = [urllib.parse.unquote(urllib.parse.urlsplit(url).path) for url in urls]
    names = [name for path in (said or "", *paths) if (name := _clean(path))]
    ended = [name for name in names if _SUFFIX.search(name)]
    archives = [name for name in ended if name.lower().endswith(ARCHIVE_SUFFIXES)]
    is_said = said is not None and _clean(said) in ended  # then it is the first one
    name = next(iter([*([] if is_said else archives), *ended, *names]), "content")
    if name.lower().endswith((*ARCHIVE_SUFFIXES, *_ARCHIVES_BY_NATURE)):
        return name
    return name + _suffix_of(content)


def _clean(path: str) -> str:
    last = re.sub(r"[\x00-\x1f\x7f\\:]", "_", path.rpartition("/")[2]).strip(". ")
    return last.encode(errors="replace")[-_MAX_BYTES:].decode(errors="ignore")


def _suffix_of(content: Path) -> str:
    with content.open("rb") as file:
        if file.read(4) in _ZIP:
            return ".zip"
    return ".tar" if tarfile.is_tarfile(content) else ""
