"""The contract that an entry script declares with the decorators of `inference_schema`.

Runs inside the worker process, where the script was imported.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from calotype.serving.openapi.contract import Schema, ServiceContract
from calotype.serving.openapi.schemas import plain, widened

_ATTRIBUTE = "service_contract"
_FILLED_BY_THE_SERVER = "request_headers"

Run = TypeVar("Run", bound=Callable[..., Any])


def described_by(contract: Callable[[], ServiceContract]) -> Callable[[Run], Run]:
    """Decorate a `run` of ours with the function that knows its contract once `init` is done."""

    def decorate(run: Run) -> Run:
        setattr(run, _ATTRIBUTE, contract)
        return run

    return decorate


def contract_of(run: Callable[..., Any]) -> dict[str, Any] | None:
    """Return what `run` takes and gives as plain JSON for `ServiceContract.from_dict`.

    To be called after `init`. None means that nothing is declared: the generic contract holds.
    """
    ours = getattr(run, _ATTRIBUTE, None)
    if ours is not None:
        return ours().to_dict()
    # A script that decorates has imported it; for all others its import would cost the start-up.
    if "inference_schema" not in sys.modules:
        return None
    from inference_schema import schema_util

    if not schema_util.is_schema_decorated(run):
        return None
    contract = ServiceContract(
        input=_input(plain(schema_util.get_input_schema(run)), run),
        output=_described(plain(schema_util.get_output_schema(run))),
        versions=tuple(one.removesuffix(".0") for one in schema_util.get_supported_versions(run)),
        is_described=True,
    )
    return contract.to_dict()


def _input(schema: Schema, run: Callable[..., Any]) -> Schema:
    """Return the schema of the body, without what the server fills, with what must come marked."""
    properties: dict[str, Schema] = dict(schema.get("properties", {}))
    properties.pop(_FILLED_BY_THE_SERVER, None)
    parameters = inspect.signature(run).parameters
    required = [
        name
        for name in properties
        if name in parameters and parameters[name].default is inspect.Parameter.empty
    ]
    # The decorators make up an empty text for parameters that were not described.
    example = {
        name: part
        for name, part in schema.get("example", {}).items()
        if name in required or properties.get(name)
    }
    described: Schema = {"type": "object", "properties": properties}
    if required:
        described["required"] = required
    return _described({**described, "example": example})


def _described(schema: Schema) -> Schema:
    schema = dict(schema)
    example = _repaired(schema, schema.pop("example", {}))
    return {**widened(schema, example), "example": example}


def _repaired(schema: Schema, example: Any) -> Any:
    """Return the example with booleans that the decorators wrote as text put right."""
    if isinstance(example, list):
        return [_repaired(schema.get("items", {}), part) for part in example]
    if isinstance(example, dict):
        inner = schema.get("properties", {})
        return {name: _repaired(inner.get(name, {}), part) for name, part in example.items()}
    if schema.get("type") == "boolean" and example in ("True", "False"):
        return example == "True"
    return example
