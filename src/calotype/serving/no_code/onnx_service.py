"""Any ONNX file of tables or tensors as a service: no script, no process between, no batching."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from calotype import errors
from calotype.models.onnx_file import open_session
from calotype.serving.exchange import Answer, Request
from calotype.serving.json_body import json_object, require_json
from calotype.serving.no_code.onnx_contract import onnx_contract
from calotype.serving.no_code.runners import Runners, RunOptions
from calotype.serving.no_code.tensors import Array, TensorInput, tensor_input
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.openapi.schemas import plain
from calotype.serving.refusals import Refusal, bad_request, internal_error, unprocessable
from calotype.serving.service import State
from calotype.serving.settings import ServiceSettings

if TYPE_CHECKING:
    import onnxruntime

_log = logging.getLogger(__name__)

# A body is scored on the event loop when no body of its size would keep others waiting for longer.
_LOOP_BUDGET_S = 0.001
_HOPELESS_S = 0.05  # above it, no pause of a busy machine is what makes a run so long
_MAX_LOOP_BYTES = 64 << 10
_BYTES_PER_VALUE = 8

_WRITE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS

Feeds = dict[str, Array]


class OnnxService:
    """Scores JSON with an ONNX file.

    One input takes `{"data": value}`; several take `{"data": {name: value, ...}}` or the names at
    the top. One output comes back bare, several as an object by name.

    Args:
        path: the file.
        settings: limits of queue and time.
        threads: how many requests may be computed at a time beside the event loop.

    Attributes:
        loop_bytes: bodies up to this size are scored on the event loop; 0 sends all to the threads.
    """

    def __init__(self, path: Path, settings: ServiceSettings, *, threads: int = 0) -> None:
        self._path = path
        self._runners = Runners(self._answer, settings, threads)
        self._max_depth = settings.max_json_depth
        self.state: State = "starting"
        self.methods = frozenset({"POST"})
        self.contract = ServiceContract()
        self.loop_bytes = 0
        self._inputs: tuple[TensorInput, ...] = ()
        self._outputs: list[str] = []
        self._session: onnxruntime.InferenceSession | None = None
        self._feeds_of: Callable[[bytes], Feeds] = self._feeds_by_name

    @property
    def queue_depth(self) -> int:
        """How many requests wait for a thread."""
        return len(self._runners.line)

    async def start(self) -> None:
        """Open the file and run it once, on zeros.

        Raises:
            ModelError: it is no ONNX file, or has inputs that JSON cannot give (0082, 0159).
        """
        try:
            await asyncio.to_thread(self._open)
        except errors.CalotypeError:
            self.state = "failed"
            raise
        self.state = "ready"

    async def stop(self) -> None:
        """End the threads."""
        self.state = "stopped"
        self._runners.close()

    async def score(self, request: Request) -> Answer:
        """Return what the network makes of the body.

        Raises:
            Refusal: 400 or 415 for what the caller sent, 503 and 504 when there is too much of it.
        """
        require_json(request.header(b"content-type"))
        if len(request.body) <= self.loop_bytes:
            return self._answer(request, None)
        return await self._runners.run(request)

    def _answer(self, request: Request, options: RunOptions | None) -> Answer:
        started = time.perf_counter()
        feeds = self._feeds_of(request.body)
        decoded = time.perf_counter()
        values = self._run(feeds, options)
        inferred = time.perf_counter()
        whole = values[0] if len(values) == 1 else dict(zip(self._outputs, values, strict=True))
        # NaN and infinity become null; `default` is asked for texts, single values and the like.
        written = orjson.dumps(whole, default=_listed, option=_WRITE)
        timings = request.timings
        timings["decode"] = (decoded - started) * 1000
        timings["infer"] = (inferred - decoded) * 1000
        timings["encode"] = (time.perf_counter() - inferred) * 1000
        return Answer(200, written)

    def _run(self, feeds: Feeds, options: RunOptions | None) -> list[Any]:
        assert self._session is not None
        try:
            return self._session.run(self._outputs, feeds, options)  # pyright: ignore[reportReturnType]
        except Exception as error:  # noqa: BLE001 - its exceptions have no common base
            if options is not None and options.terminate:
                raise internal_error() from None  # nobody waits for it any more
            # It scored its own example, so it is these values: shapes that do not go together.
            _log.warning("the model failed on a request: %s", error)
            shapes = ", ".join(f"'{name}' {one.shape}" for name, one in feeds.items())
            message = f"The model cannot score these inputs together: {shapes}."
            raise unprocessable(message) from None

    def _feeds_of_one(self, body: bytes) -> Feeds:
        (only,) = self._inputs
        parsed = json_object(body, max_depth=self._max_depth)
        try:
            value = parsed["data"]
        except KeyError:
            if only.name not in parsed:
                raise _missing("data") from None
            value = parsed[only.name]
        if body.count(b'"') == 2:  # those of its only key
            return {only.name: only.read(value)}
        if len(parsed) > 1:
            raise _unknown(parsed, {"data"})
        if type(value) is dict and only.name in value:
            value = value[only.name]
        return {only.name: only.read_suspicious(value)}

    def _feeds_by_name(self, body: bytes) -> Feeds:
        parsed = json_object(body, max_depth=self._max_depth)
        known = {one.name for one in self._inputs}
        named, within = parsed, False
        inner = parsed.get("data")
        if type(inner) is dict and ("data" not in known or known <= inner.keys()):
            named, within = inner, True
        if not named.keys() <= known:
            raise _unknown(named, known)
        # The names' own quotation marks, and those of the `data` around them; more are in values.
        read_plainly = body.count(b'"') == 2 * (len(named) + within)
        feeds: Feeds = {}
        for one in self._inputs:
            if one.name not in named:
                raise _missing(one.name)
            read = one.read if read_plainly else one.read_suspicious
            feeds[one.name] = read(named[one.name])
        return feeds

    def _open(self) -> None:
        where = str(self._path)
        session = open_session(self._path)
        self._session = session
        self._inputs = tuple(
            tensor_input(one.name, one.type, one.shape, where=where) for one in session.get_inputs()
        )
        self._outputs = [one.name for one in session.get_outputs()]
        if len(self._inputs) == 1:
            self._feeds_of = self._feeds_of_one
        example = self._seconds(2)
        self.contract = onnx_contract(self._inputs, session.get_outputs())
        if example < _LOOP_BUDGET_S:
            self.loop_bytes = self._affordable_bytes()

    def _affordable_bytes(self) -> int:
        """Return the largest body, as far as we let one in, that stays within the loop's budget."""
        if not any(one.has_rows for one in self._inputs):
            return _MAX_LOOP_BYTES
        values_in_row = sum(one.array(1).size for one in self._inputs)
        body_bytes = _MAX_LOOP_BYTES
        while body_bytes > _BYTES_PER_VALUE * values_in_row:
            rows = max(1, body_bytes // (_BYTES_PER_VALUE * values_in_row))
            if self._seconds(rows) < _LOOP_BUDGET_S:
                return body_bytes
            body_bytes //= 2
        return body_bytes

    def _seconds(self, rows: int) -> float:
        """Return the shortest of three runs; infinity for a model that does not take zeros."""
        feeds = {one.name: one.array(rows) for one in self._inputs}
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            try:
                self._run(feeds, None)
            except Refusal:
                return float("inf")
            best = min(best, time.perf_counter() - started)
            if best > _HOPELESS_S:
                break
        return best


def _listed(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError


def _missing(name: str) -> Refusal:
    return bad_request(f"A value is not provided for the '{name}' parameter.")


def _unknown(given: dict[str, Any], known: set[str]) -> Refusal:
    name = next(name for name in given if name not in known)
    names = ", ".join(f"'{one}'" for one in sorted(known))
    got = plain(name[:100])
    return bad_request(f"Expected {names}. Got '{got}', which the model does not take.")
