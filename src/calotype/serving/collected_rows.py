"""Inputs and predictions as rows of a table: what data collection keeps of requests and answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from calotype.scored_dataset import SCORED_LABELS
from calotype.serving.capture import (
    BINARY_KINDS,
    HIDDEN,
    IMAGE_STARTS,
    PARSED_BYTES,
    TEXT_BYTES,
    image_in,
)
from calotype.serving.exchange import Answer, Request
from calotype.serving.multipart import parts_of
from calotype.serving.refusals import Refusal

PREDICTION_COLUMNS: Final = ("status", "label", "probability", "prediction")
MAX_COLUMNS: Final = 1000
_MAX_PARTS: Final = 1000
_WRAPPERS: Final = ("data", "Inputs", "inputs", "input_data", "instances")
_ANSWER_WRAPPERS: Final = ("result", "Results", "results", "predictions", "outputs")
_IMAGE_COLUMNS: Final = ("image", "bytes")
_SUFFIXES: Final = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"RIFF": ".webp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Image:
    """An image that came with a request; its row has the digest."""

    content: bytes
    digest: str

    @classmethod
    def of(cls, content: bytes) -> Image:
        """Return an image with its digest."""
        return cls(content, hashlib.sha256(content).hexdigest())

    @property
    def file_name(self) -> str:
        """Digest and the suffix of its format."""
        suffixes = (end for start, end in _SUFFIXES.items() if self.content.startswith(start))
        return self.digest + next(suffixes, ".bin")

    @property
    def row(self) -> Row:
        """What a table says about it."""
        return dict(zip(_IMAGE_COLUMNS, (self.file_name, len(self.content)), strict=True))


@dataclass(slots=True)
class Inputs:
    """The rows of a request, each with the columns that the request itself has."""

    rows: list[Row] = field(default_factory=list[Row])
    images: list[Image] = field(default_factory=list[Image])


class Tabulator:
    """Makes rows of requests and answers.

    Args:
        hidden_fields: names whose values are not kept, whatever their case.
    """

    def __init__(self, hidden_fields: Sequence[str] = ()) -> None:
        self._hidden = frozenset(name.casefold() for name in hidden_fields)

    def inputs(self, request: Request) -> Inputs:
        """Return what a request brought."""
        found = Inputs()
        body = request.body
        content_type = (request.header(b"content-type") or b"").strip().lower()
        if content_type.startswith(b"multipart/form-data"):
            self._form(request, found)
        elif body.startswith(IMAGE_STARTS) or content_type.startswith(BINARY_KINDS):
            _add_image(found, body)
        else:
            value = _parsed(body)
            if value is None:
                found.rows.append({"body": self._unparsed(body)})
            else:
                found.rows += [self._row(row, found) for row in _rows(value)]
        return found

    def predictions(self, answer: Answer) -> list[Row]:
        """Return what was answered, a row for each item of a list."""
        value = _parsed(answer.body) if answer.status == 200 else None
        if value is None:
            return [{"status": answer.status}]
        items = _items(value)
        return [{"status": answer.status, **self._prediction(item)} for item in items]

    def _form(self, request: Request, found: Inputs) -> None:
        content_type = request.header(b"content-type") or b""
        try:
            parts = parts_of(request.body, content_type, max_parts=_MAX_PARTS)
        except Refusal:
            return
        for part in parts:
            if b"filename" in part.disposition:
                _add_image(found, bytes(part.data))

    def _row(self, row: object, found: Inputs) -> Row:
        if not isinstance(row, dict):
            row = {"body": row}
        named = cast(dict[str, object], row)
        if len(named) > MAX_COLUMNS:
            named = {"body": named}
        return {str(name): self._value(str(name), value, found) for name, value in named.items()}

    def _value(self, name: str, value: object, found: Inputs) -> Any:
        """Return a cell: plain values as they are, nested ones as JSON, images as digests."""
        if name.casefold() in self._hidden:
            return HIDDEN
        if isinstance(value, str):
            content = image_in(value)
            if content is not None:
                image = Image.of(content)
                found.images.append(image)
                return image.file_name
            return value[:TEXT_BYTES]
        if isinstance(value, dict | list):
            cleaned = self._nested(cast(object, value), found)
            return orjson.dumps(cleaned).decode()[:TEXT_BYTES]
        return value

    def _nested(self, value: object, found: Inputs) -> Any:
        if isinstance(value, list):
            return [self._nested(item, found) for item in cast(list[object], value)]
        if isinstance(value, dict):
            return {
                name: HIDDEN if name.casefold() in self._hidden else self._nested(item, found)
                for name, item in cast(dict[str, object], value).items()
            }
        return self._value("", value, found)

    def _unparsed(self, body: bytes) -> str:
        if self._hidden or len(body) > TEXT_BYTES or b"\0" in body:
            return f"sha256:{hashlib.sha256(body).hexdigest()}, {len(body)} bytes"
        return body.decode("utf-8", "replace")

    def _prediction(self, item: object) -> Row:
        """Return label and probability where they can be told; else the item as JSON."""
        nothing = Inputs()
        if isinstance(item, dict) and SCORED_LABELS in item:
            named = cast(dict[str, Any], item)
            label = named[SCORED_LABELS]
            probabilities = named.get("Scored Probabilities")
            said = probabilities.get(label) if isinstance(probabilities, dict) else None
            return {"label": label, "probability": cast(Any, said)}
        if isinstance(item, str | bool | int):
            value = self._value("", item, nothing)
            return {"label": value, "prediction": value}
        if isinstance(item, dict):
            row = self._row(cast(object, item), nothing)
            label = next(
                (row[name] for name in ("label", "class", "category") if name in row), None
            )
            text = self._value("", item, nothing)
            return {"label": label, "probability": row.get("probability"), "prediction": text}
        return {"prediction": self._value("", item, nothing)}


def _add_image(found: Inputs, content: bytes) -> None:
    image = Image.of(content)
    found.images.append(image)
    found.rows.append(image.row)


def _parsed(body: bytes) -> object:
    """Return a JSON value; None for null, for what is no JSON, and for what is too long."""
    if len(body) > PARSED_BYTES:
        return None
    try:
        value: object = orjson.loads(body)
        # Scripts that return json.dumps(...) are answered as text within JSON.
        if isinstance(value, str) and value[:1] in ("[", "{"):
            return orjson.loads(value)
    except (orjson.JSONDecodeError, RecursionError):
        return None
    return value


def _rows(value: object) -> Iterator[object]:
    """Yield the rows of a request's own shape: a list of records or of lists, columns, or names."""
    if isinstance(value, dict):
        named = cast(dict[str, object], value)
        wrapped = [name for name in _WRAPPERS if isinstance(named.get(name), list | dict)]
        if isinstance(named.get("columns"), list) and isinstance(named.get("data"), list):
            columns = [str(name) for name in cast(list[object], named["columns"])]
            for row in cast(list[object], named["data"]):
                cells = cast(list[object], row) if isinstance(row, list) else [row]
                yield dict(zip(columns, cells, strict=False))
        elif wrapped:
            yield from _rows(_first(named[wrapped[0]]))
        else:
            yield named
    elif isinstance(value, list):
        rows = cast(list[object], value)
        if rows and not any(isinstance(row, dict | list) for row in rows) and _is_image(rows[0]):
            yield from ({"image": row} for row in rows)
            return
        are_records = all(isinstance(row, dict | list) for row in rows)
        for row in rows if are_records else [rows]:
            if isinstance(row, list):
                yield {f"c{index}": cell for index, cell in enumerate(cast(list[object], row))}
            else:
                yield row
    else:
        yield value


def _first(value: object) -> object:
    """Return the first of the designer's named inputs, which is a list of records."""
    if isinstance(value, dict):
        inside = list(cast(dict[str, object], value).values())
        if inside and isinstance(inside[0], list):
            return inside[0]
    return value


def _is_image(value: object) -> bool:
    return isinstance(value, str) and image_in(value) is not None


def _items(value: object) -> list[object]:
    if isinstance(value, dict):
        named = cast(dict[str, object], value)
        for name in _ANSWER_WRAPPERS:
            inside = _first(named.get(name))
            if isinstance(inside, list):
                return cast(list[object], inside)
    return cast(list[object], value) if isinstance(value, list) else [value]
