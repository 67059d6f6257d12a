"""Scripts with a plain `run(raw_data)`: each row of the table of the reference server."""

from __future__ import annotations

from typing import Any

import pytest

from calotype.serving.exchange import Answer
from calotype.serving.refusals import Refusal

ECHO = "def run(raw_data): return raw_data"
FORM = [(b"content-type", b"application/x-www-form-urlencoded")]
SCRIPT_ERROR = "An unexpected error occurred in scoring script. Check the logs for more info."
INTERNAL = "An unexpected internal error occurred. Check the logs for more info."


def header(answer: Answer | Refusal, name: bytes) -> bytes | None:
    found = [value for key, value in answer.headers if key == name]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", '""'),
        (b"  ", '"  "'),
        (b"{oops", '"{oops"'),
        (b"[1]", '"[1]"'),
        (b"null", '"null"'),
        ("ä😀".encode(), '"\\u00e4\\ud83d\\ude00"'),
    ],
)
def test_every_text_reaches_run(load: Any, body: bytes, text: str) -> None:
    answer = load(ECHO).send(body, headers=FORM)
    assert (answer.status, answer.body.decode(), answer.content_type) == (
        200,
        text,
        b"application/json",
    )


def test_a_success_tells_its_time_and_that_nothing_failed(load: Any) -> None:
    answer = load("import time\ndef run(data): time.sleep(0.02); return 1").send()
    assert header(answer, b"x-ms-run-function-failed") == b"False"
    took = header(answer, b"x-ms-run-fn-exec-ms") or b""
    assert 20 <= float(took) < 20_000  # in microseconds it would be more
    assert len(took.partition(b".")[2]) == 3


def test_bytes_that_are_no_text_are_refused(load: Any) -> None:
    refusal = load(ECHO).refusal(b"\xff")
    assert (refusal.status, refusal.message) == (
        400,
        "Input cannot be decoded as UTF-8: 'utf-8' codec can't decode byte 0xff in position 0: "
        "invalid start byte",
    )
    assert header(refusal, b"x-ms-run-function-failed") == b"False"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (b"", "{}"),
        (b"a=1&b=[1,2]&a=x", '{"a": [1, "x"], "b": [1, 2]}'),
        (b"a=1&b=[1,2]&c=a&d=null", '{"a": 1, "b": [1, 2], "c": "a", "d": null}'),
        (b"name=J%C3%BCrgen+M&flag", '{"name": "J\\u00fcrgen M", "flag": ""}'),
        (b"deep=" + b"[" * 5000, '{"deep": "' + "[" * 5000 + '"}'),
        (b"bad=%FF", '{"bad": "\\ufffd"}'),
    ],
)
def test_the_query_of_get_arrives_as_json(load: Any, query: bytes, text: str) -> None:
    loaded = load("seen = []\ndef run(data): seen.append(data); return data")
    loaded.send(method="GET", query=query)
    assert loaded.script._module.seen == [text]  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("statement", "trace"),
    [
        ("raise ValueError('secret')", "ValueError: secret"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("from werkzeug.exceptions import NotFound; raise NotFound", "NotFound"),
        ("import sys; sys.setrecursionlimit(300); run(data)", "RecursionError"),
    ],
)
def test_what_run_raises_stays_in_the_log(
    load: Any, statement: str, trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    limit = sys.getrecursionlimit()
    loaded = load(f"def run(data): {statement}")
    refusal = loaded.refusal("x")
    sys.setrecursionlimit(limit)
    assert (refusal.status, refusal.message) == (500, SCRIPT_ERROR)
    assert header(refusal, b"x-ms-run-function-failed") == b"True"
    assert header(refusal, b"x-ms-run-fn-exec-ms") is None
    (line,) = loaded.lines()
    assert trace in line["message"]
    assert (line["level"], line["request_id"]) == ("error", "r-1")


def test_the_next_request_after_a_failure_is_answered(load: Any) -> None:
    loaded = load("def run(data):\n if data == 'x': raise SystemExit\n return data")
    loaded.refusal("x")
    assert loaded.send("y").body == b'"y"'


def test_request_headers_have_their_usual_names(load: Any) -> None:
    loaded = load("def run(data, request_headers): return [data, request_headers]")
    sent = [(b"content-type", b"a/b"), (b"x-ms-thing", b"1"), (b"x-ms-thing", b"\xe4")]
    body = loaded.send("t", headers=sent).body
    assert body == b'["t", {"Content-Type": "a/b", "X-Ms-Thing": "1,\\u00e4"}]'


def test_run_may_have_defaults_and_any_name_for_its_argument(load: Any) -> None:
    loaded = load("def run(mini_batch, limit=3): return [mini_batch, limit]")
    assert loaded.send("t").body == b'["t", 3]'
    assert loaded.script.methods == {"GET", "POST"}
    assert loaded.script.contract is None
    assert not loaded.script.is_raw_http


def test_run_may_be_an_object(load: Any) -> None:
    source = "class Runner:\n def __call__(self, data): return data * 2\nrun = Runner()"
    assert load(source).send("ab").body == b'"abab"'
