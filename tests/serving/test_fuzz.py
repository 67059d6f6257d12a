"""Twenty thousand requests that nobody would write, against real services over real sockets.

Whatever comes, the answer is whole, says what is wrong in the one form of all errors, shows neither
traces nor paths, and leaves no memory and no open file behind.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import urllib.parse
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import small_networks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from running import Program, serving, until
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.slow

KINDS = ("image", "script", "plain", "onnx")
BATCHES = 260  # of each kind, in one of the tests
BATCH = 20  # requests over one connection; all are sent before an answer is read
WARM_BATCHES = 60  # after that, memory has to stay
MEMORY_MARGIN_MB = (
    10.0  # measured: 2; caches of the allocators and of the interpreters of a whole service
)
SCRIPT = """
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

@input_schema("data", NumpyParameterType(np.zeros((1, 4))))
@input_schema("word", StandardPythonParameterType("a word"), optional=True)
@output_schema(StandardPythonParameterType([1.0]))
def run(data, word=""):
    return np.asarray(data, dtype=float).reshape(-1).tolist()
"""
# 503: too many at a time; 505: another HTTP. Nothing here makes a script raise.
INTENDED = {501, 503, 505}
LEAKS = re.compile(rb"Traceback|site-packages|/src/calotype|/tmp/|\.py\b")
WITHOUT_HEALTH_CHECKS = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=tuple(HealthCheck),  # pyright: ignore[reportArgumentType]
    print_blob=False,
)


@dataclass(slots=True)
class Tally:
    """How many answers came, by status, over all tests."""

    statuses: Counter[int] = field(default_factory=Counter[int])


@pytest.fixture(scope="module")
def tally() -> Tally:
    return Tally()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Program]]:
    """One service of each kind; at the end each stops cleanly."""
    folder = tmp_path_factory.mktemp("fuzz")
    small_networks.save_model(folder / "model")
    network = small_networks.save_network(folder / "network.onnx")
    script = folder / "score.py"
    script.write_text(SCRIPT)
    limits = ("--max-body-bytes", 100_000, "--max-request-wait-ms", 20_000, "--no-access-log")
    arguments: dict[str, tuple[object, ...]] = {
        "image": ("--model", folder / "model"),
        "script": ("--entry-script", script),
        "plain": ("--entry-script", script, "--isolation", "none"),
        "onnx": ("--model", network),
    }
    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(serving(folder, *arguments[kind], *limits)) for kind in KINDS
        }


def memory_mb(program: Program) -> float:
    """Return what all processes of a service hold, shared memory counted once."""
    total_kb = 0
    for pid in program.processes():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
            total_kb += int(found[1]) if found else 0
    return total_kb / 1024


def open_files(program: Program) -> int:
    count = 0
    for pid in program.processes():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            count += len(os.listdir(f"/proc/{pid}/fd"))
    return count


@dataclass(frozen=True, slots=True)
class Sent:
    """One request with its framing in order, whatever else it has."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def wire(self) -> bytes:
        """Return the request as it is sent."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = f"{self.method} {self.target} HTTP/1.1\r\nHost: h\r\n{lines}"
        length = f"Content-Length: {len(self.body)}\r\n\r\n"
        return (head + length).encode("latin-1") + self.body


def picture(kind: str, size: tuple[int, int] = (9, 7)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 90, 30)).save(buffer, kind)
    return buffer.getvalue()


PICTURES = [picture(kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]
DATA = "data:image/png;base64," + base64.b64encode(PICTURES[1]).decode()
SAMPLES = [
    {"data": [DATA]},
    {"data": [{"image": DATA, "id": 3}]},
    {"Inputs": {"WebServiceInput0": [{"image": DATA}]}, "GlobalParameters": {}},
    {"data": [[1, 2, 3, 4]]},
    {"data": [[1, 2, 3, 4]], "word": "x"},
    {"pixels": [[[[0.5] * 8] * 8] * 3]},
    {"data": [[[[0.5] * 8] * 8] * 3]},
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([DATA, "data:", "base64", 10**400, -0.0, "\0", "\ud800"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "image", "id", "Inputs", "word", "\ud800"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["Content-Type", "Accept", "Authorization", "Origin", "x-request-id", "x-ms-request-id",
     "x-ms-client-request-id", "TraceId", "Cookie", "Content-Encoding", "Accept-Encoding", "Range",
     "Access-Control-Request-Headers", "X-Forwarded-For", "X-HTTP-Method-Override", "Forwarded"]
) | st.text("abcXYZ09-_.!#$%&'*+^`|~", min_size=1, max_size=12)  # fmt: skip
TYPES = st.sampled_from(
    ["application/json", "application/json; charset=utf-16", "image/jpeg", "image/png", "text/csv",
     "application/octet-stream", "multipart/form-data; boundary=b", "multipart/form-data",
     "application/x-www-form-urlencoded", "application/json;;;=", "IMAGE/*", "*/*", ""]
)  # fmt: skip
LINE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"),
               max_size=20)  # fmt: skip
FORM = b'--b\r\nContent-Disposition: form-data; name="%b"; filename="f"\r\n\r\n%b\r\n--b--\r\n'


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


@st.composite
def mutated(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """Change, cut or double a part of a body that was in order."""
    body = draw(bodies)
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 40)))
    return body[:start] + draw(st.binary(max_size=6) | st.just(body[start:end] * 2)) + body[end:]


JSON = "application/json"
IN_ORDER = st.sampled_from(
    [
        *((JSON, as_json(sample)) for sample in SAMPLES),
        *(("image/png", picture) for picture in PICTURES),
        ("multipart/form-data; boundary=b", FORM % (b"image", PICTURES[1])),
    ]
)
GOOD = IN_ORDER.map(lambda pair: pair[1])
BODIES = st.one_of(
    GOOD,
    mutated(GOOD),
    VALUES.map(as_json),
    VALUES.map(lambda value: as_json({"data": value})),
    VALUES.map(lambda value: as_json({"data": [value]})),
    st.binary(max_size=60),
    st.integers(1, 900).map(lambda depth: b"[" * depth + b"]" * depth),
    st.just(b"x" * 100_001),
)
CONTENTS = st.one_of(
    IN_ORDER,
    st.tuples(st.just(JSON), BODIES),
    st.tuples(st.just(JSON), mutated(GOOD)),
    st.tuples(st.just("image/jpeg"), mutated(st.sampled_from(PICTURES))),
    st.tuples(TYPES, BODIES),
)
METHODS = st.sampled_from(
    ["POST"] * 30 + ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "LINK", "PURGE"]
)
STRANGE_PATHS = [
    "/", "/score/", "/swagger.json", "//score", "/%73core", "/score/..", "/%00", "/%ff", "/%",
    "/.well-known/jwks.json", "/*", "/score%0d%0ax",
]  # fmt: skip
PATHS = st.sampled_from(["/score"] * 40 + STRANGE_PATHS).flatmap(
    lambda path: st.just(path) if path != "/*" else st.text(max_size=8).map(
        lambda text: "/" + urllib.parse.quote(text, errors="replace")
    )
)  # fmt: skip
QUERIES = st.one_of(
    st.just(""),
    st.just(""),
    st.sampled_from(["?top=1", "?top=0", "?top=x", "?explain=true", "?version=3", "?version=",
                     "?data=[[1,2,3,4]]", "?a=1&a=2", "?=&&=", "?%ff=%00", "?" + "q" * 9000]),
    st.text("abc=&%+[]0123456789", max_size=20).map(lambda text: "?" + text),
)  # fmt: skip


@st.composite
def requests_in_order(draw: st.DrawFn) -> Sent:
    """Make one request whose framing is in order, whatever else it has."""
    kind, body = draw(CONTENTS)
    more = draw(st.lists(st.tuples(NAMES, LINE), max_size=3))
    target = draw(PATHS) + draw(QUERIES)
    return Sent(draw(METHODS), target, (("Content-Type", kind), *more), body)


REQUESTS = requests_in_order()


@dataclass(frozen=True, slots=True)
class Got:
    """One answer off the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with it."""
        return self.headers.get("connection") == "close"


def read_answer(stream: io.BufferedReader, method: str) -> Got | None:
    """Read one answer; None when the connection has ended instead."""
    line = stream.readline()
    if not line:
        return None
    assert re.match(rb"HTTP/1\.1 \d{3} ", line), line
    headers: dict[str, str] = {}
    while (header := stream.readline()) != b"\r\n":
        name, found, value = header.decode("latin-1").rstrip("\r\n").partition(": ")
        assert found, header
        headers[name.lower()] = value
    has_body = method != "HEAD" and line[9:12] not in (b"204", b"304")
    body = stream.read(int(headers["content-length"])) if has_body else b""
    return Got(int(line[9:12]), headers, body)


def check(got: Got, sent: object, method: str) -> None:
    """Check what holds for the answer to anything."""
    assert got.status < 500 or got.status in INTENDED, (got, sent)
    assert not LEAKS.search(got.body), (got, sent)
    is_json = got.headers.get("content-type") == "application/json"
    if got.status >= 400:
        assert is_json, (got, sent)
        if method != "HEAD":
            document = json.loads(got.body)
            assert set(document) == {"status_code", "message", "request_id"}, (got, sent)
            assert document["status_code"] == got.status
            assert document["message"]
            assert isinstance(document["request_id"], str)
    elif is_json and method != "HEAD":
        json.loads(got.body, parse_constant=_no_constant)


def _no_constant(text: str) -> object:
    raise AssertionError(f"{text} is no JSON")


def converse(program: Program, batch: list[Sent], tally: Tally) -> None:
    """Send requests without waiting for answers, over again where a connection ended."""
    while batch:
        with program.connect() as line, line.makefile("rb") as stream:
            _send(line, b"".join(one.wire() for one in batch))
            for index, one in enumerate(batch):
                got = read_answer(stream, one.method)
                assert got is not None, ("no answer", one)
                check(got, one, one.method)
                tally.statuses[got.status] += 1
                if got.is_last:
                    batch = batch[index + 1 :]
                    break
            else:
                return


def _send(line: socket.socket, data: bytes) -> None:
    # It may be refused before all of it has gone; the answer is there to be read.
    with suppress(BrokenPipeError, ConnectionResetError):
        line.sendall(data)


@contextmanager
def nothing_left(program: Program, warm: Callable[[], None]) -> Generator[None]:
    """Check that what happens costs a service neither memory nor open files for good."""
    files = open_files(program)
    warm()
    before_mb = memory_mb(program)
    yield
    until(lambda: open_files(program) <= files, "the closing of all files")
    after_mb = memory_mb(program)
    assert after_mb < before_mb + MEMORY_MARGIN_MB, f"{before_mb:.1f} MB became {after_mb:.1f} MB"


@pytest.mark.parametrize("kind", KINDS)
def test_requests_in_good_framing(services: dict[str, Program], tally: Tally, kind: str) -> None:
    program = services[kind]

    def run(batches: int) -> None:
        @settings(WITHOUT_HEALTH_CHECKS, max_examples=batches)
        @given(st.lists(REQUESTS, min_size=BATCH, max_size=BATCH))
        def attack(batch: list[Sent]) -> None:
            converse(program, batch, tally)

        attack()

    with nothing_left(program, lambda: run(WARM_BATCHES)):
        run(BATCHES)
    assert program.ask("GET", "/").body == b"Healthy"


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_in_no_framing_at_all(services: dict[str, Program], tally: Tally, kind: str) -> None:
    program = services[kind]
    lines = st.sampled_from(
        [b"POST /score HTTP/1.1\r\n", b"Host: h\r\n", b"Content-Length: 3\r\n", b"\r\n", b"abc",
         b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"GET / HTTP/1.0\r\n",
         b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"\n", b"\0",
         b"Transfer-Encoding: gzip, chunked\r\n", b" folded\r\n", b"Expect: 100-continue\r\n",
         b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
         b"\x16\x03\x01\x02\x00", b"GET http://h/score HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n",
         b"Connection: close\r\n", b"x: " + b"y" * 70_000 + b"\r\n", b"a:b\r\n" * 101,
         b"GET /" + b"z" * 9000 + b" HTTP/1.1\r\n", b"ffffffff\r\n", b"3;ext=" + b"e" * 100]
    )  # fmt: skip
    soup = st.one_of(
        st.lists(lines | st.binary(max_size=8), max_size=14).map(b"".join),
        mutated(REQUESTS.map(Sent.wire)),
    )

    @settings(WITHOUT_HEALTH_CHECKS, max_examples=400)
    @given(soup)
    def attack(data: bytes) -> None:
        with program.connect() as line:
            line.settimeout(60)
            _send(line, data)
            answered = b""
            with suppress(OSError):  # it may have been closed already
                line.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while part := line.recv(65_536):
                    answered += part
        answered = answered.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        assert not LEAKS.search(answered), (data, answered)
        for status in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answered, re.MULTILINE):
            assert int(status) < 500 or int(status) in INTENDED, (data, answered)
            tally.statuses[int(status)] += 1

    with nothing_left(program, lambda: None):
        attack()
    assert program.ask("GET", "/").body == b"Healthy"


@pytest.mark.parametrize("version", ["2", "3", "3.1"])
@pytest.mark.parametrize("kind", ["image", "script", "onnx"])
def test_the_service_is_as_its_document_says(
    services: dict[str, Program], tally: Tally, kind: str, version: str
) -> None:
    program = services[kind]
    base = f"http://127.0.0.1:{program.port}"
    schema = schemathesis.openapi.from_url(f"{base}/swagger.json?version={version}")
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    results: list[Any] = list(schema.get_all_operations())
    operations = [result.ok() for result in results]
    assert {"/", "/score"} <= {operation.path for operation in operations}
    with requests.Session() as session:
        for operation in operations:
            takes = bool(list(operation.body) or list(operation.query))
            modes = [GenerationMode.POSITIVE, *[GenerationMode.NEGATIVE] * takes]
            for mode in modes:

                @settings(WITHOUT_HEALTH_CHECKS, max_examples=40)
                @given(operation.as_strategy(generation_mode=mode))
                def attack(case: Any) -> None:
                    answer = case.call(base_url=base, session=session)
                    case.validate_response(answer, checks=checks)
                    tally.statuses[answer.status_code] += 1

                attack()


def test_twenty_thousand_requests_were_answered(tally: Tally) -> None:
    """Runs last: everything above has counted."""
    assert tally.statuses.total() >= 20_000, tally
    assert set(tally.statuses) >= {200, 400, 404, 405, 413, 414}, tally
    print(tally)  # noqa: T201 - for people who run it with -s
