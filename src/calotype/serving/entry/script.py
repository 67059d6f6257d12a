"""A user's entry script in its worker: loaded, started, and called for each request."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from calotype.errors import ScriptFailed
from calotype.serving.entry import conversion, old_names, raw_http
from calotype.serving.entry.deadline import Deadline, Expired
from calotype.serving.entry.inputs import InputError, RawHttp, WithHeaders, input_of
from calotype.serving.entry.loading import import_script
from calotype.serving.entry.printing import Printing
from calotype.serving.entry.raw_response import AMLResponse, answer_of
from calotype.serving.entry.results import ResultEncoder
from calotype.serving.entry.traces import trace_of
from calotype.serving.exchange import JSON, Answer, Headers, Request
from calotype.serving.refusals import Refusal, internal_error, timed_out

MODEL_DIRECTORY = "AZUREML_MODEL_DIR"

_FAILED: Headers = [(b"x-ms-run-function-failed", b"True")]
_NOT_FAILED: Headers = [(b"x-ms-run-function-failed", b"False")]
_SCRIPT_ERROR = "An unexpected error occurred in scoring script. Check the logs for more info."
_READ_TRACE = "The trace is in the log; mend the script and start again."


class EntryScript:
    """A script with `run`, and `init` if it needs one. For the main thread of a process.

    Attributes:
        methods: the HTTP methods that `answer` takes; known after `init`.
        contract: what `run` declares about its input and output, ready for JSON, or None.
        is_raw_http: whether `run` is marked with `@rawhttp`.
        needs_headers: whether `run` sees the headers of a request.
    """

    def __init__(
        self,
        module: ModuleType,
        *,
        path: Path,
        printing: Printing,
        max_json_depth: int,
        max_multipart_parts: int,
    ) -> None:
        self.methods: frozenset[str] = frozenset({"POST", "GET"})
        self.contract: dict[str, Any] | None = None
        self.is_raw_http = False
        self.needs_headers = False
        self._module = module
        self._path = path
        self._printing = printing
        self._lines = printing.lines
        self._limits = {"max_depth": max_json_depth, "max_parts": max_multipart_parts}
        self._deadline = Deadline(self._lines)
        self._encoder = ResultEncoder(lambda message: self._lines.write("warning", message))
        self._responses: tuple[type, ...] = (AMLResponse,)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        source_directory: Path | None = None,
        model_directory: Path | None = None,
        printing: Printing | None = None,
        max_json_depth: int = 64,
        max_multipart_parts: int = 100,
    ) -> EntryScript:
        """Import a script. What it prints is caught from now on.

        Args:
            path: the script.
            source_directory: where it runs and finds its modules; its own folder if None.
            model_directory: becomes `AZUREML_MODEL_DIR`, unless None.
            printing: where its prints go; to standard error if None.
            max_json_depth: 400 for a body that is nested deeper, where a schema has it parsed.
            max_multipart_parts: 413 for a form with more parts.

        Raises:
            ScriptFailed: the import raised; with the trace.
        """
        path = path.absolute()
        printing = printing or Printing()
        printing.install()
        if model_directory is not None:
            os.environ[MODEL_DIRECTORY] = str(model_directory.absolute())
        old_names.offer()
        raw_http.forget_marks()
        source = source_directory.absolute() if source_directory is not None else path.parent
        try:
            module = import_script(path, source_directory=source)
        except BaseException as error:  # noqa: BLE001 - the boundary to the user's code
            _fail("a script that can be imported", path, error)
        finally:
            printing.flush()
        if not callable(getattr(module, "run", None)):
            raise ScriptFailed(
                "expected a function run(raw_data)", where=path.name, action="Define it."
            )
        return cls(
            module,
            path=path,
            printing=printing,
            max_json_depth=max_json_depth,
            max_multipart_parts=max_multipart_parts,
        )

    def init(self) -> None:
        """Call `init` of the script, then decide how `run` gets its input.

        Raises:
            ScriptFailed: it raised, or `run` cannot be called by a request.
        """
        try:
            init = getattr(self._module, "init", None)
            if init is not None:
                init()
        except BaseException as error:  # noqa: BLE001 - the boundary to the user's code
            _fail("init() to succeed", self._path, error)
        finally:
            self._printing.flush()
        self._run: Callable[..., Any] = self._module.run
        self._code = conversion.code_of(self._run)
        try:
            self._input = input_of(self._run, **self._limits)
        except InputError as error:
            raise ScriptFailed(f"expected {error}", where=self._path.name) from None
        self.methods = self._input.methods
        self.is_raw_http = RawHttp.methods == self.methods
        self.needs_headers = isinstance(self._input, RawHttp | WithHeaders)
        conversion.mend_dates()
        self.contract = self._described()
        self._responses = _response_types()
        self._deadline.install()

    def _described(self) -> dict[str, Any] | None:
        from calotype.serving.openapi.script_contract import contract_of

        try:
            return contract_of(self._run)
        except Exception:  # noqa: BLE001 - a script can score without a description
            self._lines.write("error", f"no Swagger for this script\n{traceback.format_exc()}")
            return None

    def answer(self, request: Request, *, timeout_ms: int) -> Answer:
        """Score one request.

        Raises:
            Refusal: anything but a success, whatever the script does.
        """
        self._lines.request_id = request.request_id
        try:
            return self._answer(request, timeout_ms)
        except Refusal as refusal:
            if not any(name == _FAILED[0][0] for name, _ in refusal.headers):
                refusal.headers = refusal.headers + _NOT_FAILED
            raise
        except BaseException:  # noqa: BLE001 - no request ends the process
            self._lines.write("error", traceback.format_exc())
            refusal = internal_error()
            refusal.headers = refusal.headers + _NOT_FAILED
            raise refusal from None
        finally:
            self._printing.flush()

    def close(self) -> None:
        """Log what the script has printed last; give back the standard streams and the alarm."""
        self._deadline.uninstall()
        self._printing.uninstall()

    def _answer(self, request: Request, timeout_ms: int) -> Answer:
        start_s = time.perf_counter()
        arguments = self._input.read(request)
        read_s = time.perf_counter()
        result = self._call(arguments, timeout_ms)
        run_s = time.perf_counter()
        took = (b"x-ms-run-fn-exec-ms", b"%.3f" % ((run_s - read_s) * 1000))
        if isinstance(result, self._responses):
            answer = answer_of(result)
            answer.headers.append(took)
        else:
            answer = Answer(200, self._encoder.encode(result), JSON, [*_NOT_FAILED, took])
        timings = request.timings
        timings["decode"] = (read_s - start_s) * 1000
        timings["infer"] = (run_s - read_s) * 1000
        timings["encode"] = (time.perf_counter() - run_s) * 1000
        return answer

    def _call(self, arguments: dict[str, Any], timeout_ms: int) -> Any:
        try:
            result = self._deadline.call(self._run, arguments, timeout_ms / 1000)
        except Expired as error:
            self._refuse_expired(error, timeout_ms)
        except BaseException as error:  # noqa: BLE001 - the boundary to the user's code
            if self._deadline.has_expired:  # the script made another error of the interruption
                self._refuse_expired(error, timeout_ms)
            self._refuse_failed(error)
        if self._deadline.has_expired:  # the script swallowed the interruption
            self._refuse_expired(None, timeout_ms)
        return result

    def _refuse_expired(self, error: BaseException | None, timeout_ms: int) -> NoReturn:
        trace = trace_of(error) if error is not None else ""
        self._lines.write("error", f"run() took longer than {timeout_ms} ms\n{trace}".rstrip())
        refusal = timed_out(timeout_ms)
        refusal.headers = refusal.headers + _FAILED
        raise refusal from None

    def _refuse_failed(self, error: BaseException) -> NoReturn:
        if isinstance(error, Refusal):  # AMLRequest about what the caller sent
            raise error from None
        unfit = conversion.unfit_argument(error, self._code)
        if unfit is not None:
            raise unfit from None
        self._lines.write("error", trace_of(error))
        raise Refusal(500, _SCRIPT_ERROR, list(_FAILED)) from None


def _fail(expected: str, path: Path, error: BaseException) -> NoReturn:
    raise ScriptFailed(
        f"expected {expected}",
        where=path.name,
        got=f"{type(error).__name__}: {error}".rstrip(": "),
        action=_READ_TRACE,
        trace=trace_of(error),
    ) from error


def _response_types() -> tuple[type, ...]:
    """Return the classes of which `run` may return a whole answer."""
    werkzeug = sys.modules.get("werkzeug.wrappers")  # scripts that use the original package
    return (AMLResponse,) if werkzeug is None else (AMLResponse, werkzeug.Response)
