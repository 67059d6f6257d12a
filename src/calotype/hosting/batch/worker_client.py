"""The other end of a batch script's worker: starts it, gives it work, kills it when it hangs."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.hosting.batch.rows import of_bytes
from calotype.secret_variables import for_scripts
from calotype.tables import ArrowTable

_READ_BYTES: Final = 1 << 16
_INIT_S: Final = 600.0  # models are large; afterwards somebody has to look


@dataclass(frozen=True, slots=True)
class BatchScript:
    """A script with what it needs.

    Attributes:
        script: with `run(mini_batch)`.
        source_directory: where its imports begin.
        model_directory: what it finds as AZUREML_MODEL_DIR; None for none.
        python: the interpreter of its environment; empty for ours.
        variables: of its environment.
    """

    script: Path
    source_directory: Path
    model_directory: Path | None = None
    python: str = ""
    variables: Mapping[str, str] | None = None


class MiniBatchFailed(errors.ScriptFailed):
    """`run` raised, took too long or took its process down; a further attempt may succeed."""


class WorkerClient:
    """One worker process, started when it is first needed and again after it was lost.

    Args:
        script: what it runs.
    """

    def __init__(self, script: BatchScript) -> None:
        self._script = script
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._is_over = False

    def start(self) -> None:
        """Import the script and call its `init`, unless that was done.

        Raises:
            ScriptFailed: that failed; with the trace.
        """
        if self._process is not None:
            return
        if self._is_over:
            raise self._failure("the end of the job")
        self._process = self._launched()
        script = self._script
        models = script.model_directory
        first = {
            "script": str(script.script),
            "source_directory": str(script.source_directory),
            "model_directory": str(models) if models is not None else "",
        }
        try:
            self._ask(first, timeout_s=_INIT_S)
        except MiniBatchFailed as failure:
            self.close()
            raise errors.ScriptFailed(
                "expected the import and init() to succeed",
                where=script.script.name,
                got=failure.got,
                action="Mend the script and submit the job again.",
                trace=failure.trace,
            ) from None

    def run(self, number: int, paths: Sequence[Path], *, timeout_s: float) -> ArrowTable:
        """Return what `run` makes of some files.

        Raises:
            MiniBatchFailed: nothing; the worker is replaced when it has to be.
            ScriptFailed: the worker cannot be started any more.
        """
        self.start()
        files = [str(path) for path in paths]
        return of_bytes(self._ask({"number": number, "files": files}, timeout_s=timeout_s))

    def kill(self) -> None:
        """Make the call that another thread may be waiting for fail, and all that follow."""
        self._is_over = True
        if (process := self._process) is not None:
            _kill(process)

    def close(self) -> None:
        """End the worker and what its script has started."""
        process, self._process, self._unread = self._process, None, b""
        if process is None:
            return
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it never read cannot be flushed
                    pipe.close()

    def _launched(self) -> subprocess.Popen[bytes]:
        script = self._script
        try:
            return subprocess.Popen(  # noqa: S603 - our own program, in the script's environment
                [script.python or sys.executable, "-m", "calotype.hosting.batch.script_worker"],
                env={**for_scripts(os.environ), **(script.variables or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                process_group=0,  # so that its children can be ended with it
            )
        except OSError as error:
            raise errors.ScriptFailed(
                "expected the interpreter of the script's environment",
                where=script.python,
                got=error.strerror or type(error).__name__,
            ) from error

    def _ask(self, command: dict[str, Any], *, timeout_s: float) -> bytes:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
            head, body = self._answer(time.monotonic() + timeout_s)
        except TimeoutError:
            self.close()
            raise self._failure(f"no end within {timeout_s:g} s") from None
        except (EOFError, OSError):
            raise self._failure(f"its process {self._ended()}") from None
        if not head["ok"]:
            raise self._failure(head["reason"], trace=head["trace"])
        return body

    def _ended(self) -> str:
        """Say how the process ended, after the fact."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        code = self._process.returncode
        self.close()
        if code is None:
            return "closed its pipe"
        if code >= 0:
            return f"ended with code {code}"
        name = signal.Signals(-code).name
        told = ": the system may have run out of memory" if name == "SIGKILL" else ""
        return f"was ended by {name}{told}"

    def _failure(self, reason: str, *, trace: str = "") -> MiniBatchFailed:
        return MiniBatchFailed(
            "expected run(mini_batch) to succeed",
            where=self._script.script.name,
            got=reason,
            trace=trace,
        )

    def _answer(self, ends_s: float) -> tuple[dict[str, Any], bytes]:
        while b"\n" not in self._unread:
            self._unread += self._read(ends_s)
        line, _, rest = self._unread.partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        parts, held = [rest], len(rest)
        while held < head["bytes"]:
            parts.append(self._read(ends_s))
            held += len(parts[-1])
        whole = b"".join(parts)
        self._unread = whole[head["bytes"] :]
        return head, whole[: head["bytes"]]

    def _read(self, ends_s: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            if not selector.select(max(ends_s - time.monotonic(), 0.0)):
                raise TimeoutError
        data = os.read(pipe.fileno(), _READ_BYTES)
        if not data:
            raise EOFError
        return data


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: one that has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
