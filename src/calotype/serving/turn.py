"""What a connection knows of one request and its answer, whatever carries them."""

from __future__ import annotations

from abc import abstractmethod

from calotype.serving.exchange import Headers


class Turn:
    """One request and its answer.

    Attributes:
        headers: of the request.
        disconnected: whether the caller has gone, or has been answered in another way.
        is_written: whether any of the answer is on its way.
        is_answered: whether all of it is.
        keep_alive: whether the connection outlives the answer.
        more_body: whether the rest of the body is still to come.
        waits_for_continue: whether the caller sends the body only when asked to.
    """

    __slots__ = (
        "disconnected",
        "headers",
        "is_answered",
        "is_written",
        "keep_alive",
        "more_body",
        "waits_for_continue",
    )

    def __init__(self, headers: Headers, *, keep_alive: bool, waits_for_continue: bool) -> None:
        self.headers = headers
        self.keep_alive = keep_alive
        self.waits_for_continue = waits_for_continue
        self.disconnected = False
        self.is_written = False
        self.is_answered = False
        self.more_body = True

    @abstractmethod
    def add_body(self, chunk: bytes) -> None:
        """Take a part of the body."""

    @abstractmethod
    def wake(self) -> None:
        """Look again: the body is whole, or the connection has ended."""

    @abstractmethod
    def abandon(self) -> None:
        """Work no more: nobody waits for the answer."""
