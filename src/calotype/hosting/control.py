"""How commands reach keeper, front door and replicas: one JSON line each way over a local socket.

`{"do": "state", "service": "x"}` → `{"ok": true, …}` or `{"ok": false, "number": 2004, …}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.hosting import socket_folder

logger = logging.getLogger(__name__)

_MOST_BYTES: Final = 16 << 20
_MOST_DESCRIPTORS: Final = 8
_TRIES: Final = 3

DESCRIPTORS: Final = "descriptors"
"""Of an answer: open files that go with it; see `fetch_descriptors`."""

_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class NobodyThere(errors.OperationFailed):
    """Nobody listens on a control socket: the process has ended."""


class TooLate(NobodyThere):
    """Somebody listens on a control socket, and did not answer in time."""


def ask(path: Path, do: str, *, timeout_s: float = 5.0, **values: Any) -> dict[str, Any]:
    """Send one command and return what came back.

    Raises:
        NobodyThere: nobody listens there, or the other side ended before it answered.
        TooLate: it has not answered in time.
        CalotypeError: the other side refused.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(path))
            link.sendall(json.dumps({"do": do, **values}).encode() + b"\n")
            with link.makefile("rb") as stream:
                line = stream.readline(_MOST_BYTES)
            answer: dict[str, Any] = json.loads(line)
        except TimeoutError as error:
            raise _too_late(path, timeout_s) from error
        except (OSError, ValueError) as error:
            raise NobodyThere("expected an answer", where=str(path), got=str(error)) from error
    if not answer.pop("ok"):
        raise _refusal(answer)
    return answer


async def call(path: Path, do: str, *, timeout_s: float = 5.0, **values: Any) -> dict[str, Any]:
    """Do what `ask` does, without holding up the event loop."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=_MOST_BYTES)
            with contextlib.closing(writer):
                writer.write(json.dumps({"do": do, **values}).encode() + b"\n")
                answer: dict[str, Any] = json.loads(await reader.readline())
    except TimeoutError as error:
        raise _too_late(path, timeout_s) from error
    except (OSError, ValueError) as error:
        raise NobodyThere("expected an answer", where=str(path), got=str(error)) from error
    if not answer.pop("ok"):
        raise _refusal(answer)
    return answer


def fetch_descriptors(path: Path, do: str, *, timeout_s: float = 5.0) -> list[int]:
    """Send a command whose answer brings open files, and return them.

    Raises:
        NobodyThere: nobody listens there.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(path))
            link.sendall(json.dumps({"do": do}).encode() + b"\n")
            _, descriptors, _, _ = socket.recv_fds(link, 1, _MOST_DESCRIPTORS)
        except OSError as error:
            raise NobodyThere("expected an answer", where=str(path), got=str(error)) from error
    return descriptors


async def listen(path: Path, handlers: dict[str, Handler], *, log: str) -> asyncio.Server:
    """Take commands at `path` until the server is closed; an old socket there is replaced.

    Args:
        path: of the socket.
        handlers: by the name of a command.
        log: where this process writes down defects.

    Raises:
        CannotWrite: its folder cannot be made, or others could enter it.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, ValueError):
            line = await reader.readline()
            if line:
                answer = await _answer(handlers, line, log)
                descriptors: list[int] = answer.pop(DESCRIPTORS, [])
                if descriptors:
                    _send_descriptors(writer, descriptors)
                writer.write(json.dumps(answer, default=str).encode() + b"\n")
                await writer.drain()

    for _ in range(_TRIES - 1):
        with contextlib.suppress(FileNotFoundError):  # its last user has just removed the folder
            return await _listen(serve, path)
    return await _listen(serve, path)


async def _listen(serve: _Serve, path: Path) -> asyncio.Server:
    socket_folder.make(path.parent)
    path.unlink(missing_ok=True)
    return await asyncio.start_unix_server(serve, path, limit=_MOST_BYTES)


def _send_descriptors(writer: asyncio.StreamWriter, descriptors: list[int]) -> None:
    connected = writer.get_extra_info("socket")
    with socket.socket(fileno=os.dup(connected.fileno())) as link:
        socket.send_fds(link, [b" "], descriptors)  # the byte that carries them


async def _answer(handlers: dict[str, Handler], line: bytes, log: str) -> dict[str, Any]:
    try:
        command: dict[str, Any] = json.loads(line)
        return {"ok": True, **await handlers[command.pop("do")](command)}
    except errors.CalotypeError as error:
        return {
            "ok": False,
            "number": error.number,
            "expected": error.expected,
            "where": error.where,
            "got": error.got,
            "action": error.action,
        }
    except Exception as error:  # the boundary: a defect in one command must not end the process
        logger.exception("a defect in a command")
        return {
            "ok": False,
            "number": errors.OperationFailed.number,
            "expected": "the command to be carried out",
            "where": _what(line),
            "got": f"a defect ({type(error).__name__})",
            "action": f"Its trace is in the log of that process: see {log}.",
        }


def _what(line: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return f"command '{json.loads(line)['do']}'"
    return "a command"


def _too_late(path: Path, timeout_s: float) -> TooLate:
    return TooLate("expected an answer", where=str(path), got=f"none within {timeout_s:g} s")


def _refusal(answer: dict[str, Any]) -> errors.CalotypeError:
    known = _all(errors.CalotypeError)
    kinds = {kind.number: kind for kind in known if kind.__module__ == errors.__name__}
    kind = kinds.get(answer.pop("number"), errors.OperationFailed)
    return kind(**{name: str(value) for name, value in answer.items()})


def _all(kind: type[errors.CalotypeError]) -> list[type[errors.CalotypeError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _all(below))]
