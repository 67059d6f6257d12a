"""How long work tells what it is doing, whoever listens: a terminal, a log, nobody."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to one piece of long work at a time."""

    def begin(self, task: str, *, total: int | None, unit: str) -> None:
        """`task` starts and will take `total` units (None: nobody knows)."""
        ...

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """`count` more units are done; `note` is a short fact worth showing, such as a loss."""
        ...

    def end(self) -> None:
        """The task is over, done or not."""
        ...

    def say(self, message: str) -> None:
        """Tell the user one sentence: a warning, or a result on the way."""
        ...


class Silence:
    """A listener that keeps nothing."""

    def begin(self, task: str, *, total: int | None, unit: str) -> None: ...
    def advance(self, count: int = 1, *, note: str = "") -> None: ...
    def end(self) -> None: ...
    def say(self, message: str) -> None: ...


SILENCE = Silence()
