"""A worker: runs a script's `init`, then one request after the other, in its main thread."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Generator

from calotype.serving.entry import wire
from calotype.serving.entry.claims import Claims
from calotype.serving.entry.script import EntryScript
from calotype.serving.exchange import Request
from calotype.serving.refusals import Refusal

_MIDDLE = 65_536  # bytes; most requests come in one read


def work(
    connection: socket.socket, script: EntryScript, *, timeout_ms: int, claims: Claims
) -> None:
    """Serve requests from `connection` until its other end closes.

    Raises:
        ScriptFailed: `init` failed; the other end has been told.
    """
    ignore_terminal()
    announce(connection, script)
    reader = io.BufferedReader(socket.SocketIO(connection, "r"), _MIDDLE)
    while len(header := reader.read(wire.FRAME.size)) == wire.FRAME.size:
        _, row, head_size, body_size, number, _, _ = wire.FRAME.unpack(header)
        head, body = reader.read(head_size), reader.read(body_size)
        if len(head) + len(body) < head_size + body_size:
            break
        if claims.begin(row, number):
            connection.sendall(_answered(script, wire.unpack_request(head, body), timeout_ms))
        else:
            connection.sendall(wire.frame(wire.LEFT, 0, b"", b""))


def announce(connection: socket.socket, script: EntryScript) -> None:
    """Run `init` and tell the other end what the script takes, or why it cannot be used."""
    with telling_failures(connection):
        script.init()
    tell_ready(connection, script)


@contextlib.contextmanager
def telling_failures(connection: socket.socket) -> Generator[None]:
    """Tell the other end why this worker cannot be used, if that is so."""
    from calotype.errors import CalotypeError, ScriptFailed

    try:
        yield
    except CalotypeError as failure:
        trace = failure.trace if isinstance(failure, ScriptFailed) else ""
        facts = {"pid": os.getpid(), "message": str(failure), "trace": trace}
        connection.sendall(wire.frame(wire.FAILED, 0, b"", json.dumps(facts).encode()))
        raise


def tell_ready(connection: socket.socket, script: EntryScript) -> None:
    """Tell the other end what the script takes; requests may come from now on."""
    facts = {
        "pid": os.getpid(),
        "methods": sorted(script.methods),
        "needs_headers": script.needs_headers,
        "contract": script.contract,
    }
    connection.sendall(wire.frame(wire.READY, 0, b"", json.dumps(facts).encode()))


def ignore_terminal() -> None:
    """Leave Ctrl-C and SIGTERM to the server: a worker ends when its socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdin = open(os.devnull)  # noqa: SIM115 - for as long as the process lives


def _answered(script: EntryScript, request: Request, timeout_ms: int) -> bytes:
    started_s = time.perf_counter()
    try:
        answer = script.answer(request, timeout_ms=timeout_ms)
    except Refusal as refusal:
        return wire.pack_refusal(refusal, (0.0, (time.perf_counter() - started_s) * 1000, 0.0))
    timings = request.timings
    return wire.pack_answer(answer, (timings["decode"], timings["infer"], timings["encode"]))
