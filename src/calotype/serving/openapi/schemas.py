"""Schemas of values: does a value fit, what fits it, and the same in the dialects of OpenAPI 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from calotype.serving.openapi.contract import Schema

_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
_NAMES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}

_UNKNOWN: Schema = {"type": "object"}  # what the decorators write for a missing value
_SCALARS: dict[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number", "format": "double"},
    str: {"type": "string"},
}


def type_name(value: object) -> str:
    """Return the JSON name of a value's type."""
    return _NAMES.get(type(value), type(value).__name__)


def mismatch(
    value: object, schema: Schema, definitions: Mapping[str, Schema], where: str = "$"
) -> str:
    """Return where and how a JSON value departs from a schema; empty when it fits.

    Looks at what our documents use: `$ref`, types, `required`, `properties`, `items`,
    `additionalProperties` and `anyOf`/`oneOf`, in all three dialects.
    """
    if "$ref" in schema:
        schema = definitions.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        reasons = [mismatch(value, choice, definitions, where) for choice in choices]
        return "" if "" in reasons else reasons[0]
    if not _has_type(value, schema):
        return f"{where}: expected {_expected(schema)}, got {type_name(value)}"
    if isinstance(value, dict):
        return _object_mismatch(value, schema, definitions, where)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            reason = mismatch(item, schema["items"], definitions, f"{where}[{index}]")
            if reason:
                return reason
    return ""


def _object_mismatch(
    value: dict[str, Any], schema: Schema, definitions: Mapping[str, Schema], where: str
) -> str:
    for name in schema.get("required", ()):
        if name not in value:
            return f"{where}: expected the property '{name}', got none of that name"
    further = schema.get("additionalProperties")
    for name, part in value.items():
        inner = schema.get("properties", {}).get(name, further)
        if isinstance(inner, dict):
            reason = mismatch(part, inner, definitions, f"{where}.{name}")
            if reason:
                return reason
    return ""


def _has_type(value: object, schema: Schema) -> bool:
    if value is None and (schema.get("x-nullable") or schema.get("nullable")):
        return True
    wanted = schema.get("type")
    if wanted is None:
        return True
    names: list[str] = wanted if isinstance(wanted, list) else [wanted]
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, _TYPES.get(name, ())) for name in names)


def _expected(schema: Schema) -> str:
    wanted = schema.get("type")
    return " or ".join(wanted) if isinstance(wanted, list) else str(wanted)


def widened(schema: Schema, example: object) -> Schema:
    """Return the schema with as much taken back as the example needs to fit it.

    Schemas made from samples describe the last item of a list and take missing values for
    objects; a client that is generated from them would refuse the service's own example.
    """
    if example is None:
        return {"x-nullable": True} if schema.get("type") == "object" else _nullable(schema)
    if not _has_type(example, schema):
        return dict(_SCALARS.get(type(example), {})) if schema == _UNKNOWN else {}
    if isinstance(example, list) and "items" in schema:
        items: Schema = schema["items"]
        for item in example:
            items = widened(items, item)
        return {**schema, "items": items}
    if isinstance(example, dict) and "properties" in schema:
        inner = {
            name: widened(part, example[name]) if name in example else part
            for name, part in schema["properties"].items()
        }
        required = [name for name in schema.get("required", ()) if name in example]
        return _with_required({**schema, "properties": inner}, required)
    return dict(schema)


def _nullable(schema: Schema) -> Schema:
    return {**schema, "x-nullable": True} if schema else {}


def _with_required(schema: Schema, required: list[str]) -> Schema:
    schema.pop("required", None)
    return {**schema, "required": required} if required else schema


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it everywhere: no NaN, no lone surrogates, text as keys."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if value is None or isinstance(value, bool | int):
        # Beyond 64 bits most readers of JSON, and our own writer, give up.
        return value if value is None or -(1 << 63) <= value < 1 << 64 else float(value)
    return plain(value.item()) if hasattr(value, "item") else plain(str(value))


def in_openapi_3_0(schema: Schema) -> Schema:
    """Return a schema of Swagger 2.0 in the dialect of OpenAPI 3.0."""
    schema = _each(schema, in_openapi_3_0)
    if schema.pop("x-nullable", False) and "type" in schema:  # without a type all is allowed
        schema["nullable"] = True
    return schema


def in_openapi_3_1(schema: Schema) -> Schema:
    """Return a schema of Swagger 2.0 in the dialect of OpenAPI 3.1, which is JSON Schema."""
    schema = _each(schema, in_openapi_3_1)
    if schema.pop("x-nullable", False) and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    if "example" in schema:
        schema["examples"] = [schema.pop("example")]
    return schema


def _each(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    changed = dict(schema)
    if "properties" in schema:
        changed["properties"] = {name: change(part) for name, part in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            changed[key] = change(schema[key])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            changed[key] = [change(part) for part in schema[key]]
    return changed
