"""Whatever JSON comes, a service without a script answers or refuses, and never breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import made_networks as made
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.serving.exchange import Request
from calotype.serving.no_code.onnx_service import OnnxService
from calotype.serving.refusals import Refusal
from calotype.serving.settings import ServiceSettings

NUMBERS = st.floats() | st.integers() | st.booleans() | st.none()
SCALARS = NUMBERS | st.text(max_size=5)
NESTED = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=30,
)
TABLES = st.lists(st.lists(NUMBERS, min_size=3, max_size=3), max_size=4)
VALUES = NESTED | TABLES | st.lists(NUMBERS, max_size=4) | st.lists(st.text(max_size=4), max_size=4)
NAMES = st.sampled_from(["data", "x", "numbers", "weight"])
BODIES = st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, max_size=3), max_size=3)

NETWORKS: dict[str, Callable[[Path], Path]] = {
    "two inputs": made.two_inputs,
    "two outputs": made.two_outputs,
    "floats": lambda path: made.identity(path, made.FLOAT, None),
    "whole": lambda path: made.identity(path, made.UINT8, [None]),
    "booleans": lambda path: made.identity(path, made.BOOL, [None, 3]),
    "texts": lambda path: made.identity(path, made.STRING, [None]),
}


@pytest.fixture(params=NETWORKS, scope="module")
def ask(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Callable[[bytes], tuple[int, bytes]]]:
    path = NETWORKS[request.param](tmp_path_factory.mktemp("network") / "m.onnx")
    loop = asyncio.new_event_loop()
    service = OnnxService(path, ServiceSettings())
    loop.run_until_complete(service.start())

    def ask(body: bytes) -> tuple[int, bytes]:
        asked = Request(body=body, headers=[(b"content-type", b"application/json")])
        try:
            answer = loop.run_until_complete(service.score(asked))
        except Refusal as refusal:
            return refusal.status, refusal.message.encode()
        return answer.status, answer.body

    yield ask
    loop.run_until_complete(service.stop())
    loop.close()


@settings(max_examples=60, deadline=None)
@given(body=BODIES)
def test_every_body_is_answered_or_refused(
    ask: Callable[[bytes], tuple[int, bytes]], body: dict[str, Any]
) -> None:
    status, reply = ask(json.dumps(body).encode("utf-8", "surrogatepass"))
    if status == 200:
        orjson.loads(reply)
    else:
        assert status in (400, 422)
        assert reply


HOSTILE = [
    b'{"data": ' + b"[" * 70 + b"]" * 70 + b"}",
    b'{"data": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}",
    b'{"data": ["\\ud800"]}',
    b'{"\\ud800": 1}',
    b'{"data": [1e999, -1e999]}',
    b'{"data": [18446744073709551616, -9223372036854775809]}',
    b'{"data": [18446744073709551615, -1]}',
    b'{"data": {"data": {"data": []}}}',
    b'{"data": 1, "data": [1]}',
]


@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_body_is_answered_or_refused(
    ask: Callable[[bytes], tuple[int, bytes]], body: bytes
) -> None:
    status, reply = ask(body)
    assert status in (200, 400, 422)
    reply.decode()


@settings(max_examples=30, deadline=None)
@given(body=st.binary(max_size=60))
def test_every_string_of_bytes_is_answered_or_refused(
    ask: Callable[[bytes], tuple[int, bytes]], body: bytes
) -> None:
    assert ask(body)[0] in (200, 400, 422)
