"""The sources of clients, without running them: layout, notation, what is refused."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_clients_on_the_wire import HOSTILE_EXAMPLE, HOSTILE_NAME
from toolchains import toolchains_are_required

from calotype import errors
from calotype.clients import LANGUAGES, Auth, Language, client_source, notation

URI = "http://localhost:5001/score"
POWER_BI = {
    "Inputs": {"patients": [{"age": 51.0, "blood pressure": 80, "kéy": "#(lf)"}]},
    "GlobalParameters": {"quantile": 0.5, "exact": True},
}
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def source_of(language: Language, **choices: Any) -> str:
    options: dict[str, Any] = {
        "uri": URI,
        "auth": "key",
        "example": {"data": [[1.5, 2.5]]},
        "is_image": False,
        "name": "diabetes",
        **choices,
    }
    return client_source(language, **options)


def tokens_of_m(source: str) -> Iterator[str]:
    """Return the words, signs and texts of a Power Query source; fail where there are none."""
    pattern = re.compile(
        r'(?P<blank>\s+|//[^\n\r\u0085\u2028\u2029]*)|(?P<text>#?"(?:[^"]|"")*")'
        r"|(?P<word>[@#]?[A-Za-z_][\w.]*|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
        r"|(?P<sign>=>|<>|<=|>=|[-+*/&=<>,()\[\]{}?@])"
    )
    at = 0
    while at < len(source):
        found = pattern.match(source, at)
        assert found, f"no token of Power Query: {source[at : at + 40]!r}"
        at = found.end()
        if found.lastgroup != "blank":
            yield found.group()


def assert_is_balanced(source: str) -> None:
    """Check that each bracket, `let` and `if` of a Power Query source has its counterpart."""
    partners = {")": "(", "]": "[", "}": "{", "in": "let", "then": "if", "else": "then"}
    is_open: list[str] = []
    for token in tokens_of_m(source):
        if token in partners:
            assert is_open.pop() == partners[token], token
        if token in ("(", "[", "{", "let", "if", "then"):
            is_open.append(token)
    assert is_open == []


def test_each_language_of_the_type_has_a_client() -> None:
    assert list(LANGUAGES) == list(get_args(Language))


@pytest.mark.parametrize("is_image", [False, True])
@pytest.mark.parametrize("auth", get_args(Auth))
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_is_tidy(language: Language, auth: Auth, is_image: bool) -> None:
    source = source_of(language, auth=auth, is_image=is_image)
    lines = source.splitlines()
    assert source.endswith("\n")
    assert not source.endswith("\n\n")
    assert all(line == line.rstrip() for line in lines)
    assert max(map(len, lines)) <= 100
    assert "\n\n\n\n" not in source
    assert ("CALOTYPE_KEY" in source) == (auth != "none")
    assert ("Bearer" in source) == (auth != "none")
    assert ("{{" in source, "{%" in source) == (False, False)


@pytest.mark.parametrize("is_image", [False, True])
@pytest.mark.parametrize("auth", get_args(Auth))
def test_the_python_client_pleases_ruff(auth: Auth, is_image: bool, tmp_path: Path) -> None:
    file = tmp_path / "client.py"
    file.write_text(source_of("python", auth=auth, is_image=is_image))
    ruff = Path(sys.executable).with_name("ruff")
    chosen = ("--select", "E,W,F,I,UP,B,SIM", "--line-length", "100", "--isolated")
    subprocess.run([ruff, "check", "--no-cache", *chosen, file], check=True)
    formatting = ("--check", "--no-cache", "--line-length", "100", "--isolated")
    subprocess.run([ruff, "format", *formatting, file], check=True)


@pytest.mark.parametrize("is_image", [False, True])
@pytest.mark.parametrize("auth", get_args(Auth))
def test_the_go_client_pleases_gofmt(auth: Auth, is_image: bool) -> None:
    gofmt = shutil.which("gofmt")
    if gofmt is None:
        say = pytest.fail if toolchains_are_required() else pytest.skip
        say("gofmt not found: apt-get install golang-go")
    source = source_of("go", auth=auth, is_image=is_image)
    done = subprocess.run([gofmt], input=source, capture_output=True, text=True, check=True)
    assert done.stdout == source


@settings(max_examples=50, deadline=None)
@given(JSON_VALUES)
def test_json_and_python_notations_say_the_same(value: Any) -> None:
    text = notation.JSON.write(value)
    assert json.loads(text) == json.loads(notation.ASCII_JSON.write(value)) == value
    assert notation.ASCII_JSON.write(value).isascii()
    assert ast.literal_eval(notation.PYTHON.write(value)) == value
    assert all(character.isprintable() or character == "\n" for character in text)


@settings(max_examples=50, deadline=None)
@given(JSON_VALUES)
def test_power_query_notation_is_balanced_whatever_the_value(value: Any) -> None:
    assert_is_balanced(notation.POWER_QUERY.write(value))


@pytest.mark.parametrize("example", [POWER_BI, HOSTILE_EXAMPLE, {"data": [1]}, [[1]], {}, None])
@pytest.mark.parametrize("is_image", [False, True])
def test_the_power_query_client_is_balanced(example: Any, is_image: bool) -> None:
    # Nothing outside Windows runs Power Query: this is as far as a test goes.
    source = source_of("powerquery", example=example, is_image=is_image, name=HOSTILE_NAME)
    assert_is_balanced(source)
    assert {"Web.Contents", "ManualStatusHandling", "Table.Split"} <= set(tokens_of_m(source))


@pytest.mark.parametrize(
    "missing", ["let", "in\n    Score", "(", ")", "{", "]", '"', "then", "else"]
)
def test_the_balance_of_power_query_is_really_checked(missing: str) -> None:
    source = source_of("powerquery")
    at = source.rindex(missing)
    with pytest.raises((AssertionError, IndexError)):
        assert_is_balanced(source[:at] + source[at + len(missing) :])


def test_power_query_sends_the_shape_of_power_bi() -> None:
    source = source_of("powerquery", example=POWER_BI)
    assert '[Inputs = [#"patients" = Table.ToRecords(batch)], GlobalParameters = ' in source
    assert '[#"quantile" = 0.5, #"exact" = true]' in source


def test_power_query_sends_rows_as_the_sample_has_them() -> None:
    assert '[#"data" = Table.ToRows(batch)]' in source_of("powerquery")
    image = source_of("powerquery", is_image=True)
    assert "Inputs = [WebServiceInput0 = List.Transform(" in image
    assert "BinaryEncoding.Base64" in image


@pytest.mark.parametrize(
    ("uri", "written"),
    [
        ("HTTPS://Example.org/score#top", "https://example.org/score"),
        ("http://bücher.example/é", "http://xn--bcher-kva.example/%C3%A9"),
        ("http://[::1]:80/score?a=b c&d=%zz%2F", "http://[::1]:80/score?a=b%20c&d=%25zz%2F"),
        ("http://h/'$(id)'", "http://h/'$(id)'"),
    ],
)
def test_a_uri_is_written_in_ascii(uri: str, written: str) -> None:
    assert json.dumps(written) in source_of("go", uri=uri)


@pytest.mark.parametrize(
    "uri",
    [
        *("", "score", "ftp://h/score", "file:///etc/passwd", "http:///score", "http://h:x/"),
        *("http://h h/", "http://[::1/", 'http://h"/', "http://a@b@c/", "http://key:@h/score"),
    ],
)
def test_what_is_no_uri_of_a_service_is_refused(uri: str) -> None:
    with pytest.raises(errors.UnparsableValue, match="uri: expected the scoring URI"):
        source_of("python", uri=uri)


def test_a_user_in_a_uri_is_refused_without_repeating_the_secret() -> None:
    with pytest.raises(errors.UnparsableValue) as refused:
        source_of("python", uri="http://user:tops3cret@h/score")
    assert "tops3cret" not in str(refused.value)


@pytest.mark.parametrize("example", [b"", b"{", b"NaN", b"\xff", {"data": float("inf")}])
def test_an_example_that_is_not_json_is_refused(example: Any) -> None:
    with pytest.raises(errors.UnparsableValue, match="example: expected JSON"):
        source_of("python", example=example)
