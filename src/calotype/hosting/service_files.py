"""What a service leaves below `run/services`: unpacked revisions, locks and logs."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype import errors
from calotype.hosting import locks
from calotype.hosting.layout import Layout
from calotype.workspace.machine import is_here

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

_KEPT_LOGS: Final = 20


class ServiceFiles:
    """The files of one service.

    Args:
        workspace: whose.
        layout: its places.
        name: of the service.
        made_at: when it was deployed; None: that is not known.
    """

    def __init__(
        self, workspace: Workspace, layout: Layout, name: str, made_at: datetime | None
    ) -> None:
        self._workspace, self._layout = workspace, layout
        self._name, self._made_at = name, made_at

    def is_held(self) -> bool:
        """Whether a replica lives."""
        folder = self._layout.replica_lock(self._name, "x").parent
        return any(map(locks.is_held, folder.glob("*.lock")))

    def forget(self) -> None:
        """Remove all, unless they are of a service that there is."""
        if not self._workspace.place.is_made:
            return  # the folder has gone, and nobody knows what the records say
        try:
            record = self._workspace.services.get(self._name)
        except errors.NotFound:
            record = None
        if record is not None:
            is_elsewhere = not is_here(self._workspace.place, record.host)
            if is_elsewhere or record.created_at == self._made_at:
                return
        shutil.rmtree(self._layout.service(self._name), ignore_errors=True)

    def forget_revisions(self, *, but: Collection[tuple[str, int]]) -> None:
        """Remove the files of revisions that nothing runs any more.

        Args:
            but: version and number of those that are needed.
        """
        used = {self._layout.revision(self._name, version, number).name for version, number in but}
        folder = self._layout.revision(self._name, "x", 0).parent
        with contextlib.suppress(FileNotFoundError):
            for path in folder.iterdir():
                if path.name not in used and not path.name.startswith("."):
                    shutil.rmtree(path, ignore_errors=True)

    def forget_logs(self, *, but: Collection[str]) -> None:
        """Remove the logs of replicas that ended long ago: one that crashes makes many.

        Args:
            but: names of those that are written to.
        """
        with contextlib.suppress(FileNotFoundError):
            logs = sorted(
                self._layout.logs(self._name).glob("*.log"), key=_changed_at, reverse=True
            )
            for path in logs[_KEPT_LOGS:]:
                if path.name not in but:
                    for part in path.parent.glob(f"{path.name}*"):
                        part.unlink(missing_ok=True)


def _changed_at(path: Path) -> float:
    return path.stat().st_mtime
