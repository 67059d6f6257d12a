"""Scripts with schema decorators, with the real package: texts, conversions, mistakes."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

IMPORTS = """
import datetime
import numpy as np
import pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
"""
NUMPY = (
    IMPORTS
    + """
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data):
    assert isinstance(data, np.ndarray)
    return data.sum(axis=1).tolist()
"""
)
NOT_JSON = "POST body could not be decoded as JSON: "


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"data": [[1, 2], [3, 4]]}', "[3.0, 7.0]"),
        (b'{"data": [[1, 2]], "more": 1}', "[3.0]"),
        (b'{"data": [[9, 9]], "data": [[1, 2]]}', "[3.0]"),
        (b'{"data": [["1", 2.5]]}', "[3.5]"),
        (b'\xef\xbb\xbf{"data": [[1, 2]]}', "[3.0]"),
        ('{"data": [[1, 2]]}'.encode("utf-16"), "[3.0]"),
        ('{"data": [[1, 2]]}'.encode("utf-32-le"), "[3.0]"),
        (b'{"data": [[NaN, 1], [Infinity, 1]]}', "[null, null]"),
        (
            b'{"data": [[1e400, 1], [123456789012345678901234567890, 0]]}',
            "[null, 1.2345678901234568e+29]",
        ),
        (json.dumps({"data": [[1, 2]], "more": "[{" * 500}).encode(), "[3.0]"),
        (json.dumps({"data": [[1, 2]] * 500}).encode(), json.dumps([3.0] * 500)),
    ],
)
def test_a_body_is_converted(load: Any, body: bytes, result: str) -> None:
    assert load(NUMPY).send(body).body.decode() == result


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "POST body is empty. Expecting a JSON dictionary."),
        (b"  ", NOT_JSON + "Expecting value: line 1 column 3 (char 2)"),
        (
            b"{oops",
            NOT_JSON
            + "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (b"[[1, 2]]", "POST body should be a JSON dictionary."),
        (b'"text"', "POST body should be a JSON dictionary."),
        (b"null", "POST body should be a JSON dictionary."),
        (b"{}", "A value is not provided for the 'data' parameter."),
        (
            b"\xff",
            "Input cannot be decoded as UTF-8: 'utf-8' codec can't decode byte 0xff in position 0: "
            "invalid start byte",
        ),
        (
            b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            NOT_JSON + "nested deeper than 64 levels (max_json_depth)",
        ),
        (
            b'{"text": "[", "data": ' + b"[" * 65 + b"]" * 65 + b"}",
            NOT_JSON + "nested deeper than 64 levels (max_json_depth)",
        ),
        (b"[" * 100_000, NOT_JSON + "nested too deeply"),
        (b'{"data": [[1, ' + b"9" * 5000 + b"]]}", NOT_JSON + "an integer has too many digits"),
    ],
    ids=range(12),
)
def test_a_body_that_is_no_json_object_is_refused(load: Any, body: bytes, message: str) -> None:
    loaded = load(NUMPY)
    refusal = loaded.refusal(body)
    assert (refusal.status, refusal.message) == (400, message)
    assert refusal.headers == [(b"x-ms-run-function-failed", b"False")]
    assert loaded.lines() == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            "[[1, 2, 3]]",
            "Invalid input array: array has size 3 on dimension #1, while expected value is 2",
        ),
        ("[1, 2]", "Invalid input array: an array with 2 dimensions is expected"),
        ("[]", "Invalid input array: an array with 2 dimensions is expected"),
        ("[[]]", "Invalid input array: array has size 0 on dimension #1"),
        ("[[1], [2, 3]]", "setting an array element with a sequence"),
        ('[["a", 2]]', "could not convert string to float: 'a'"),
        ('"text"', "Invalid input format: expected an array of items"),
        ('{"a": 1}', "Invalid input format: expected an array of items"),
        ("null", "Invalid input format: expected an array of items"),
        ('[[{"a": 1}, 2]]', "dict"),
    ],
)
def test_a_value_of_the_wrong_form_is_the_callers_mistake(
    load: Any, data: str, reason: str
) -> None:
    loaded = load(NUMPY)
    refusal = loaded.refusal(f'{{"data": {data}}}')
    assert refusal.status == 400
    assert refusal.message.startswith(
        "The value of 'data' does not fit the schema of this service: "
    )
    assert reason in refusal.message
    assert refusal.headers == [(b"x-ms-run-function-failed", b"False")]
    assert loaded.messages("error") == []


def test_an_error_of_the_script_stays_one_whatever_it_is(load: Any) -> None:
    loaded = load(NUMPY.replace("return", "raise ValueError('Invalid input array') #"))
    refusal = loaded.refusal('{"data": [[1, 2]]}')
    assert refusal.status == 500
    assert refusal.headers == [(b"x-ms-run-function-failed", b"True")]
    assert "ValueError: Invalid input array" in loaded.messages("error")[0]


def test_a_conversion_inside_of_the_script_is_the_scripts_error(load: Any) -> None:
    source = (
        NUMPY.replace("def run", "def inner")
        + """
@input_schema("data", StandardPythonParameterType(1))
def run(data): return inner([[data]])
"""
    )
    assert load(source).refusal('{"data": 1}').status == 500


@pytest.mark.parametrize(
    ("content_type", "is_taken"),
    [
        (b"application/json", True),
        (b"application/json; charset=", True),
        (b"Application/JSON;charset=utf-8", True),
        (b"application/vnd.x+json", True),
        (b"text/json", False),
        (b"text/plain", False),
        (b"multipart/form-data; boundary=x", False),
        (b"\xff", False),
        (None, False),
    ],
)
def test_the_content_type_must_be_json(
    load: Any, content_type: bytes | None, is_taken: bool
) -> None:
    headers = [] if content_type is None else [(b"content-type", content_type)]
    loaded = load(NUMPY)
    if is_taken:
        assert loaded.send(b'{"data": [[1, 2]]}', headers=headers).status == 200
        return
    for body in (b'{"data": [[1, 2]]}', b""):
        refusal = loaded.refusal(body, headers=headers)
        assert (refusal.status, refusal.message) == (
            415,
            "Expects Content-Type to be application/json",
        )


def test_get_takes_the_parameters_from_the_query(load: Any) -> None:
    loaded = load(NUMPY)
    assert loaded.send(method="GET", query=b"data=[[1,2]]", headers=[]).body == b"[3.0]"
    assert loaded.refusal(method="GET", headers=[]).message == (
        "A value is not provided for the 'data' parameter."
    )


def test_the_contract_comes_from_the_decorators(load: Any) -> None:
    contract = load(NUMPY).script.contract
    assert contract is not None
    json.dumps(contract)


def test_a_script_that_cannot_be_described_scores_all_the_same(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("no such type")

    load(NUMPY)  # the module is there now
    name = "calotype.serving.openapi.script_contract"
    monkeypatch.setattr(sys.modules[name], "contract_of", fail)
    loaded = load(NUMPY)
    assert loaded.script.contract is None
    assert loaded.send('{"data": [[1, 2]]}').body == b"[3.0]"
    assert "no such type" in loaded.messages("error")[0]


def test_optional_parameters_and_headers(load: Any) -> None:
    loaded = load(
        IMPORTS
        + """
@input_schema("limit", StandardPythonParameterType(1), optional=True)
@input_schema("data", StandardPythonParameterType([1]))
def run(data, request_headers, limit=7):
    return [data, limit, request_headers["X-A"]]
"""
    )
    headers = [(b"content-type", b"application/json"), (b"x-a", b"1")]
    assert loaded.send('{"data": [1]}', headers=headers).body == b'[[1], 7, "1"]'
    assert loaded.send('{"data": [1], "limit": 2}', headers=headers).body == b'[[1], 2, "1"]'
    refusal = loaded.refusal('{"data": [1], "limit": "x"}', headers=headers)
    assert "The value of 'limit' does not fit" in refusal.message


def test_nested_parameters_as_power_bi_sends_them(load: Any) -> None:
    loaded = load(
        IMPORTS
        + """
when = [pd.Timestamp("2020-01-02")]
frame = PandasParameterType(pd.DataFrame({"age": [1], "name": ["x"], "when": when}))
@input_schema("Inputs", StandardPythonParameterType({"input1": frame}))
@input_schema("GlobalParameters", StandardPythonParameterType(1.0))
def run(Inputs, GlobalParameters):
    table = Inputs["input1"]
    assert isinstance(table, pd.DataFrame), table
    return {"Results": {"rows": len(table), "kinds": table.dtypes.astype(str).tolist()}}
"""
    )
    row = {"age": 3, "name": "y", "when": "2021-02-03T00:00:00"}
    body = json.dumps({"Inputs": {"input1": [row, row]}, "GlobalParameters": 1})
    result = json.loads(loaded.send(body).body)["Results"]
    assert result["rows"] == 2
    assert result["kinds"][0] == "int64"
    assert result["kinds"][2].startswith("datetime64")
    wrong = json.dumps({"Inputs": {"input1": [{"age": "x"}]}, "GlobalParameters": 1})
    assert "The value of 'Inputs.input1' does not fit" in loaded.refusal(wrong).message


@pytest.mark.parametrize("orient", ["records", "split", "index", "columns", "values"])
def test_pandas_in_each_orientation(load: Any, orient: Any) -> None:
    import pandas as pd

    loaded = load(
        IMPORTS
        + f"""
@input_schema("data", PandasParameterType(pd.DataFrame({{"a": [1], "b": [0.5]}}), orient={orient!r},
    enforce_column_type={orient != "values"}))
def run(data): return [list(map(str, data.columns)), data.values.tolist()]
"""
    )
    text = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}).to_json(orient=orient)
    columns = ["0", "1"] if orient == "values" else ["a", "b"]
    body = json.loads(loaded.send(f'{{"data": {text}}}').body)
    assert body == [columns, [[1.0, 0.5], [2.0, 1.5]]]
    assert loaded.refusal('{"data": 5}').status == 400


@pytest.mark.parametrize(
    ("sample", "value", "result"),
    [
        ("datetime.date(2020, 1, 2)", '"2021-02-03"', '"2021-02-03"'),
        ("datetime.datetime(2020, 1, 2)", '"2021-02-03 04:05:06"', '"2021-02-03T04:05:06"'),
        ("datetime.time(1, 2)", '"04:05:06"', '"04:05:06"'),
        ("b'x'", '"aGk="', '"aGk="'),
        ("1", "2", "2"),
        ("1.5", "2", "2"),
        ("'a'", '"b"', '"b"'),
        ("True", "false", "false"),
        ("[1]", "[2, 3]", "[2, 3]"),
        ("{'a': 1}", '{"b": 2}', '{"b": 2}'),
    ],
)
def test_standard_types(load: Any, sample: str, value: str, result: str) -> None:
    loaded = load(
        IMPORTS
        + f"""
@input_schema("data", StandardPythonParameterType({sample}))
def run(data): return data
"""
    )
    assert loaded.send(f'{{"data": {value}}}').body.decode() == result
    assert loaded.refusal('{"data": null}').status == 400


@pytest.mark.parametrize("value", ['"31.1.2020"', "5", "[]"])
def test_a_date_that_is_none_is_the_callers_mistake(load: Any, value: str) -> None:
    loaded = load(
        IMPORTS
        + """
date = StandardPythonParameterType(datetime.date(2020, 1, 2))
@input_schema("day", StandardPythonParameterType({"of": date}))
def run(day): return day["of"].isoformat()
"""
    )
    assert loaded.send('{"day": {"of": "2020-02-01"}}').body == b'"2020-02-01"'
    refusal = loaded.refusal(f'{{"day": {{"of": {value}}}}}')
    assert refusal.status == 400
    assert "The value of 'day.of'" in refusal.message


def test_numpy_with_names_and_times(load: Any) -> None:
    loaded = load(
        IMPORTS
        + """
kinds = np.dtype([("n", "i4"), ("when", "datetime64[s]")])
@input_schema("data", NumpyParameterType(np.array([(1, np.datetime64("2020-01-02"))], dtype=kinds)))
def run(data): return [data["n"], data["when"]]
"""
    )
    body = '{"data": [{"n": 5, "when": "2021-02-03"}]}'
    assert loaded.send(body).body == b'[[5], ["2021-02-03T00:00:00"]]'
    assert "'when' is missing" in loaded.refusal('{"data": [{"n": 5}]}').message


def test_integers_beyond_64_bits_stay_exact(load: Any) -> None:
    loaded = load(
        IMPORTS
        + """
@input_schema("data", StandardPythonParameterType([1]))
def run(data): return data
"""
    )
    numbers = [2**64, 2**64 - 1, -(2**63) - 1, 10**25]
    assert json.loads(loaded.send(json.dumps({"data": numbers})).body) == numbers
