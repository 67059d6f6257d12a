"""The time limit of `run`: it interrupts, is not swallowed, and never hits a later request."""

from __future__ import annotations

import os
import select
import time
from typing import Any

import pytest

from calotype.serving.entry.deadline import Deadline, Expired
from calotype.serving.entry.printing import LogLines
from calotype.serving.refusals import Refusal

FAILED = [(b"x-ms-run-function-failed", b"True")]


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(60)",
        "while True: pass",
        "sum(1 for _ in iter(int, 1))",
        # Scripts that go on whatever happens.
        "while True:\n  try: time.sleep(60)\n  except Exception: pass",
        "try: time.sleep(60)\n except BaseException: return 'swallowed'",
        "try: time.sleep(60)\n except BaseException as error: raise ValueError from error",
        "try: time.sleep(60)\n finally: print('tidied up')",
        "import subprocess; subprocess.run(['sleep', '60'])",
        "import threading; threading.Event().wait(60)",
        "while True: print('x' * 1000)",
    ],
)
def test_a_run_that_takes_too_long_is_interrupted(load: Any, body: str) -> None:
    loaded = load(f"import time\ndef run(data):\n if data: return data\n {body}")
    begin_s = time.monotonic()
    refusal = loaded.refusal("", timeout_ms=100)
    assert 0.09 < time.monotonic() - begin_s < 30  # of the minute that it would take
    assert (refusal.status, refusal.headers) == (504, FAILED)
    assert refusal.message == "Scoring timeout after 100 ms (scoring_timeout_ms)."
    assert any("took longer than 100 ms" in text for text in loaded.messages("error"))
    assert loaded.send("next").body == b'"next"'


def test_the_trace_tells_where_it_was_interrupted(load: Any) -> None:
    loaded = load("import time\ndef run(data): slowly()\ndef slowly(): time.sleep(60)")
    loaded.refusal(timeout_ms=50)
    assert "in slowly" in loaded.messages("error")[0]


def test_requests_just_below_the_limit_never_hit_the_next_one(load: Any) -> None:
    loaded = load("import time\ndef run(data): time.sleep(float(data)); return 1")
    outcomes: list[int] = []
    for _ in range(100):
        try:
            outcomes.append(loaded.send("0.002", timeout_ms=2).status)
        except Refusal as refusal:
            outcomes.append(refusal.status)
        assert loaded.send("0", timeout_ms=5000).status == 200
    assert set(outcomes) <= {200, 504}


def test_a_late_alarm_does_nothing(tmp_path: Any) -> None:
    deadline = Deadline(LogLines(2))
    assert deadline.call(int, {}, 5) == 0
    deadline._ring(14, None)  # pyright: ignore[reportPrivateUsage]
    assert not deadline.has_expired


def test_a_conversion_that_takes_too_long_is_a_timeout(load: Any) -> None:
    loaded = load("""
import time
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
class Slow(StandardPythonParameterType):
    def deserialize_input(self, input_data): time.sleep(60)
@input_schema("data", Slow("a"))
def run(data): return data
""")
    assert loaded.refusal('{"data": 1}', timeout_ms=50).status == 504


def test_no_line_of_the_log_is_broken_off(load: Any) -> None:
    loaded = load("def run(data):\n while True: print('x' * 30_000)")
    for _ in range(20):
        loaded.refusal(timeout_ms=5)
    assert len(loaded.messages("error")) == 20


def test_an_alarm_during_a_write_waits_for_its_end() -> None:
    reading, writing = os.pipe()
    lines = LogLines(writing)
    deadline = Deadline(lines)
    deadline.install()

    def write_and_go_on() -> None:
        end_s = time.monotonic() + 0.05
        while time.monotonic() < end_s:
            pass
        os.write(writing, b"whole")
        lines.is_writing = False
        while True:
            pass

    lines.is_writing = True  # already: the alarm may ring before the function has begun
    with pytest.raises(Expired):
        deadline.call(write_and_go_on, {}, 0.01)
    assert select.select([reading], [], [], 0)[0]
    assert os.read(reading, 1000) == b"whole"
    os.close(reading)
    os.close(writing)
