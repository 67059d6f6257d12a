"""The contract of an ONNX file: what its inputs and outputs look like in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calotype.serving.no_code.tensors import TensorInput
from calotype.serving.openapi.contract import BodyForm, Schema, ServiceContract

_ITEMS: dict[str, Schema] = {
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "float16": {"type": "number", "format": "float", "x-nullable": True},
    "float": {"type": "number", "format": "float", "x-nullable": True},
    "double": {"type": "number", "format": "double", "x-nullable": True},
}
_WHOLE: Schema = {"type": "integer", "format": "int64"}


def onnx_contract(inputs: Sequence[TensorInput], outputs: Sequence[Any]) -> ServiceContract:
    """Return the contract of a file.

    Args:
        inputs: what goes in.
        outputs: as ONNX Runtime describes them: `name`, `type`, `shape`.
    """
    return ServiceContract(
        input=_input(inputs),
        output=_output(outputs),
        is_described=True,
        description="The inputs and outputs are those of the ONNX file.",
        forms=() if len(inputs) == 1 else (_bare_form(inputs),),
    )


def _input(inputs: Sequence[TensorInput]) -> Schema:
    if len(inputs) == 1:
        return _object({"data": inputs[0].schema}, {"data": inputs[0].example()})
    named = _by_name(inputs)
    example = named.pop("example")
    return _object({"data": named}, {"data": example})


def _bare_form(inputs: Sequence[TensorInput]) -> BodyForm:
    return BodyForm(
        name="NamedInputs",
        content_type="application/json",
        schema=_by_name(inputs),
        description="the inputs by name may stand at the top, without 'data'.",
    )


def _by_name(inputs: Sequence[TensorInput]) -> Schema:
    return _object(
        {one.name: one.schema for one in inputs}, {one.name: one.example() for one in inputs}
    )


def _object(properties: dict[str, Schema], example: Any) -> Schema:
    names = [*properties]
    return {"type": "object", "properties": properties, "required": names, "example": example}


def _output(outputs: Sequence[Any]) -> Schema:
    schemas = {one.name: _of_output(one.type, one.shape) for one in outputs}
    if len(schemas) == 1:
        return next(iter(schemas.values()))
    return {"type": "object", "properties": schemas, "required": [*schemas]}


def _of_output(onnx_type: str, shape: Sequence[object] | None) -> Schema:
    """Return the schema of one output; of types that nest, as far as they are certain."""
    if onnx_type.startswith("seq(map("):
        values = _item(onnx_type.rstrip(")").rsplit("(", 1)[-1])
        return {"type": "array", "items": {"type": "object", "additionalProperties": values}}
    if onnx_type.startswith("seq("):
        return {"type": "array", "items": {}}
    if not onnx_type.startswith("tensor(") or not shape:
        return {}
    schema = _item(onnx_type.removeprefix("tensor(").rstrip(")"))
    for _ in shape:
        schema = {"type": "array", "items": schema}
    return schema


def _item(name: str) -> Schema:
    return dict(_ITEMS.get(name, _WHOLE))
