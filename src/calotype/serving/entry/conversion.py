"""Arguments that the schema decorators cannot convert: the caller's mistake, told as a sentence.

The decorators convert inside of the call of `run` and raise whatever comes; what tells a value that
does not fit from a failure of the script is where it was raised.
"""

from __future__ import annotations

import datetime
import inspect
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from calotype.serving.refusals import Refusal, bad_request

_CONVERSION = "_deserialize_input_argument"  # of inference_schema.schema_decorators
_MOST_CHARACTERS = 300


def code_of(run: Callable[..., Any]) -> CodeType | None:
    """Return the code of `run` below all of its decorators."""
    return getattr(inspect.unwrap(run), "__code__", None)


def unfit_argument(error: BaseException, code: CodeType | None) -> Refusal | None:
    """Return the refusal for an argument that does not fit the schema; None for another error.

    Args:
        error: what the call of `run` raised.
        code: of `run`, without decorators.
    """
    if not isinstance(error, Exception) or isinstance(error, MemoryError | OSError):
        return None
    names: list[str] = []
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code is not code:
        if place.tb_frame.f_code.co_name == _CONVERSION:
            names.append(str(place.tb_frame.f_locals.get("param_name", "")))
        place = place.tb_next
    if place is not None or not names:  # the script itself, or nothing of the decorators
        return None
    # Items of a list have the name of their list.
    path = ".".join(
        name for name, before in zip(names, ["", *names], strict=False) if name != before
    )
    return bad_request(
        f"The value of {path!r} does not fit the schema of this service: {_reason(error)}. "
        "See /swagger.json for the schema and an example."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, KeyError):
        return f"{error} is missing"
    text = " ".join(str(error).split()).removeprefix("Error, ").rstrip(".") or type(error).__name__
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} …"


def mend_dates() -> None:
    """Let `StandardPythonParameterType(date(...))` work: inference-schema up to 1.8 cannot.

    It calls `date.strptime`, which Python has only from 3.14 on.
    """
    module = sys.modules.get("inference_schema.parameter_types.standard_py_parameter_type")
    if module is None or hasattr(datetime.date, "strptime"):
        return
    kind = module.StandardPythonParameterType
    convert = kind.deserialize_input
    if hasattr(convert, "__wrapped__"):
        return

    def deserialize_input(self: Any, input_data: Any) -> Any:
        if self.sample_data_type is not datetime.date:
            return convert(self, input_data)
        if not isinstance(input_data, str):
            raise ValueError(f"expected a date like 2020-01-31. Got {type(input_data).__name__}")
        return datetime.date.fromisoformat(input_data)

    deserialize_input.__wrapped__ = convert  # pyright: ignore[reportFunctionMemberAccess]
    kind.deserialize_input = deserialize_input
