"""The keeper's eye on the front door: whether it answers, and the end of one that hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype import errors
from calotype.hosting import control

if TYPE_CHECKING:
    from calotype.hosting.door_process import DoorProcess

logger = logging.getLogger(__name__)


PAUSE_S: Final = 2.0
"""Between two looks."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited; looks are counted, as nobody answers on a machine that sleeps.

    Attributes:
        answers_within_s: to each look.
        silent_after: so many looks without an answer, and it is told.
        hangs_after: so many, and it is ended.
    """

    answers_within_s: float = 3.0
    silent_after: int = 2
    hangs_after: int = 12


DEFAULT: Final = Patience()


class DoorWatch:
    """Asks the front door again and again.

    Args:
        process: of it.
        socket: where it takes commands.
        changed: told when it falls silent, and when it answers again.
        patience: how long is waited.

    Attributes:
        is_answering: whether it does, as far as is known.
    """

    def __init__(
        self,
        process: DoorProcess,
        socket: Path,
        changed: Callable[[], None],
        patience: Patience = DEFAULT,
    ) -> None:
        self.is_answering = True
        self._process, self._socket, self._changed = process, socket, changed
        self._patience = patience
        self._pid: object = None
        self._unanswered = 0

    async def look(self) -> None:
        """Ask once."""
        facts = self._process.facts
        is_asked = facts.get("state") == "ready"
        is_silent = is_asked and await self._is_silent()
        is_same = facts.get("pid") == self._pid
        self._pid = facts.get("pid")
        self._unanswered = self._unanswered + 1 if is_same and is_silent else 0
        self._note()

    async def _is_silent(self) -> bool:
        """Whether nothing comes back, not even a refusal, as from one that is about to end."""
        try:
            await control.call(self._socket, "ping", timeout_s=self._patience.answers_within_s)
        except control.TooLate:
            return True
        except errors.CalotypeError:
            return False
        return False

    def _note(self) -> None:
        is_answering = self._unanswered < self._patience.silent_after
        if is_answering != self.is_answering:
            self.is_answering = is_answering
            logger.warning("front door: %s", "not silent any more" if is_answering else "silent")
            self._changed()
        if self._unanswered >= self._patience.hangs_after and isinstance(self._pid, int):
            logger.warning("front door %d hangs and is ended", self._pid)
            self._unanswered = self._patience.silent_after  # until another one has its place
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, signal.SIGKILL)
