"""ONNX files as services: right numbers, clear refusals, limits of the queue and of time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import made_networks as made
import numpy as np
import pytest
from openapi_spec_validator import validate

from calotype import errors
from calotype.serving.exchange import Answer, Request
from calotype.serving.no_code.onnx_service import OnnxService
from calotype.serving.openapi.builders import BaseAddress
from calotype.serving.openapi.documents import Documents
from calotype.serving.openapi.schemas import mismatch
from calotype.serving.refusals import Refusal
from calotype.serving.settings import ServiceSettings

Result = TypeVar("Result")

SETTINGS = ServiceSettings()
# So long that no pause of the event loop lets it come to its end by itself.
FOR_SECONDS = {"data": [[1_000_000]]}
CONTENT_TYPE = (b"content-type", b"application/json")
ROWS = np.random.default_rng(0).normal(size=(2, 10))


def request(body: Any) -> Request:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(body=content, headers=[CONTENT_TYPE])


def with_service(
    path: Path,
    use: Callable[[OnnxService], Awaitable[Result]],
    settings: ServiceSettings = SETTINGS,
    threads: int = 0,
) -> Result:
    async def run() -> Result:
        service = OnnxService(path, settings, threads=threads)
        await service.start()
        try:
            return await use(service)
        finally:
            await service.stop()

    return asyncio.run(run())


def score(path: Path, body: Any) -> Any:
    answer = with_service(path, lambda service: service.score(request(body)))
    assert answer.status == 200
    return json.loads(answer.body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def refusal(path: Path, body: Any, status: int = 400) -> str:
    with pytest.raises(Refusal) as refused:
        with_service(path, lambda service: service.score(request(body)))
    assert refused.value.status == status
    return refused.value.message


def test_ridge_gives_its_numbers(tmp_path: Path) -> None:
    got = score(made.ridge(tmp_path / "m.onnx"), {"data": ROWS.tolist()})
    wanted = ROWS @ made.COEFFICIENTS[:, None] + made.INTERCEPT
    assert np.allclose(got, wanted, atol=1e-4)


def test_small_bodies_stay_on_the_event_loop_and_large_ones_do_not(tmp_path: Path) -> None:
    async def use(service: OnnxService) -> tuple[dict[str, float], dict[str, float]]:
        small, large = request({"data": ROWS.tolist()}), request({"data": [[0.5] * 10] * 3000})
        assert 1000 < service.loop_bytes < len(large.body)
        await service.score(small)
        assert len(json.loads((await service.score(large)).body)) == 3000
        return small.timings, large.timings

    small, large = with_service(made.ridge(tmp_path / "m.onnx"), use)
    assert {*small} == {"decode", "infer", "encode"}
    assert {*large} == {"queue", "decode", "infer", "encode"}


def test_input_may_be_named(tmp_path: Path) -> None:
    path = made.ridge(tmp_path / "m.onnx")
    rows = ROWS.tolist()
    assert (
        score(path, {"data": rows})
        == score(path, {"features": rows})
        == score(path, {"data": {"features": rows}})
    )


@pytest.mark.parametrize("wrapped", [True, False])
def test_several_inputs_are_taken_by_name(tmp_path: Path, wrapped: bool) -> None:
    named = {"numbers": [[1, 2, 3], [4, 5, 6]], "weight": [[10], [0.5]]}
    body = {"data": named} if wrapped else named
    assert score(made.two_inputs(tmp_path / "m.onnx"), body) == [[10, 20, 30], [2, 2.5, 3]]


def test_several_outputs_come_by_name(tmp_path: Path) -> None:
    got = score(made.two_outputs(tmp_path / "m.onnx"), {"data": [[1, 3, 2], [9, 0, 0]]})
    assert got == {"largest": [3.0, 9.0], "place": [1, 0]}


@pytest.mark.parametrize(
    ("labels", "names"),
    [({"classlabels_strings": ["a", "b"]}, "ab"), ({"classlabels_int64s": [3, 7]}, "37")],
)
def test_probabilities_by_class_are_objects(
    tmp_path: Path, labels: dict[str, Any], names: str
) -> None:
    got = score(made.zipmap(tmp_path / "m.onnx", **labels), {"data": [[0.25, 0.75]]})
    assert got == [{names[0]: 0.25, names[1]: 0.75}]


def test_texts_go_in_and_come_out(tmp_path: Path) -> None:
    path = made.identity(tmp_path / "m.onnx", made.STRING, [None, 2])
    texts = [["é", '"'], ["", "long " * 100]]
    assert score(path, {"data": texts}) == texts


def test_what_is_no_number_becomes_null(tmp_path: Path) -> None:
    path = made.square_roots(tmp_path / "m.onnx")
    assert score(path, {"data": [4, -1, 1e38, None]}) == [2, None, pytest.approx(1e19), None]


def test_single_value_comes_out(tmp_path: Path) -> None:
    assert score(made.identity(tmp_path / "m.onnx", made.FLOAT, []), {"data": 2.5}) == 2.5


def test_whole_numbers_may_be_written_with_a_point(tmp_path: Path) -> None:
    path = made.identity(tmp_path / "m.onnx", made.INT64, [None])
    assert score(path, {"data": [1.0, -2, 1 << 52]}) == [1, -2, 1 << 52]


@pytest.mark.parametrize("body", [b'{"data": [[1, NaN]]}', '\ufeff{"data": [[1, 2]]}'.encode()])
def test_what_only_the_slow_reader_knows_is_taken(tmp_path: Path, body: bytes) -> None:
    path = made.identity(tmp_path / "m.onnx", made.FLOAT, [None, 2])
    assert score(path, body)[0][0] == 1


RIDGE = "Input 'features': expected float32 of shape (any, 10)."
WRONG_ROWS: dict[str, tuple[Any, str]] = {
    "row too short": ([[1.0] * 9], f"{RIDGE} Got shape (1, 9)."),
    "no rows": ([1.0] * 10, f"{RIDGE} Got shape (10)."),
    "empty": ([], f"{RIDGE} Got shape (0)."),
    "too deep": ([[[1.0] * 10]], f"{RIDGE} Got shape (1, 1, 10)."),
    "ragged": ([[1.0] * 10, [1.0] * 9], f"{RIDGE} Got 10 values in row 0 and 9 values in row 1."),
    "text": ([["1"] * 10], f"{RIDGE} Got texts or objects."),
    "some text": ([[1.0] * 9 + ["a"]], f"{RIDGE} Got texts or objects."),
    "booleans": ([[True] * 10], f"{RIDGE} Got booleans."),
    "records": ([{"age": 1}], f"{RIDGE} Got texts or objects."),
    "objects": ([{}], f"{RIDGE} Got values of several types, or null."),
    "too large": ([[1e300] * 10], f"{RIDGE} Got a number that is too large."),
    "null": (None, f"{RIDGE} Got shape ()."),
}


@pytest.mark.parametrize("kind", WRONG_ROWS)
def test_wrong_rows_are_refused_with_what_was_expected(tmp_path: Path, kind: str) -> None:
    rows, message = WRONG_ROWS[kind]
    assert refusal(made.ridge(tmp_path / "m.onnx"), {"data": rows}) == message


WRONG_BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "POST body is empty. Expecting a JSON dictionary."),
    "blank": (b"  ", "POST body could not be decoded as JSON: Expecting value: line 1 column 3"),
    "array": (b"[1]", "POST body should be a JSON dictionary."),
    "no data": (b"{}", "A value is not provided for the 'data' parameter."),
    "broken": (b"{a}", "POST body could not be decoded as JSON: Expecting property name"),
    "no text": (b"\xff\xfe\xff", "Input cannot be decoded as UTF-8: "),
    "deep": (
        b'{"data":' + b"[" * 100_000,
        "POST body could not be decoded as JSON: nested too",
    ),
    "long number": (b'{"data":' + b"1" * 5000 + b"}", ""),
    "unknown": (b'{"data": [], "extra": 1}', "Expected 'data'. Got 'extra', which"),
}


@pytest.mark.parametrize("kind", WRONG_BODIES)
def test_wrong_bodies_are_refused_in_the_known_words(tmp_path: Path, kind: str) -> None:
    body, message = WRONG_BODIES[kind]
    assert message in refusal(made.ridge(tmp_path / "m.onnx"), body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"data": {"numbers": [[1, 2, 3]]}}, "A value is not provided for the 'weight' parameter."),
        ({"data": {"numbers": [], "weight": [], "x": 1}}, "Expected 'numbers', 'weight'. Got 'x'"),
        ({"data": [[1, 2, 3]]}, "Expected 'numbers', 'weight'. Got 'data'"),
        ({"numbers": [[1, 2, 3]], "weight": [["a"]]}, "Input 'weight': expected float32 of shape"),
        ({"numbers": [[1, 2, 3]] * 2, "weight": [[1]] * 3}, "'numbers' (2, 3), 'weight' (3, 1)"),
    ],
)
def test_wrong_names_are_refused(tmp_path: Path, body: Any, message: str) -> None:
    status = 422 if "(3, 1)" in message else 400
    assert message in refusal(made.two_inputs(tmp_path / "m.onnx"), body, status)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (made.INT64, [1.5], "Input 'x': expected int64 of shape (any). Got numbers."),
        (made.UINT8, [256], "Got 256, outside of 0 to 255."),
        (made.UINT8, [-1], "Got -1, outside of 0 to 255."),
        (made.BOOL, [1], "Got whole numbers."),
        (
            made.STRING,
            [1],
            "expected string of shape (any). Got integer among the texts.",
        ),
        (made.STRING, [None], "Got null among the texts."),
        (made.STRING, [["a"]], "Got shape (1, 1)."),
        (made.STRING, [["a"], ["a", "b"]], "Got 1 values in row 0 and 2 values in row 1."),
    ],
)
def test_values_of_other_types_are_refused(
    tmp_path: Path, kind: int, value: Any, message: str
) -> None:
    assert message in refusal(made.identity(tmp_path / "m.onnx", kind, [None]), {"data": value})


def test_texts_among_numbers_do_not_fill_the_memory(tmp_path: Path) -> None:
    # numpy would make an array of 100,001 texts of a million characters each: 400 GB.
    body = {"data": [["x" * 1_000_000] + [1.0] * 100_000]}
    assert "Got texts" in refusal(made.ridge(tmp_path / "m.onnx"), body)


@pytest.mark.parametrize("content_type", [b"", b"text/plain", b"multipart/form-data"])
def test_other_content_types_are_415(tmp_path: Path, content_type: bytes) -> None:
    asked = Request(body=b'{"data": []}', headers=[(b"content-type", content_type)])
    with pytest.raises(Refusal, match=r"^Expects Content-Type to be application/json$") as refused:
        with_service(made.ridge(tmp_path / "m.onnx"), lambda service: service.score(asked))
    assert refused.value.status == 415


@pytest.mark.parametrize("network", ["ridge", "two_inputs", "two_outputs", "zipmap"])
def test_example_of_the_contract_is_scored_and_fits(tmp_path: Path, network: str) -> None:
    labels = {"classlabels_strings": ["a", "b"]} if network == "zipmap" else {}
    path = getattr(made, network)(tmp_path / "m.onnx", **labels)

    async def use(service: OnnxService) -> None:
        contract = service.contract
        assert mismatch(contract.input["example"], contract.input, {}) == ""
        answer = await service.score(request(contract.input["example"]))
        assert mismatch(json.loads(answer.body), contract.output, {}) == ""
        documents = Documents(contract, name="net", base=BaseAddress("http", "127.0.0.1"))
        for version in contract.versions:
            validate(json.loads(documents.document(version)))

    with_service(path, use)


def test_heavy_network_runs_in_the_threads(tmp_path: Path) -> None:
    async def use(service: OnnxService) -> int:
        await asyncio.gather(*(service.score(request({"data": [[0]]})) for _ in range(8)))
        return service.loop_bytes

    assert with_service(made.slow(tmp_path / "m.onnx", 300), use) == 0


def outcomes(path: Path, count: int, **settings: Any) -> list[Answer | BaseException]:
    async def use(service: OnnxService) -> list[Answer | BaseException]:
        asked = [service.score(request({"data": [[0]]})) for _ in range(count)]
        return await asyncio.gather(*asked, return_exceptions=True)

    return with_service(path, use, ServiceSettings(**settings), threads=1)


def statuses(found: list[Answer | BaseException]) -> list[int]:
    return [one.status for one in found if isinstance(one, Answer | Refusal)]


def test_json_may_be_nested_only_so_deep(tmp_path: Path) -> None:
    settings = ServiceSettings(max_json_depth=2)
    within, beyond = (request(body) for body in (b'{"data": []}', b'{"data": [[%d]]}' % 10**100))

    async def use(service: OnnxService) -> tuple[str, str]:
        async def refused(asked: Request) -> str:
            with pytest.raises(Refusal) as found:
                await service.score(asked)
            assert found.value.status == 400
            return found.value.message

        return await refused(within), await refused(beyond)

    shallow, deep = with_service(made.slow(tmp_path / "m.onnx", 1), use, settings)
    assert "max_json_depth" not in shallow
    assert deep.endswith("nested deeper than 2 levels (max_json_depth)")


def test_callers_who_have_left_free_their_thread_and_their_place(tmp_path: Path) -> None:
    class Connection:
        disconnected = True

    async def use(service: OnnxService) -> list[type]:
        service.loop_bytes = 0
        asked = [request(FOR_SECONDS) for _ in range(2)]
        for one in asked:
            one.connection = Connection()
        found = await asyncio.gather(*map(service.score, asked), return_exceptions=True)
        return [type(one) for one in found]

    settings = ServiceSettings(max_request_wait_ms=60_000)
    found = with_service(made.slow(tmp_path / "m.onnx"), use, settings, threads=1)
    assert found == [Refusal] * 2


def test_full_queue_is_503(tmp_path: Path) -> None:
    path = made.slow(tmp_path / "m.onnx", 300)
    found = outcomes(path, 5, max_queued_requests=2, max_request_wait_ms=60_000)
    assert statuses(found) == [200, 200, 200, 503, 503]
    assert isinstance(found[-1], Refusal)
    assert (b"retry-after", b"1") in found[-1].headers


def test_turn_that_does_not_come_is_503(tmp_path: Path) -> None:
    connection = SimpleNamespace(disconnected=False)

    async def use(service: OnnxService) -> str:
        service.loop_bytes = 0
        asked = [request(FOR_SECONDS) for _ in range(2)]
        asked[0].connection = connection
        first, second = (asyncio.create_task(service.score(one)) for one in asked)
        with pytest.raises(Refusal) as refused:
            await second
        assert refused.value.status == 503
        assert not first.done()
        connection.disconnected = True
        await asyncio.wait({first})
        return refused.value.message

    path, settings = made.slow(tmp_path / "m.onnx"), ServiceSettings(max_request_wait_ms=1)
    assert "max_request_wait_ms" in with_service(path, use, settings, threads=1)


def test_scoring_past_its_time_is_504_and_stopped(tmp_path: Path) -> None:
    path = made.slow(tmp_path / "m.onnx")

    async def use(service: OnnxService) -> list[int]:
        service.loop_bytes = 0
        asked = [service.score(request(FOR_SECONDS)) for _ in range(2)]
        return statuses(await asyncio.gather(*asked, return_exceptions=True))

    settings = ServiceSettings(scoring_timeout_ms=1, max_request_wait_ms=60_000)
    assert with_service(path, use, settings, threads=1) == [504, 504]


def test_what_is_no_network_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no network")

    async def start() -> None:
        service = OnnxService(tmp_path / "m.onnx", SETTINGS)
        with pytest.raises(errors.CorruptModel):
            await service.start()
        assert service.state == "failed"
        await service.stop()

    asyncio.run(start())
