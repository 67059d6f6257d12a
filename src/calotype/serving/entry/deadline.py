"""The time limit of `run`: an alarm that interrupts it in the main thread."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from calotype.serving.entry.printing import LogLines

_AGAIN_S = 1.0  # an exception is lost when it meets a destructor: then the next one counts
_AFTER_WRITING_S = 0.01


class Expired(BaseException):
    """The time is up. No `Exception`: scripts catch those in order to go on."""


class Deadline:
    """Runs calls with a time limit, one at a time, in the main thread.

    An alarm reaches Python code and system calls that wait. Native code that computes without
    return is not interrupted; the pool ends such a process.

    Attributes:
        has_expired: whether the last call took too long, even if it swallowed the interruption.
    """

    def __init__(self, lines: LogLines) -> None:
        self.has_expired = False
        self._is_armed = False
        self._lines = lines

    def install(self) -> None:
        """Take the alarm signal."""
        signal.signal(signal.SIGALRM, self._expire)

    def call(self, function: Callable[..., Any], arguments: dict[str, Any], limit_s: float) -> Any:
        """Return what `function` returns.

        Raises:
            Expired: it took longer than `limit_s`.
        """
        self.has_expired = False
        # Two blocks, since the alarm may come between the end of the call and the disarming; what
        # comes after the disarming does nothing, so that no later request is interrupted.
        try:
            try:
                self._is_armed = True
                signal.setitimer(signal.ITIMER_REAL, limit_s, _AGAIN_S)
                return function(**arguments)
            finally:
                self._is_armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Expired:
            self._is_armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise

    def _expire(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_armed:
            return
        self.has_expired = True
        if self._lines.is_writing:  # or the log would get half a line
            signal.setitimer(signal.ITIMER_REAL, _AFTER_WRITING_S, _AGAIN_S)
            return
        raise Expired
