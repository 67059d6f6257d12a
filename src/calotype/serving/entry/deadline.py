"""The time limit of `run`: an alarm that interrupts it in the main thread."""

from __future__ import annotations

import math
import signal
import time
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
        self._lines = lines
        self._ends_s = math.inf  # when the time of the current call is up; inf: there is none
        self._rings_s = math.inf  # when the alarm rings; inf: it is not set

    def install(self) -> None:
        """Take the alarm signal."""
        signal.signal(signal.SIGALRM, self._ring)

    def uninstall(self) -> None:
        """Stop the alarm: it would end a process that does not handle it any more."""
        self._rings_s = math.inf
        signal.setitimer(signal.ITIMER_REAL, 0)

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
                now_s = time.monotonic()
                self._ends_s = now_s + limit_s
                # One that should have rung by now was stopped by the script for one of its own.
                if not now_s <= self._rings_s <= self._ends_s:
                    self._set(limit_s)
                return function(**arguments)
            finally:
                self._ends_s = math.inf
        except Expired:
            self._ends_s = math.inf
            raise
        finally:
            if self.has_expired:
                self._rings_s = math.inf  # the next call sets the alarm to its own time

    def _set(self, delay_s: float) -> None:
        self._rings_s = time.monotonic() + delay_s
        signal.setitimer(signal.ITIMER_REAL, delay_s, _AGAIN_S)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        """Interrupt the call whose time is up, or come again when that of the current one is.

        The alarm stays set from one call to the next, so that a call costs no system call: it
        rings once in the length of a limit, mostly for nobody.
        """
        left_s = self._ends_s - time.monotonic()
        if left_s == math.inf:  # nothing is running: the next call sets the alarm
            self._rings_s = math.inf
            signal.setitimer(signal.ITIMER_REAL, 0)
        elif left_s > 0:
            self._set(left_s)
        elif self._lines.is_writing:  # or the log would get half a line
            self._set(_AFTER_WRITING_S)
        else:
            self._rings_s = 0.0  # it goes on ringing once a second until the call has ended
            self.has_expired = True
            raise Expired
