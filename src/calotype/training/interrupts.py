"""Ctrl-C as a wish to stop soon, so that what was learnt is not lost."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from calotype.progress import Progress


class Interrupts:
    """Remembers the first Ctrl-C; the second one interrupts as usual.

    Args:
        progress: is told what will happen.
    """

    def __init__(self, progress: Progress) -> None:
        self.came = False
        self._progress = progress
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        # Only the main thread is told of signals; elsewhere somebody else looks after them.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True
        self._progress.say("stopping after this batch; Ctrl-C again stops at once")
