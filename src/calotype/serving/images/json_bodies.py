"""JSON requests: `{"data": …}`, the designer's `Inputs`, a bare list of rows, one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from calotype.serving import refusals
from calotype.serving.images.answers import LISTED, SINGLE, Designer
from calotype.serving.images.json_limits import check_json
from calotype.serving.images.work import NO_ECHO, Echo, Failure, Item, Reading
from calotype.serving.json_body import parsed_strictly
from calotype.serving.settings import ServiceSettings

_EXPECTED: Final = (
    'Expected {"data": ["<base64>", …]}, {"data": [{"image": "<base64>", "id": …}, …]} or '
    '{"Inputs": {"WebServiceInput0": [{"image": "<base64>"}, …]}, "GlobalParameters": {}}.'
)
_NO_IMAGE: Final = Failure(
    422, 'Expected base64 text, or an object {"image": "<base64>", "id": …} with such text.'
)


def read_json(body: bytes, settings: ServiceSettings) -> Reading:
    """Return the images of a JSON body; they stay in base64, which the runners decode.

    Raises:
        Refusal: 400, it is no JSON of a known form; 413, it is too much.
    """
    check_json(body, settings)
    content = parsed_strictly(body)
    if isinstance(content, list):
        return Reading(_items(content, settings), LISTED)
    if isinstance(content, dict):
        given = cast(dict[str, Any], content)
        if "data" in given:
            return _of_data(given["data"], settings)
        if "Inputs" in given:
            return _of_designer(given["Inputs"], settings)
        if "image" in given:
            return Reading([_item(given, ("id",))], SINGLE)
    raise refusals.bad_request(f"{_EXPECTED} Got {_kind(content)}.")


def _of_data(data: Any, settings: ServiceSettings) -> Reading:
    if isinstance(data, list):
        return Reading(_items(cast(list[Any], data), settings), LISTED)
    if isinstance(data, str | dict):
        return Reading([_item(data, ("id",))], SINGLE)
    raise refusals.bad_request(f"{_EXPECTED} Got {_kind(data)} as 'data'.")


def _of_designer(inputs: Any, settings: ServiceSettings) -> Reading:
    if not isinstance(inputs, dict) or len(cast(dict[str, Any], inputs)) != 1:
        raise refusals.bad_request(f"{_EXPECTED} Got 'Inputs' that is no object with one list.")
    ((name, rows),) = cast(dict[str, Any], inputs).items()
    if not isinstance(rows, list):
        raise refusals.bad_request(f"{_EXPECTED} Got {_kind(rows)} instead of the list of rows.")
    items = _items(cast(list[Any], rows), settings, columns=("category", "id"))
    return Reading(items, Designer(_output_name(name)))


def _output_name(input_name: str) -> str:
    """Return what the designer calls the output beside such an input, as far as names tell."""
    for inner, outer in (("Input", "Output"), ("input", "output")):
        if inner in input_name:
            return input_name.replace(inner, outer)
    return "WebServiceOutput0"


def _items(
    rows: Sequence[Any], settings: ServiceSettings, *, columns: tuple[str, ...] = ("id",)
) -> list[Item]:
    if len(rows) > settings.max_items:
        raise too_many(len(rows), settings)
    return [_item(row, columns) for row in rows]


def too_many(count: int, settings: ServiceSettings) -> refusals.Refusal:
    """Return the refusal of a request with too many images."""
    return refusals.Refusal(
        413, f"Expected at most {settings.max_items:,} images (max_items). Got {count:,}."
    )


def _item(row: Any, columns: tuple[str, ...]) -> Item:
    if isinstance(row, str):
        return Item(image=row)
    if not isinstance(row, dict):
        return Item(failure=_NO_IMAGE)
    fields = cast(dict[str, Any], row)
    image = fields.get("image")
    echo = _echo(fields, columns)
    if not isinstance(image, str):
        return Item(echo=echo, failure=_NO_IMAGE)
    return Item(image=image, echo=echo)


def _echo(fields: Mapping[str, Any], columns: tuple[str, ...]) -> Echo:
    """Return what goes back as it came; only plain values, so that it cannot grow on the way."""
    echo = {
        name: None if fields[name] == {"isNan": True} else fields[name]  # a missing number there
        for name in columns
        if name in fields
    }
    kept = {name: value for name, value in echo.items() if not isinstance(value, list | dict)}
    return kept or NO_ECHO


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object with other keys"
    if isinstance(value, list):
        return "a list"
    return "text" if isinstance(value, str) else "a number, true, false or null"
