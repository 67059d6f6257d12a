"""The process that runs a batch script: `init()` once, then `run(mini_batch)` for each mini-batch.

Commands come as lines of JSON on standard input; answers go out on what was standard output, a line
of JSON followed by as many bytes as it says. What the script prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NoReturn

from calotype.errors import ScriptFailed
from calotype.hosting.batch.rows import to_bytes
from calotype.serving.entry import old_names
from calotype.serving.entry.loading import import_script
from calotype.serving.entry.printing import Printing
from calotype.serving.entry.script import MODEL_DIRECTORY
from calotype.serving.entry.traces import trace_of


def main() -> None:
    """Serve the process at the other ends of the pipes until it closes them, or dies."""
    commands, answers = _taken_pipes()
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(commands, waiting), daemon=True).start()
    printing = Printing()
    printing.install()
    work = _begun(waiting.get(), answers, printing)
    while True:
        command = waiting.get()
        printing.lines.request_id = f"mini-batch {command['number']}"
        _answer(answers, *_outcome(work, command["files"]))
        printing.flush()


def _taken_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep both pipes for ourselves: scripts and their libraries print to descriptor 1."""
    commands, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(commands, "rb"), os.fdopen(answers, "wb")


def _listen(commands: BinaryIO, waiting: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Pass commands on; when their sender is gone, nobody wants what the script is doing."""
    for line in commands:
        waiting.put(json.loads(line))
    if os.getpid() == os.getpgrp():
        os.killpg(0, signal.SIGKILL)  # with whatever the script has started
    os._exit(0)


def _begun(
    command: dict[str, Any], answers: BinaryIO, printing: Printing
) -> Callable[[list[str]], Any]:
    """Import the script and call `init`; tell the other end whether that went well."""
    try:
        module = _loaded(command)
        getattr(module, "init", _nothing)()
    except BaseException as error:  # noqa: BLE001 - the boundary to the user's code
        _fail(answers, printing, error)
    printing.flush()
    _answer(answers, {"ok": True}, b"")
    return module.run


def _loaded(command: dict[str, Any]) -> ModuleType:
    path, source = Path(command["script"]), Path(command["source_directory"])
    if command["model_directory"]:
        os.environ[MODEL_DIRECTORY] = command["model_directory"]
    old_names.offer()
    module = import_script(path, source_directory=source)
    if not callable(getattr(module, "run", None)):
        raise ScriptFailed("expected a function run(mini_batch)", where=path.name)
    return module


def _nothing() -> None: ...


def _fail(answers: BinaryIO, printing: Printing, error: BaseException) -> NoReturn:
    _answer(answers, _told(error), b"")
    printing.flush(of_all=True)
    sys.exit(3)


def _outcome(run: Callable[[list[str]], Any], files: list[str]) -> tuple[dict[str, Any], bytes]:
    try:
        return {"ok": True}, to_bytes(run(files))
    except BaseException as error:  # noqa: BLE001 - the boundary to the user's code
        return _told(error), b""


def _told(error: BaseException) -> dict[str, Any]:
    if error.__traceback__ is not None:  # without our own frame
        error = error.with_traceback(error.__traceback__.tb_next)
    reason = str(error) if isinstance(error, ScriptFailed) else ""
    named = f"{type(error).__name__}: {error}".removesuffix(": ")
    return {"ok": False, "reason": reason or named, "trace": trace_of(error)}


def _answer(answers: BinaryIO, head: dict[str, Any], body: bytes) -> None:
    answers.write(json.dumps({**head, "bytes": len(body)}).encode() + b"\n" + body)
    answers.flush()


if __name__ == "__main__":
    main()
