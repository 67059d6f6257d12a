"""Scripts with `@rawhttp`: the request object, the response object, the old import paths."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image

from calotype.serving.entry.raw_response import AMLResponse, answer_of

RAW = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
{imports}
@rawhttp
def run(request):
{body}
"""


def raw(body: str, imports: str = "") -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return RAW.format(imports=imports, body=lines)


def multipart(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    body = b""
    for name, filename, data in parts:
        file = f'; filename="{filename}"\r\nContent-Type: image/jpeg' if filename else ""
        head = f'--b0\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    return body + b"--b0--\r\n", [(b"content-type", b"multipart/form-data; boundary=b0")]


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "imports",
    [
        "from azureml.contrib.services.aml_request import AMLRequest, rawhttp\n"
        "from azureml.contrib.services.aml_response import AMLResponse",
        "from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp\n"
        "from azureml_inference_server_http.api.aml_response import AMLResponse",
        "from azureml_inference_server_http.api import AMLRequest, AMLResponse, rawhttp",
        "import azureml.contrib.services.aml_request as q\nrawhttp = q.rawhttp\n"
        "AMLRequest = q.AMLRequest\nfrom azureml.contrib.services.aml_response import AMLResponse",
    ],
)
def test_the_old_import_paths(load: Any, imports: str) -> None:
    loaded = load(
        f"{imports}\n@rawhttp\ndef run(request: AMLRequest):\n"
        " assert isinstance(request, AMLRequest)\n return AMLResponse(request.method, 201)"
    )
    assert loaded.script.is_raw_http
    assert {"GET", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"} == loaded.script.methods
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        answer = loaded.send(b"", method=method, headers=[])
        assert (answer.status, answer.body) == (201, method.encode())


def test_installed_packages_come_before_the_old_names(load: Any) -> None:
    from pathlib import Path

    package = Path("src/azureml/contrib/services")
    package.mkdir(parents=True)
    (package / "aml_request.py").write_text(
        "class AMLRequest: pass\n_rawHttpRequested = False\ndef rawhttp(function):\n"
        " global _rawHttpRequested\n _rawHttpRequested = True\n return function"
    )
    loaded = load(raw("return type(request).__module__"))
    assert sys.modules["azureml.contrib.services.aml_request"].__file__
    assert loaded.script.is_raw_http
    assert loaded.send().status == 200


def test_a_library_that_looks_for_the_old_package_does_not_fail(load: Any) -> None:
    loaded = load("""
from importlib.util import find_spec
def run(data): return [find_spec("azureml") is None, find_spec("azureml.core.run") is None]
""")
    assert loaded.send().body == b"[false, false]"


def test_the_older_way_to_the_model_files(load: Any, tmp_path: Any) -> None:
    for version in ("2", "10"):
        (tmp_path / "models/ridge" / version).mkdir(parents=True)
    source = "from azureml.core.model import Model\ndef run(data): return {}"
    call = 'Model.get_model_path("ridge"{})'
    calls = ", ".join(call.format(version) for version in ("", ", 2", ", version=10"))
    loaded = load(source.format(f"[{calls}]"), model_directory=tmp_path / "models")
    folder = tmp_path / "models/ridge"
    assert json.loads(loaded.send().body) == [f"{folder}/10", f"{folder}/2", f"{folder}/10"]


def test_a_photograph_as_the_body(load: Any) -> None:
    loaded = load(
        raw(
            "image = Image.open(io.BytesIO(request.get_data(False)))\n"
            "assert request.data == request.get_data() == request.stream.read()\n"
            "return AMLResponse(json.dumps([*image.size, request.content_type]), 200)",
            "import io, json\nfrom PIL import Image",
        )
    )
    answer = loaded.send(jpeg(), headers=[(b"content-type", b"image/jpeg")])
    assert answer.body == b'[8, 6, "image/jpeg"]'
    assert answer.content_type == b"text/html; charset=utf-8"
    names = [name for name, _ in answer.headers]
    assert sorted(names) == [b"x-ms-run-fn-exec-ms", b"x-ms-run-function-failed"]


def test_files_and_fields_of_a_form(load: Any) -> None:
    loaded = load(
        raw(
            'file = request.files["image"]\nsize = Image.open(file).size\nfile.seek(0)\n'
            "return [size, file.filename, file.content_type, len(file.read()),\n"
            ' request.form["note"], request.form.getlist("note"), request.files.get("no"),\n'
            ' [f.filename for f in request.files.getlist("image")], request.values["q"]]',
            "from PIL import Image",
        )
    )
    body, headers = multipart(
        ("image", "ä b.jpg", jpeg()),
        ("image", "2.jpg", b"\r\n--b"),
        ("note", None, "größe".encode()),
        ("note", None, b""),
    )
    result = json.loads(loaded.send(body, headers=headers, query=b"q=1").body)
    assert result == [
        [8, 6],
        "ä b.jpg",
        "image/jpeg",
        len(jpeg()),
        "größe",
        ["größe", ""],
        None,
        ["ä b.jpg", "2.jpg"],
        "1",
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"--b0\r\nbroken", b"multipart/form-data; boundary=b0", 400),
        (b"", b"multipart/form-data; boundary=b0", 400),
        (multipart(("a", None, b"1"))[0][:-9], b"multipart/form-data; boundary=b0", 400),
        (b"", b"multipart/form-data", 400),
        (multipart(*[("a", None, b"1")] * 4)[0], b"multipart/form-data; boundary=b0", 413),
    ],
)
def test_a_broken_form_is_the_callers_mistake(
    load: Any, body: bytes, content_type: bytes, status: int
) -> None:
    loaded = load(raw("return len(request.files)"), max_multipart_parts=3)
    refusal = loaded.refusal(body, headers=[(b"content-type", content_type)])
    assert refusal.status == status
    assert loaded.lines() == []


ASKED: dict[str, Any] = {
    "request.method": "POST",
    "request.path": "/score",
    "request.full_path": "/score?a=x&n=5&a=y%20z",
    "request.url": "http://h:1/score?a=x&n=5&a=y%20z",
    "request.base_url": "http://h:1/score",
    "request.host": "h:1",
    "request.remote_addr": "10.0.0.1",
    "request.query_string.decode()": "a=x&n=5&a=y%20z",
    'request.args.get("a")': "x",
    'request.args["a"]': "x",
    'request.args.getlist("a")': ["x", "y z"],
    'request.args.get("n", type=int)': 5,
    'request.args.get("a", 7, type=int)': 7,
    'request.args.get("no", "default")': "default",
    "request.args.to_dict()": {"a": "x", "n": "5"},
    "dict(request.args)": {"a": "x", "n": "5"},
    'request.headers.get("x-THING")': "t",
    'request.headers["X-Thing"]': "t",
    '"x-thing" in request.headers': True,
    'dict(request.headers)["X-Thing"]': "t",
    'request.headers.get("no")': None,
    'request.cookies.get("c")': "1",
    "request.content_type": "application/json; charset=utf-8",
    "request.mimetype": "application/json",
    "request.content_length": 9,
    "request.get_data(as_text=True)": '{"ä": 1}',
    "request.stream.read().decode()": '{"ä": 1}',
    "request.is_json": True,
    "request.json": {"ä": 1},
    "request.get_json()": {"ä": 1},
}


@pytest.mark.parametrize("expression", ASKED)
def test_what_scripts_ask_of_a_request(load: Any, expression: str) -> None:
    headers = [
        (b"host", b"h:1"),
        (b"x-thing", b"t"),
        (b"content-type", b"application/json; charset=utf-8"),
        (b"cookie", b"c=1; d=2"),
    ]
    loaded = load(raw(f"return [{expression}]"))
    answer = loaded.send('{"ä": 1}', headers=headers, query=b"a=x&n=5&a=y%20z", client="10.0.0.1")
    assert json.loads(answer.body) == [ASKED[expression]]


def test_a_body_that_is_no_json_is_the_callers_mistake(load: Any) -> None:
    loaded = load(raw("return [request.get_json(silent=True), request.get_json(force=True)]"))
    plain = [(b"content-type", b"text/plain")]
    assert loaded.send("[1]", headers=plain).body == b"[null, [1]]"
    assert loaded.refusal("[1").status == 400
    assert load(raw("return request.json")).refusal("[1]", headers=plain).status == 415


@pytest.mark.parametrize("content_type", [b"\xff\xfe", b"nonsense", b";;;", b"a/b/c", b"image /x"])
def test_a_content_type_that_cannot_be_read_is_bytes(load: Any, content_type: bytes) -> None:
    loaded = load(raw("return [request.mimetype, len(request.files), len(request.data)]"))
    answer = loaded.send(b"1\xff", headers=[(b"content-type", content_type)])
    expected = "" if content_type == b";;;" else "application/octet-stream"
    assert json.loads(answer.body) == [expected, 0, 2]


def test_form_fields_in_the_url_encoding(load: Any) -> None:
    loaded = load(raw("return [request.form.to_dict(flat=False), len(request.data)]"))
    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    assert loaded.send("a=1&a=%C3%A4+b&c", headers=headers).body == (
        b'[{"a": ["1", "\\u00e4 b"], "c": [""]}, 16]'
    )


def test_a_response_decides_status_and_headers(load: Any) -> None:
    answer = load(raw('return AMLResponse("teapot", 418, {"X-Foo": "a, b"})')).send()
    assert (answer.status, answer.body, answer.content_type) == (
        418,
        b"teapot",
        b"text/html; charset=utf-8",
    )
    assert answer.headers[:2] == [(b"x-foo", b"a"), (b"x-foo", b"b")]
    assert (b"x-ms-run-function-failed", b"False") in answer.headers


@pytest.mark.parametrize(
    ("status", "failed"), [(200, b"False"), (499, b"False"), (500, b"True"), ("503 BUSY", b"True")]
)
def test_a_status_from_500_on_says_that_it_failed(load: Any, status: Any, failed: bytes) -> None:
    answer = load(raw(f"return AMLResponse('', {status!r})")).send()
    assert (b"x-ms-run-function-failed", failed) in answer.headers


def test_headers_can_be_changed_afterwards(load: Any) -> None:
    answer = load(
        raw(
            'response = AMLResponse(b"\\xff\\xd8", 200, {"content-type": "image/jpeg"})\n'
            'response.headers["Access-Control-Allow-Origin"] = "http://old"\n'
            'response.headers["access-control-allow-origin"] = "*"\n'
            'response.headers.add("X-A", 1); response.headers.add_header("x-a", "2")\n'
            'response.headers["Content-Length"] = "99"; response.headers["Connection"] = "close"\n'
            'del response.headers["no"]\n'
            'response.set_cookie("c", "v", max_age=5, httponly=True)\n'
            "return response"
        )
    ).send()
    assert (answer.body, answer.content_type) == (b"\xff\xd8", b"image/jpeg")
    assert answer.headers[:4] == [
        (b"access-control-allow-origin", b"*"),
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"set-cookie", b"c=v; HttpOnly; Max-Age=5; Path=/"),
    ]
    assert {b"content-length", b"connection", b"content-type"}.isdisjoint(dict(answer.headers))


@pytest.mark.parametrize(
    ("arguments", "body", "content_type"),
    [
        ("None, 200", b"{}", b"application/json"),
        ("{'a': [1, float('nan')]}, 200, json_str=True", b'{"a": [1, null]}', b"application/json"),
        ("['a', b'b'], 200", b"ab", b"text/html; charset=utf-8"),
        ("bytearray(b'x'), 200", b"x", b"text/html; charset=utf-8"),
        ("'x', 200, {'Content-Type': 'text/csv'}", b"x", b"text/csv"),
        ("'x', 204", b"", b"text/html; charset=utf-8"),
    ],
)
def test_contents_of_a_response(
    load: Any, arguments: str, body: bytes, content_type: bytes
) -> None:
    answer = load(raw(f"return AMLResponse({arguments})")).send()
    assert (answer.body, answer.content_type) == (body, content_type)


@pytest.mark.parametrize(
    ("name", "value"), [("X-A", "1\r\nX-B: 2"), ("X-A\n", "1"), ("", "1"), ("X-A", "\0")]
)
def test_a_header_cannot_begin_another_one(load: Any, name: str, value: str) -> None:
    refusal = load(raw(f"return AMLResponse('', 200, {{{name!r}: {value!r}}})")).refusal()
    assert refusal.status == 500


@pytest.mark.parametrize("status", [0, 100, 199, 600, -1])
def test_a_status_that_http_does_not_have_is_an_internal_error(load: Any, status: int) -> None:
    assert load(raw(f"return AMLResponse('', {status})")).refusal().status == 500


def test_dates_keep_their_comma() -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    answer = answer_of(AMLResponse("", 200, {"Expires": date, "Vary": "A,B", "X-Number": 5}))
    assert answer.headers[:4] == [
        (b"expires", date.encode()),
        (b"vary", b"A"),
        (b"vary", b"B"),
        (b"x-number", b"5"),
    ]


def test_other_results_of_a_raw_script_are_json(load: Any) -> None:
    answer = load(raw("return {'a': 1}")).send()
    assert (answer.body, answer.content_type) == (b'{"a": 1}', b"application/json")


def test_a_response_of_werkzeug_is_an_answer_too(load: Any) -> None:
    answer = load(
        raw("return Response('x', 502, {'X-A': '1'})", "from werkzeug.wrappers import Response")
    ).send()
    assert (answer.status, answer.body) == (502, b"x")
    assert answer.headers[:2] == [(b"x-a", b"1"), (b"x-ms-run-function-failed", b"True")]


def test_a_plain_script_may_return_a_response(load: Any) -> None:
    source = (
        "from azureml.contrib.services.aml_response import AMLResponse\n"
        "def run(data): return AMLResponse('no', 404)"
    )
    assert load(source).send().status == 404


def test_the_old_names_are_not_offered_to_others() -> None:
    code = (
        "import calotype.serving.entry.script, importlib.util as u; print(u.find_spec('azureml'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def test_json_may_be_nested_only_so_deep(load: Any) -> None:
    loaded = load(raw("return request.get_json()"), max_json_depth=3)
    assert loaded.send("[[[1]]]").status == 200
    refusal = loaded.refusal("[[[[1]]]]")
    assert "max_json_depth" in refusal.message
