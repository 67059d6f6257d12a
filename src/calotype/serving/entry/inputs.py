"""From a request to the arguments of `run`: three ways, chosen once when the script is ready."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

from calotype.serving.entry import raw_http
from calotype.serving.entry.raw_request import AMLRequest
from calotype.serving.exchange import Request
from calotype.serving.json_body import as_object, not_utf8, parsed, require_json
from calotype.serving.query import query_values
from calotype.serving.refusals import bad_request

Arguments = dict[str, Any]
HEADERS = "request_headers"

_PLAIN_METHODS = frozenset({"GET", "POST"})
_RAW_METHODS = frozenset({"DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"})
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class InputError(Exception):
    """`run` cannot be called as it is declared; the text is a clause for whoever wrote it."""


class Input(Protocol):
    """One way to read requests."""

    @property
    def methods(self) -> frozenset[str]:
        """The HTTP methods that reach `run`."""
        ...

    def read(self, request: Request) -> Arguments:
        """Return the arguments for one call.

        Raises:
            Refusal: the request has none that could be given to `run`.
        """
        ...


class RawText:
    """The body as text: for `run(raw_data)`."""

    methods = _PLAIN_METHODS

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, request: Request) -> Arguments:
        """Return the body, or the query of a GET request as JSON."""
        if request.method == "GET":
            return {self._name: json.dumps(query_values(request.query))}
        try:
            return {self._name: str(request.body, "utf-8")}
        except UnicodeDecodeError as error:
            raise not_utf8(error) from None


class JsonObject:
    """A JSON object with a member for each parameter: for schema decorators."""

    methods = _PLAIN_METHODS

    def __init__(self, parameters: Sequence[inspect.Parameter], *, max_depth: int) -> None:
        self._defaults = [(one.name, one.default) for one in parameters]
        self._max_depth = max_depth

    def read(self, request: Request) -> Arguments:
        """Return the members that `run` names; others are ignored."""
        if request.method == "GET":
            values = query_values(request.query)
        else:
            require_json(request.header(b"content-type"))
            values = as_object(parsed(request.body, max_depth=self._max_depth))
        arguments: Arguments = {}
        for name, default in self._defaults:
            value: Any = values.get(name, default)
            if value is inspect.Parameter.empty:
                raise bad_request(f"A value is not provided for the {name!r} parameter.")
            arguments[name] = value
        return arguments


class RawHttp:
    """The request itself: for `@rawhttp`."""

    methods = _RAW_METHODS

    def __init__(self, name: str, *, max_depth: int, max_parts: int) -> None:
        self._name = name
        self._limits = {"max_depth": max_depth, "max_parts": max_parts}

    def read(self, request: Request) -> Arguments:
        """Return the request as an object; nothing is parsed yet."""
        return {self._name: AMLRequest(request, **self._limits)}


class WithHeaders:
    """Another way, and the headers beside it."""

    def __init__(self, other: Input) -> None:
        self._other = other
        self.methods = other.methods

    def read(self, request: Request) -> Arguments:
        """Return the other way's arguments and `request_headers`."""
        arguments = self._other.read(request)
        headers: dict[str, str] = {}
        for key, value in request.headers:
            name, text = _header_name(key), value.decode("latin-1")
            headers[name] = f"{headers[name]},{text}" if name in headers else text
        arguments[HEADERS] = headers
        return arguments


def input_of(run: Callable[..., Any], *, max_depth: int, max_parts: int) -> Input:
    """Return the way in which `run` wants its input.

    Raises:
        InputError: it is declared in a way that no request can call.
    """
    declared = _declared(run)
    parameters = [one for one in declared if one.name != HEADERS]
    if not parameters:
        raise InputError(f"run() to take the input beside {HEADERS!r}")
    is_raw, is_decorated = raw_http.is_marked(), is_schema_decorated(run)
    if is_raw and is_decorated:
        raise InputError("either @rawhttp or @input_schema on run(), not both")
    if is_decorated:
        chosen: Input = JsonObject(parameters, max_depth=max_depth)
    else:
        _check_single(parameters)
        name = parameters[0].name
        limits = {"max_depth": max_depth, "max_parts": max_parts}
        chosen = RawHttp(name, **limits) if is_raw else RawText(name)
    return WithHeaders(chosen) if len(parameters) < len(declared) else chosen


def is_schema_decorated(run: Callable[..., Any]) -> bool:
    """Say whether `run` has schema decorators; without loading their package for it."""
    schema_util = sys.modules.get("inference_schema.schema_util")
    return schema_util is not None and bool(schema_util.is_schema_decorated(run))


def _declared(run: Callable[..., Any]) -> list[inspect.Parameter]:
    if inspect.iscoroutinefunction(inspect.unwrap(run)):
        raise InputError("run() to be a plain function, not `async def`")
    parameters = list(inspect.signature(run).parameters.values())
    if any(one.kind not in _NAMED for one in parameters):
        raise InputError("run() to have named parameters, no `*args`, `**kwargs` or `/`")
    return parameters


def _check_single(parameters: Sequence[inspect.Parameter]) -> None:
    further = [one.name for one in parameters[1:] if one.default is inspect.Parameter.empty]
    if further:
        raise InputError(
            f"run() to take one argument, or @input_schema for each of {', '.join(further)}"
        )


@lru_cache(maxsize=256)
def _header_name(name: bytes) -> str:
    return name.decode("latin-1").title()
