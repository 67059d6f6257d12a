"""The documentation of a module, made from its declarations: for lists, forms and pages."""

from __future__ import annotations

from typing import Any, TypedDict

from calotype.modules.module import AnyModule, Port
from calotype.parameters import Parameters, describe


class PortDocumentation(TypedDict):
    """One input or output."""

    key: str
    name: str
    types: list[str]
    is_required: bool
    help: str


class ParameterDocumentation(TypedDict):
    """One parameter; `default` says nothing when `is_required`."""

    key: str
    name: str
    type: str
    is_required: bool
    default: Any
    choices: list[str] | None
    range: str
    help: str


class ModuleDocumentation(TypedDict):
    """All there is to know before using a module."""

    key: str
    name: str
    category: str
    summary: str
    inputs: list[PortDocumentation]
    outputs: list[PortDocumentation]
    parameters: list[ParameterDocumentation]


def document(module: AnyModule) -> ModuleDocumentation:
    """Return the documentation of a module; it can be written as JSON."""
    return {
        "key": module.key,
        "name": module.name,
        "category": module.category,
        "summary": module.summary,
        "inputs": [_document_port(port) for port in module.inputs],
        "outputs": [_document_port(port) for port in module.outputs],
        "parameters": _document_parameters(module.Parameters),
    }


def _document_port(port: Port) -> PortDocumentation:
    return {
        "key": port.key,
        "name": port.name,
        "types": [str(kind) for kind in port.types],
        "is_required": port.is_required,
        "help": port.help,
    }


def _document_parameters(parameters: type[Parameters]) -> list[ParameterDocumentation]:
    return [
        {
            "key": key,
            "name": parameters.model_fields[key].title or key.replace("_", " ").capitalize(),
            "type": description["type"],
            "is_required": parameters.model_fields[key].is_required(),
            "default": description["default"],
            "choices": description["choices"],
            "range": description["range"],
            "help": description["help"],
        }
        for key, description in describe(parameters).items()
    ]
