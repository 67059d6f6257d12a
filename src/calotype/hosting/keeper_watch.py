"""A replica's eye on its keeper: brings one back that has gone with its standby."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.hosting import locks
from calotype.hosting.hosted_service import on_all_cores

_REVIVE_AFTER_S: Final = 3.0
_ALONE_S: Final = 60.0


class KeeperWatch:
    """Looks at the keeper's lock again and again.

    Args:
        lock: of the keeper.
    """

    def __init__(self, lock: Path) -> None:
        self._lock = lock
        self._seen_s = self._tried_s = time.monotonic()

    async def look(self) -> bool:
        """Start a keeper when there has been none for a while.

        Returns:
            False when that has not helped for so long that nobody will keep this replica any more.
        """
        now_s = time.monotonic()
        if locks.is_held(self._lock):
            self._seen_s = now_s
        elif now_s - self._seen_s > _ALONE_S:
            return False
        elif now_s - max(self._seen_s, self._tried_s) > _REVIVE_AFTER_S:
            self._tried_s = now_s
            with contextlib.suppress(OSError, errors.CalotypeError):  # a full disk: again later
                await asyncio.to_thread(_revive, self._lock.parent.parent)
        return True


def _revive(root: Path) -> None:
    from calotype.hosting.launching import start_keeper

    with on_all_cores():  # it is no part of this replica
        start_keeper(root)
