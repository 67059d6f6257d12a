"""Traces in the log begin where the user's code does."""

from __future__ import annotations

from typing import Any

import pytest

from calotype.errors import ScriptFailed
from calotype.serving.entry import script as ours


def first_frame(trace: str) -> str:
    return next(line for line in trace.splitlines() if line.startswith("  File "))


@pytest.mark.parametrize(
    "text",
    [
        "def run(data):\n    return 1 / 0\n",
        "def run(data):\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n"
        "        raise ValueError('second') from e\n",
    ],
)
def test_a_trace_of_run_begins_in_the_script(load: Any, text: str) -> None:
    loaded = load(text)
    loaded.refusal()
    (trace,) = loaded.messages("error")
    assert "score.py" in first_frame(trace)
    assert "ZeroDivisionError" in trace
    assert ours.__file__ not in trace


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import absent_module\ndef run(data): pass\n", "absent_module"),
        ("def run(data: pass\n", "SyntaxError"),
        ("def init(): raise KeyError('weights')\ndef run(data): pass\n", "weights"),
    ],
)
def test_a_trace_of_the_start_begins_in_the_script(load: Any, text: str, said: str) -> None:
    with pytest.raises(ScriptFailed) as caught:
        load(text)
    trace = caught.value.trace
    assert said in trace
    assert "score.py" in first_frame(trace)
    assert "importlib" not in trace
    assert ours.__file__ not in trace


def test_an_interruption_ends_in_the_script(load: Any) -> None:
    loaded = load("import time\ndef run(data):\n    time.sleep(20)\n")
    loaded.refusal(timeout_ms=50)
    (trace,) = loaded.messages("error")
    files = [line for line in trace.splitlines() if line.startswith("  File ")]
    assert len(files) == 1
    assert "score.py" in files[0]
