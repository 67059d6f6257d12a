"""What `run` may return, and the bytes that callers get."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.serving.entry.results import ResultEncoder

PLAIN: list[Any] = [
    [1, 2.5, "ä"],
    {"a": {"b": [True, False, None]}},
    (1, (2, 3)),
    {1: "a", 2.5: "b", None: "c", False: "d"},
    "text",
    0,
    1e300,
    2**70,
    [],
    {},
    "\ud800",
]


def encoded(value: object) -> str:
    return ResultEncoder(lambda _: None).encode(value).decode()


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_the_bytes_are_those_of_json_dumps(value: Any) -> None:
    assert encoded(value) == json.dumps(value)


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ).filter(lambda value: value is not None)
)
def test_any_value_gives_valid_json_without_nan(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = encoded(value)
    json.loads(text, parse_constant=refuse)
    if "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value):
        assert text == json.dumps(value)


def test_nothing_returned_gives_an_empty_object(load: Any) -> None:
    assert load("def run(data): pass").send().body == b"{}"


def test_not_a_number_becomes_null_and_is_told_once(load: Any) -> None:
    loaded = load(
        "import math\ndef run(data): return {'a': [math.nan, 1.5, (-math.inf,)], math.inf: 2}"
    )
    for _ in range(2):
        answer = loaded.send()
        assert answer.body == b'{"a": [null, 1.5, [null]], "Infinity": 2}'
    (warning,) = loaded.messages("warning")
    assert warning.startswith("run() returned NaN or Infinity")


def test_json_in_a_text_is_encoded_again_and_told_once(load: Any) -> None:
    loaded = load("import json\ndef run(data): return json.dumps({'result': [1, 2]})")
    for _ in range(2):
        assert loaded.send().body == b'"{\\"result\\": [1, 2]}"'
    (warning,) = loaded.messages("warning")
    assert "without json.dumps" in warning


@pytest.mark.parametrize("text", ["[not json]", "{", "daisy", "[" * 10 + "]", "[" * 99999 + "]"])
def test_other_texts_are_no_reason_to_warn(text: str) -> None:
    warnings: list[str] = []
    assert json.loads(ResultEncoder(warnings.append).encode(text)) == text
    assert warnings == []


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("np.array([[1, 2], [3, 4]])", "[[1, 2], [3, 4]]"),
        ("[np.float32(0.5), np.int64(3), np.bool_(True)]", "[0.5, 3, true]"),
        ("np.float64(1.5)", "1.5"),
        ("{'a': np.array([1.0, np.nan])}", '{"a": [1.0, null]}'),
        ("{np.int64(1): 2}", '{"1": 2}'),
        (
            "np.array(['2020-01-02T03:04:05.5', 'NaT'], 'datetime64[ns]')",
            '["2020-01-02T03:04:05.500000", null]',
        ),
        ("np.array([])", "[]"),
        (
            "pd.DataFrame({'a': [1, 2], 'b': ['x', None]})",
            '[{"a": 1, "b": "x"}, {"a": 2, "b": null}]',
        ),
        ("pd.Series([1, 2])", "[1, 2]"),
        ("[pd.Timestamp('2020-01-02'), pd.NaT, pd.NA]", '["2020-01-02T00:00:00", null, null]'),
        ("pd.Series(['a', 'b']).value_counts().to_dict()", '{"a": 1, "b": 1}'),
        ("datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)", '"2020-01-02T00:00:00+00:00"'),
        ("[datetime.date(2020, 1, 2), datetime.time(3, 4)]", '["2020-01-02", "03:04:00"]'),
        ("decimal.Decimal('0.25')", "0.25"),
        ("decimal.Decimal('NaN')", "null"),
        ("{3}", "[3]"),
        ("b'\\xff\\x00'", '"/wA="'),
    ],
)
def test_common_types_are_written(load: Any, expression: str, body: str) -> None:
    loaded = load(
        "import datetime, decimal\nimport numpy as np\nimport pandas as pd\n"
        f"def run(data): return {expression}"
    )
    assert loaded.send().body.decode() == body


@pytest.mark.parametrize(
    "expression", ["object()", "lambda: 1", "{(1, 2): 3}", "[1j]", "circle", "deep"]
)
def test_what_has_no_form_in_json_is_an_internal_error(load: Any, expression: str) -> None:
    loaded = load(
        "circle = []\ncircle.append(circle)\ndeep = []\n"
        "for _ in range(100_000): deep = [deep]\n"
        f"def run(data): return 1 if data else {expression}"
    )
    for _ in range(2):
        refusal = loaded.refusal("")
        assert refusal.status == 500
        assert refusal.message.startswith("An unexpected internal error occurred.")
        assert refusal.headers == [(b"x-ms-run-function-failed", b"False")]
        assert loaded.send("x").body == b"1"
    assert len(loaded.messages("error")) == 2


def test_a_list_that_failed_once_is_not_circular_afterwards() -> None:
    encoder = ResultEncoder(lambda _: None)
    value: list[Any] = [object()]
    with pytest.raises(TypeError):
        encoder.encode(value)
    value[0] = math.pi
    assert encoder.encode(value) == b"[3.141592653589793]"
