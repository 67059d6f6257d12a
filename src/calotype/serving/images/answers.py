"""Predictions as JSON: for one image, for a list, and for the rows of the retired designer.

Probabilities are written with the fewest digits that give the same float32 back, so that a caller
can compare them bit by bit with those of a scored dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from calotype.scored_dataset import PROBABILITY_PREFIX, SCORED_LABELS
from calotype.serving.images.work import Echo, Failure, Item, Options
from calotype.serving.refusals import Refusal

SCORED_PROBABILITIES = "Scored Probabilities"
EXPLANATION = "Explanation"

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Layout(Protocol):
    """The form of an answer; which one is decided by the form of the request."""

    def encode(self, encoder: Encoder, items: Sequence[Item], options: Options) -> bytes:
        """Return the body.

        Raises:
            Refusal: the one image of the request has no prediction.
        """
        ...


class Single:
    """One image came by itself: its prediction, or its failure as that of the request."""

    def encode(self, encoder: Encoder, items: Sequence[Item], options: Options) -> bytes:
        (item,) = items
        if item.failure is not None:
            raise Refusal(item.failure.status, item.failure.message)
        return encoder.prediction(item, options)


class Listed:
    """One prediction or failure for each image, in order."""

    def encode(self, encoder: Encoder, items: Sequence[Item], options: Options) -> bytes:
        return b"[" + b",".join(encoder.outcome(item, options) for item in items) + b"]"


class Designer:
    """The retired designer's `Results`, whose rows have a column for each probability."""

    def __init__(self, output_name: str) -> None:
        self._output_name = output_name

    def encode(self, encoder: Encoder, items: Sequence[Item], options: Options) -> bytes:
        rows = b",".join(encoder.outcome(item, options, with_columns=True) for item in items)
        return b'{"Results":{%b:[%b]}}' % (orjson.dumps(self._output_name), rows)


SINGLE = Single()
LISTED = Listed()


class Encoder:
    """Writes predictions of one model; its class names are encoded once.

    Args:
        classes: class names in index order.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._labels = [orjson.dumps(name) for name in classes]
        self._keys = [label + b":" for label in self._labels]
        self._columns = [orjson.dumps(PROBABILITY_PREFIX + name) + b":" for name in classes]
        self._all_keys = _with_gaps(self._keys)
        self._all_columns = _with_gaps(self._columns)

    def outcome(self, item: Item, options: Options, *, with_columns: bool = False) -> bytes:
        """Return an image's prediction, or the error in its place."""
        if item.failure is not None:
            return _error(item.failure, item.echo)
        return self.prediction(item, options, with_columns=with_columns)

    def prediction(self, item: Item, options: Options, *, with_columns: bool = False) -> bytes:
        """Return a prediction.

        Args:
            item: an image with probabilities.
            options: how many of them.
            with_columns: add a column for each, as the retired designer named them.
        """
        row = item.probabilities
        assert row is not None
        chosen = None if options.top is None else _largest(row, options.top)
        numbers = _numbers(row if chosen is None else row[chosen])
        parts = [b'{"%b":%b,' % (SCORED_LABELS.encode(), self._labels[int(row.argmax())])]
        if with_columns:
            parts += [self._pairs(self._columns, self._all_columns, chosen, numbers), b","]
        probabilities = self._pairs(self._keys, self._all_keys, chosen, numbers)
        parts.append(b'"%b":{%b}' % (SCORED_PROBABILITIES.encode(), probabilities))
        if item.explanation is not None:
            # A data URI needs no escapes.
            parts.append(b',"%b":"%b"' % (EXPLANATION.encode(), item.explanation.encode()))
        parts.append(_tail(item.echo))
        return b"".join(parts)

    def _pairs(
        self,
        keys: Sequence[bytes],
        all_keys: list[bytes],
        chosen: NDArray[np.intp] | None,
        numbers: list[bytes],
    ) -> bytes:
        if chosen is not None:
            pairs = zip(chosen.tolist(), numbers, strict=True)
            return b",".join(keys[index] + number for index, number in pairs)
        parts = all_keys.copy()
        parts[1::2] = numbers
        return b"".join(parts)


def _with_gaps(keys: Sequence[bytes]) -> list[bytes]:
    """Return the keys with their commas, and a free place after each."""
    parts = [b""] * (2 * len(keys))
    parts[0::2] = [(b"," if index else b"") + key for index, key in enumerate(keys)]
    return parts


def _numbers(row: NDArray[np.float32]) -> list[bytes]:
    return orjson.dumps(row, option=_NUMPY)[1:-1].split(b",")


def _largest(row: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the indices of the `count` largest, descending; the lower index first among equals."""
    return np.argsort(-row, kind="stable")[:count]


def _tail(echo: Echo) -> bytes:
    return b"," + orjson.dumps(echo)[1:] if echo else b"}"


def _error(failure: Failure, echo: Echo) -> bytes:
    # 415 speaks of the type of a whole request.
    status = 422 if failure.status == 415 else failure.status
    error = {"status_code": status, "message": failure.message}
    return orjson.dumps({"error": error, **echo})
