"""The log: what stands in it, and when."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Generator

import pytest

from calotype.serving.entry.printing import LogLines
from calotype.serving.exchange import Answer, Request
from calotype.serving.journal import Journal


@pytest.fixture
def pipe() -> Generator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def read(descriptor: int, *, within_s: float = 10.0) -> str:
    assert select.select([descriptor], [], [], within_s)[0], "nothing was written"
    return os.read(descriptor, 65_536).decode()


def test_facts_that_nobody_knows_are_left_out(pipe: tuple[int, int]) -> None:
    journal = Journal("json", file_descriptor=pipe[1])
    journal.write("worker died", pid=7, signal=None, exit_code=0)
    line = json.loads(read(pipe[0]))
    journal.close()
    assert set(line) == {"time", "level", "event", "pid", "exit_code"}


def test_lines_of_requests_are_written_without_being_asked_for(pipe: tuple[int, int]) -> None:
    journal = Journal("json", file_descriptor=pipe[1])
    for number in range(2):  # the second finds a thread that sleeps again
        journal.request(Request(request_id=f"r{number}"), Answer(), 1.0)
        assert json.loads(read(pipe[0]))["request_id"] == f"r{number}"
    journal.close()


def test_text_sends_a_terminal_nothing_but_text(pipe: tuple[int, int]) -> None:
    journal = Journal("text", file_descriptor=pipe[1])
    journal.request(Request(path="/a\n10:00:00 error: made up\x1b[2J"), Answer(404), 1.0)
    line = read(pipe[0])
    journal.close()
    assert "\x1b" not in line
    assert "\\x1b[2J" in line
    first, second = line.rstrip("\n").split("\n")
    assert " request request_id=" in first
    assert second.startswith("  10:00:00 error")


def test_a_script_s_lines_may_be_text(pipe: tuple[int, int]) -> None:
    lines = LogLines(pipe[1], "text")
    lines.request_id = "r1"
    lines.write("warning", "gr\u00f6\u00dfer \ud800\nthan expected")
    first, second = read(pipe[0]).rstrip("\n").split("\n")
    assert first[9:] == "warning: gr\u00f6\u00dfer \\ud800"
    assert second == f"  than expected request_id=r1 pid={os.getpid()}"
