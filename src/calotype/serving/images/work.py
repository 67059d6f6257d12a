"""One request on its way through the service: a job, and the images in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from calotype.serving.exchange import Request

if TYPE_CHECKING:
    from calotype.serving.images.answers import Layout

Echo = Mapping[str, Any]
NO_ECHO: Final[Echo] = {}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image has no prediction, for the caller.

    Attributes:
        status: HTTP status, as if the image had come alone.
        message: what was expected, what came, what to do.
    """

    status: int
    message: str


@dataclass(slots=True)
class Item:
    """One image of a request, and what became of it.

    Attributes:
        image: the content of an image file; text for base64 or a data URI, not decoded yet.
        echo: what goes back with the prediction, such as the id that was sent.
        failure: why there is no prediction.
        probabilities: float32, shape (classes,).
        explanation: the heat map as a data URI, where it was asked for.
        decode_ms: how long it took to make the network's input of it.
        infer_ms: how long the run of the network took that it was part of, divided by the images
            of the same request in it.
    """

    image: bytes | str = b""
    echo: Echo = field(default_factory=lambda: NO_ECHO)
    failure: Failure | None = None
    probabilities: NDArray[np.float32] | None = None
    explanation: str | None = None
    decode_ms: float = 0.0
    infer_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the query string asks for.

    Attributes:
        top: how many classes to name, the most probable first; None for all, in index order.
        explain: add a heat map.
    """

    top: int | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in a body: the images, and the form in which the caller wants the answer."""

    items: Sequence[Item]
    layout: Layout


class Job:
    """A request that waits for its turn or is being scored.

    Args:
        request: what was sent.
        options: what its query string asks for.
        read: reads the body; called by a runner when the body is large, else before it is queued.
    """

    __slots__ = (
        "answer",
        "encode_ms",
        "error",
        "future",
        "is_over",
        "left",
        "options",
        "queued_s",
        "read",
        "read_ms",
        "reading",
        "request",
        "started_s",
        "taken",
        "todo",
    )

    def __init__(self, request: Request, options: Options, read: Callable[[], Reading]) -> None:
        self.request = request
        self.options = options
        self.read: Callable[[], Reading] | None = read
        self.reading: Reading | None = None
        self.todo: Sequence[Item] = ()
        self.taken = 0
        """How many of `todo` runners have taken."""
        self.left = 0
        """How many of `todo` are not done."""
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.answer = b""
        self.error: Exception | None = None
        self.is_over = False
        """Nobody waits for the rest: it was answered, refused or abandoned."""
        self.queued_s = 0.0
        self.started_s = 0.0
        self.read_ms = 0.0
        self.encode_ms = 0.0

    def read_body(self) -> None:
        """Find the images in the body.

        Raises:
            Refusal: the body cannot be understood.
        """
        assert self.read is not None
        started_s = time.perf_counter()
        self.reading = self.read()
        self.read = None
        self.todo = [item for item in self.reading.items if item.failure is None]
        self.left = len(self.todo)
        self.read_ms = (time.perf_counter() - started_s) * 1e3

    @property
    def waiting_items(self) -> int:
        """How many turns it still needs; a body that was not read counts as one."""
        return 1 if self.read is not None else len(self.todo) - self.taken

    @property
    def must_be_alone(self) -> bool:
        """Whether its turn is not to be shared: a body to read, an image to explain."""
        return self.read is not None or self.options.explain

    def write_timings(self) -> None:
        """Tell the request how many milliseconds its stages took, those of all its images added."""
        timings = self.request.timings
        items = self.reading.items if self.reading else ()
        timings["decode"] = self.read_ms + sum(item.decode_ms for item in items)
        timings["queue"] = max(0.0, self.started_s - self.queued_s) * 1e3
        timings["infer"] = sum(item.infer_ms for item in items)
        timings["encode"] = self.encode_ms
