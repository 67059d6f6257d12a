"""Several that keep requests and answers at once: capture and collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from calotype.serving.exchange import Answer, Request


class Keeper(Protocol):
    """What keeps requests and answers, and is closed at the end."""

    @property
    def dropped(self) -> int:
        """How many exchanges could not be kept."""
        ...

    def keep(self, request: Request, answer: Answer) -> None:
        """Keep one exchange; never waits."""
        ...

    def close(self) -> None:
        """Write what is waiting and stop."""
        ...


class Several:
    """Several that keep the same exchanges."""

    def __init__(self, keepers: Sequence[Keeper]) -> None:
        self._keepers = keepers

    @property
    def dropped(self) -> int:
        """How many exchanges could not be kept."""
        return sum(keeper.dropped for keeper in self._keepers)

    def keep(self, request: Request, answer: Answer) -> None:
        """Give one exchange to each."""
        for keeper in self._keepers:
            keeper.keep(request, answer)

    def close(self) -> None:
        """End each."""
        for keeper in self._keepers:
            keeper.close()
