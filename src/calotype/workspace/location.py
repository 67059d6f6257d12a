"""Where a workspace is: a folder, or the URLs of a database and of an artifact store."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from calotype import errors
from calotype.workspace import store_url

FOLDER: Final = ".calotype"
VARIABLE: Final = "CALOTYPE_WORKSPACE"
CONFIGURATION: Final = "workspace.json"


@dataclass(frozen=True, slots=True)
class Location:
    """The parts of a workspace.

    Attributes:
        root: the `.calotype` folder on this machine: configuration, key file, running services,
            and, unless they are elsewhere, database and artifacts.
        database: SQLAlchemy URL.
        artifacts: fsspec URL, or a `file:` URL.
    """

    root: Path
    database: str = field(repr=False)  # may have a password
    artifacts: str = field(repr=False)

    @classmethod
    def of_folder(cls, folder: Path, *, database: str = "", artifacts: str = "") -> Location:
        """Return the workspace in `folder`: its `.calotype`, or itself when it is called that."""
        root = folder if folder.name == FOLDER else folder / FOLDER
        root = root.absolute()
        return cls(
            root,
            database or f"sqlite:///{quote(str(root / 'workspace.db'))}",
            artifacts or (root / "artifacts").as_uri(),
        )

    @property
    def key_file(self) -> Path:
        """Opens what is sealed in the database; readable by its owner only."""
        return self.root / "workspace.key"

    @property
    def run_folder(self) -> Path:
        """Where running services keep locks, logs and their unpacked models."""
        return self.root / "run"

    @property
    def shown_artifacts(self) -> str:
        """Where the artifacts are, for messages: never with a password."""
        return store_url.shown(self.artifacts)

    @property
    def is_made(self) -> bool:
        """Whether there is a workspace."""
        return (self.root / CONFIGURATION).is_file()

    def to_document(self) -> dict[str, Any]:
        """Return what the configuration file says; nothing for what lies in the folder itself."""
        own = Location.of_folder(self.root)
        return {
            "database": "" if self.database == own.database else self.database,
            "artifacts": "" if self.artifacts == own.artifacts else self.artifacts,
        }

    @classmethod
    def read(cls, folder: Path) -> Location:
        """Return the workspace in `folder` as its configuration says.

        Raises:
            NotFound: there is none.
            CorruptWorkspace: the configuration cannot be read.
        """
        plain = cls.of_folder(folder)
        path = plain.root / CONFIGURATION
        try:
            said: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
            database, artifacts = str(said["database"]), str(said["artifacts"])
        except (FileNotFoundError, NotADirectoryError):
            raise errors.NotFound(
                "expected a workspace",
                where=str(folder),
                got="none",
                action="Make one with `calotype workspace create`.",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise errors.CorruptWorkspace(
                "expected the configuration of a workspace",
                where=str(path),
                got=f"{type(error).__name__}: {error}",
                action="Restore the file from a copy.",
            ) from error
        return cls.of_folder(folder, database=database, artifacts=artifacts)


def nearest(start: Path) -> Path | None:
    """Return the nearest `.calotype` folder at or above `start`."""
    for folder in (start, *start.parents):
        if (folder / FOLDER / CONFIGURATION).is_file():
            return folder / FOLDER
    return None


def find(given: str | None = None) -> Path:
    """Return where the workspace is that a command means, whether or not it has been made.

    `given`, else the variable `CALOTYPE_WORKSPACE`, else the nearest `.calotype` at or above the
    working folder, else the user's data folder. A database URL has a folder of its own there.

    Raises:
        NotSupported: it is the URL of something else.
    """
    said = given or os.environ.get(VARIABLE, "")
    if said.startswith("file:"):
        return Path(unquote(urlsplit(said).path))
    if is_database(said):
        name = hashlib.sha256(said.encode()).hexdigest()[:16]
        return users_folder().parent / "databases" / name / FOLDER
    if "://" in said:
        raise errors.NotSupported(
            "expected a folder, or the URL of a PostgreSQL database",
            where="workspace",
            got=f"{said.partition(':')[0]}://…",
            action="Say `-w FOLDER` or `-w postgresql://user@host/database`.",
        )
    if said:
        return Path(said)
    return nearest(Path.cwd()) or users_folder()


def is_database(said: str) -> bool:
    """Return whether this names a workspace by the URL of its database."""
    return said.startswith(("postgresql:", "postgresql+", "postgres:"))


def users_folder() -> Path:
    """Return where the user's own workspace is, whether or not it has been made."""
    import platformdirs

    return Path(platformdirs.user_data_dir("calotype")) / FOLDER
