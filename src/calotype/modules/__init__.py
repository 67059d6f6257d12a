"""The designer's modules: the functions of Calotype with typed ports and declared parameters."""

from calotype.modules.connection import check_connection, check_inputs, type_of
from calotype.modules.documentation import document
from calotype.modules.execution import execute
from calotype.modules.module import AnyModule, Context, Module, NoParameters, Port, PortType
from calotype.modules.registry import all_modules, find, register

__all__ = [
    "AnyModule",
    "Context",
    "Module",
    "NoParameters",
    "Port",
    "PortType",
    "all_modules",
    "check_connection",
    "check_inputs",
    "document",
    "execute",
    "find",
    "register",
    "type_of",
]
