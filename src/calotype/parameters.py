"""Declared parameters: one table of names, types, ranges, defaults and help for every use of them.

The command line's options, the messages about wrong values and the lists of `calotype module show`
are all made from the fields of a `Parameters` class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypedDict

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from calotype import errors

_BOUNDS: dict[str, tuple[type[errors.ParameterError], str, str]] = {
    "greater_than": (errors.NotGreater, "greater than", "gt"),
    "greater_than_equal": (errors.NotGreaterOrEqual, "at least", "ge"),
    "less_than": (errors.NotLess, "less than", "lt"),
    "less_than_equal": (errors.NotLessOrEqual, "at most", "le"),
}


class Parameters(BaseModel):
    """The parameters of one module: a frozen value, checked as a whole when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, values: Mapping[str, Any], *, where: str = "") -> Self:
        """Check `values` and return them with the defaults filled in.

        Args:
            values: parameter name to value; text is converted where the type allows it.
            where: what the values belong to, for the message.

        Raises:
            ParameterError: a value has the wrong type or lies outside its range (0002 to 0008).
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as invalid:
            raise cls._error(invalid.errors()[0], where) from None

    @classmethod
    def _error(cls, detail: ErrorDetails, where: str) -> errors.ParameterError:
        # Where several types are possible, the type that was tried last follows the name.
        name = str(detail["loc"][0]) if detail["loc"] else cls.__name__
        where = f"{where}: parameter '{name}'" if where else f"parameter '{name}'"
        got = repr(detail["input"])
        if detail["type"] in _BOUNDS:
            return cls._range_error(detail, where, got)
        if detail["type"] == "missing":
            return errors.EmptyInput("expected a value", where=where, got="none")
        if detail["type"] == "extra_forbidden":
            hint = errors.suggest(name, cls.model_fields)
            return errors.UnparsableValue("expected a known parameter", where=where, action=hint)
        message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        return errors.UnparsableValue(f"expected {message}", where=where, got=got)

    @classmethod
    def _range_error(cls, detail: ErrorDetails, where: str, got: str) -> errors.ParameterError:
        field = describe(cls).get(str(detail["loc"][0]))
        if field is not None and (" to " in field["range"] or " and " in field["range"]):
            both = f"must be {field['range']}"
            if " to " in both:
                both = f"must lie between {field['minimum']} and {field['maximum']}"
            return errors.NotInRange(both, where=where, got=got)
        error, relation, key = _BOUNDS[detail["type"]]
        bound = detail.get("ctx", {}).get(key)
        return error(f"must be {relation} {bound}", where=where, got=got)


class ParameterDescription(TypedDict):
    """One parameter as forms, option lists and documentation show it."""

    type: str
    default: Any
    minimum: float | None
    maximum: float | None
    """Values that may be taken; excluded bounds are in `range` only."""
    range: str
    """The bounds in words; nothing for one without."""
    choices: list[str] | None
    help: str


def describe(parameters: type[Parameters]) -> dict[str, ParameterDescription]:
    """Return the description of each parameter, by name, in the order of declaration."""
    properties = parameters.model_json_schema()["properties"]
    return {name: _describe_one(schema) for name, schema in properties.items()}


def _describe_one(schema: Mapping[str, Any]) -> ParameterDescription:
    kinds = [kind for kind in schema.get("anyOf", (schema,)) if kind.get("type") != "null"]
    typed = kinds[0]  # the others are single words, such as "auto"
    return {
        "type": typed.get("type", "string"),
        "default": schema.get("default"),
        "minimum": typed.get("minimum"),
        "maximum": typed.get("maximum"),
        "range": " or ".join(filter(None, [_range(typed), *(kind.get("const") for kind in kinds)])),
        "choices": typed.get("enum"),
        "help": schema.get("description", ""),
    }


def _range(schema: Mapping[str, Any]) -> str:
    """Return the bounds of a number in words; nothing for one without bounds.

    >>> _range({"minimum": 0, "maximum": 180})
    '0 to 180'
    >>> _range({"exclusiveMinimum": 0})
    'greater than 0'
    """
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']:.12g} to {schema['maximum']:.12g}"
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "greater than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    bounds = (f"{words[bound]} {schema[bound]:.12g}" for bound in words if bound in schema)
    return " and ".join(bounds)
