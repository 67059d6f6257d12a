"""What scripts print and log: whole lines, each once, with the request they belong to."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calotype.serving.entry.printing import MOST_LINE_BYTES, LogLines, Printing


def test_prints_carry_time_level_and_request(load: Any) -> None:
    loaded = load("""
import sys
print("importing")
def init(): print("loading", end="")
def run(data):
    print("scoring", data, "ä")
    print("oops", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes \\xff\\n")
    print("no end", end="", flush=True)
    return 1
""")
    loaded.send("a", request_id="first")
    loaded.send("b", request_id="second")
    lines = loaded.lines()
    assert [(line["level"], line["request_id"], line["message"]) for line in lines[:6]] == [
        ("info", "init", "importing"),
        ("info", "init", "loading"),
        ("info", "first", "scoring a ä"),
        ("error", "first", "oops"),
        ("info", "first", "bytes \ufffd"),
        ("info", "first", "no end"),
    ]
    assert [line["request_id"] for line in lines[6:]] == ["second"] * 4
    assert {line["pid"] for line in lines} == {os.getpid()}
    assert all(line["time"].endswith("Z") and line["time"][10] == "T" for line in lines)


def test_what_is_printed_before_a_failure_is_kept(load: Any) -> None:
    loaded = load("def run(data):\n print('half', end='')\n raise ValueError")
    loaded.refusal()
    assert sorted(line["message"].partition("\n")[0] for line in loaded.lines()) == [
        "Traceback (most recent call last):",
        "half",
    ]


@pytest.mark.parametrize(
    "configured",
    [
        "logging.basicConfig(level=logging.INFO, format='%(message)s')",
        "logger.setLevel('INFO'); logger.propagate = False\n"
        "logger.addHandler(logging.StreamHandler(sys.stdout))",
    ],
)
def test_records_of_logging_keep_their_level(
    load: Any, configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    loaded = load(f"""
import logging, sys
logger = logging.getLogger("of the script")
{configured}
def run(data):
    logger.info("one\\ntwo")
    logger.warning("three")
    logger.debug("not asked for")
    return 1
""")
    loaded.send()
    found = [(line["level"], line["message"]) for line in loaded.lines()]
    assert found == [("info", "one\ntwo"), ("warning", "three")]


def test_logging_without_configuration_shows_warnings(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    loaded = load("import logging\ndef run(data): logging.getLogger('x').error('bad'); return 1")
    loaded.send()
    assert [(line["level"], line["message"]) for line in loaded.lines()] == [("error", "bad")]


@pytest.mark.parametrize("text", ["x" * 200_000, "ä" * 200_000, "😀" * 200_000, 'a"\\' * 50_000])
def test_long_lines_are_cut_with_a_mark(load: Any, text: str) -> None:
    loaded = load("def run(data):\n print(data)\n print('next')\n return 1")
    loaded.send(text)
    first, second = loaded._log.read_bytes().splitlines()  # pyright: ignore[reportPrivateUsage]
    assert MOST_LINE_BYTES - 600 < len(first) <= MOST_LINE_BYTES
    message = json.loads(first)["message"]
    assert message.endswith(" … (cut)")
    assert text.startswith(message.removesuffix(" … (cut)"))
    assert json.loads(second)["message"] == "next"


def test_a_progress_bar_without_end_keeps_little(load: Any) -> None:
    loaded = load("""
import sys
def run(data):
    for step in range(3000): print(f"\\r{step:040d}", end="", file=sys.stderr)
    return 1
""")
    loaded.send()
    (line,) = loaded.lines()
    assert line["message"].endswith("(cut)")


def test_threads_never_mix_their_lines() -> None:
    reading, writing = os.pipe()
    printing = Printing(writing)
    received: list[bytes] = []

    def read() -> None:
        while data := os.read(reading, 1 << 16):
            received.append(data)

    def write(name: str) -> None:
        for number in range(200):
            print(name, number, "x" * 100, sep="-")  # noqa: T201 - what scripts do

    reader = threading.Thread(target=read)
    reader.start()
    printing.install()
    try:
        writers = [threading.Thread(target=write, args=(f"t{index}",)) for index in range(4)]
        for one in writers:
            one.start()
        for one in writers:
            one.join()
    finally:
        printing.uninstall()
        printing.lines.close()
        os.close(writing)
    reader.join()
    os.close(reading)
    messages = [json.loads(line)["message"] for line in b"".join(received).splitlines()]
    assert sorted(messages) == sorted(
        f"t{index}-{number}-{'x' * 100}" for index in range(4) for number in range(200)
    )


def test_what_a_thread_printed_last_is_logged_when_it_has_ended(load: Any) -> None:
    loaded = load("""
import threading
def run(data):
    thread = threading.Thread(target=print, args=("from a thread",), kwargs={"end": ""})
    thread.start()
    thread.join()
    return 1
""")
    loaded.send()
    assert loaded.messages("info") == ["from a thread"]


def test_a_log_that_nobody_reads_stops_no_script() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    lines = LogLines(writing)
    lines.write("info", "lost")
    lines.close()
    os.close(writing)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_log_whose_reader_has_stopped_reading_stops_no_script(kind: str) -> None:
    if kind == "pipe":
        reading, writing = os.pipe()
    else:
        reading, writing = (one.detach() for one in socket.socketpair())
    lines = LogLines(writing)
    started_s = time.monotonic()
    for number in range(1000):
        lines.write("info", f"{number:010d}" * 500)
    assert time.monotonic() - started_s < 30
    assert os.get_blocking(writing)  # for others, who share it

    received = b""
    os.set_blocking(reading, False)
    with contextlib.suppress(BlockingIOError):
        while data := os.read(reading, 1 << 16):
            received += data
    lines.write("info", "read again")
    received += os.read(reading, 1 << 16)
    messages = [json.loads(line)["message"] for line in received.splitlines()]
    *whole, told, last = messages
    assert whole == [f"{number:010d}" * 500 for number in range(len(whole))]
    assert told.startswith(f"{1000 - len(whole)} lines of the log were dropped")
    assert last == "read again"
    lines.close()
    os.close(reading)
    os.close(writing)


def test_a_log_that_must_not_block_gets_whole_lines() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    lines = LogLines(writing)
    received: list[bytes] = []

    def write() -> None:
        for number in range(20):
            lines.write("info", f"{number:05d}" * 4000)  # 400 KB, more than a pipe holds
        lines.close()
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    while data := os.read(reading, 1 << 16):
        received.append(data)
    writer.join()
    os.close(reading)
    assert [json.loads(line)["message"][:5] for line in b"".join(received).splitlines()] == [
        f"{number:05d}" for number in range(20)
    ]


def test_standard_error_is_where_it_goes_by_default(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(
        "import subprocess, sys\nprint('hello')\nsys.stdout.reconfigure(line_buffering=True)\n"
        "subprocess.run(['echo', 'child'], stdout=sys.stdout, check=True)\n"
        "def run(data): return sys.stdout.isatty(), sys.stdout.encoding\n"
    )
    code = (
        "from pathlib import Path; from calotype.serving.entry.script import EntryScript\n"
        "EntryScript.load(Path('score.py')).close()\n"
        "print('given back')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "given back\n"
    first, second = done.stderr.splitlines()
    assert (json.loads(first)["message"], second) == ("hello", "child")


def test_the_streams_are_given_back(load: Any) -> None:
    before: tuple[Any, Callable[..., Any]] = (sys.stdout, logging.StreamHandler.emit)
    loaded = load("def run(data): return 1")
    assert sys.stdout is not before[0]
    loaded.script.close()
    assert (sys.stdout, logging.StreamHandler.emit) == before
