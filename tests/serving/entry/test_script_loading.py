"""How a script is found, imported and started, and what is said when that fails."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from calotype.errors import ScriptFailed


def test_neighbours_are_imported_both_ways(load: Any, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/helper_a.py").write_text("from .helper_b import two\none = 1")
    (tmp_path / "src/helper_b.py").write_text("two = 2")
    loaded = load("""
from .helper_a import one, two
from . import helper_b as relative
import helper_b
def run(data):
    return [one, two, relative.two, helper_b.two, __name__, __file__.endswith("score.py")]
""")
    assert loaded.send().body == b'[1, 2, 2, 2, "score", true]'


def test_a_script_below_its_source_directory(load: Any, tmp_path: Path) -> None:
    (tmp_path / "src/shared").mkdir(parents=True)
    (tmp_path / "src/shared/names.py").write_text("name = 'shared'")
    (tmp_path / "src/data.txt").write_text("42")
    loaded = load(
        """
from pathlib import Path
from ..shared.names import name
from shared.names import name as same
text = Path("data.txt").read_text()
def run(data): return [name, same, text]
""",
        path="src/web-code/score.py",
        source_directory=tmp_path / "src",
    )
    assert loaded.send().body == b'["shared", "shared", "42"]'
    assert Path.cwd() == tmp_path / "src"


def test_the_model_directory_is_known_while_importing(load: Any, tmp_path: Path) -> None:
    loaded = load(
        "import os\nfolder = os.environ['AZUREML_MODEL_DIR']\ndef run(data): return folder",
        model_directory=tmp_path / "models",
    )
    assert json.loads(loaded.send().body) == str(tmp_path / "models")


def test_globals_of_init_are_seen_by_run(load: Any) -> None:
    loaded = load("def init():\n global model\n model = 3\ndef run(data): return model")
    assert loaded.send().body == b"3"


def test_pickles_find_the_classes_of_the_script(load: Any) -> None:
    loaded = load("class Net: pass\nnet = Net()\ndef run(data): return 1")
    net = loaded.script._module.net  # pyright: ignore[reportPrivateUsage]
    assert type(pickle.loads(pickle.dumps(net))) is type(net)  # noqa: S301 - made just now


def test_a_script_with_the_name_of_a_library_leaves_the_library_alone(load: Any) -> None:
    loaded = load("def run(data): return __name__", path="json.py")
    assert loaded.send().body == b'"json"'
    assert sys.modules["json"] is json


def test_a_script_can_be_loaded_again(load: Any) -> None:
    source = """
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
@input_schema("data", StandardPythonParameterType(1))
@output_schema(StandardPythonParameterType(1))
def run(data): return data + {}
"""
    assert load(source.format(1)).send('{"data": 1}').body == b"2"
    assert load(source.format(10)).send('{"data": 1}').body == b"11"
    assert load("def run(data): return data").send('{"data": 1}').status == 200


@pytest.mark.parametrize(
    ("source", "got", "traced"),
    [
        (
            "import no_such_module",
            "ModuleNotFoundError: No module named 'no_such_module'",
            "line 1",
        ),
        ("def run(:", "SyntaxError", "score.py"),
        ("x = 1 / 0", "ZeroDivisionError: division by zero", "x = 1 / 0"),
        ("raise SystemExit(2)", "SystemExit: 2", "raise SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "raise KeyboardInterrupt"),
        ("from . import nothing\n", "ImportError", "nothing"),
        ("from ... import nothing\n", "ImportError", "beyond"),
    ],
)
def test_an_import_that_fails_has_its_trace(load: Any, source: str, got: str, traced: str) -> None:
    with pytest.raises(ScriptFailed) as caught:
        load(source)
    assert caught.value.got.startswith(got)
    assert traced in caught.value.trace
    assert str(caught.value).startswith("score.py: expected a script that can be imported. Got ")


@pytest.mark.parametrize("statement", ["raise ValueError('x')", "raise SystemExit", "open('/no')"])
def test_an_init_that_fails_has_its_trace(load: Any, log_lines: Any, statement: str) -> None:
    with pytest.raises(ScriptFailed, match=r"score\.py: expected init\(\) to succeed") as caught:
        load(f"def init():\n print('begin', end='')\n {statement}\ndef run(data): pass")
    assert statement in caught.value.trace
    assert (caught.value.number, caught.value.http_status) == (85, 500)
    assert [line["message"] for line in log_lines()] == ["begin"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def init(): pass", "expected a function run(raw_data)"),
        ("run = 5", "expected a function run(raw_data)"),
        ("def run(): pass", "expected run() to take the input"),
        ("def run(request_headers): pass", "expected run() to take the input beside"),
        ("def run(*args): pass", "expected run() to have named parameters"),
        ("def run(data, **more): pass", "expected run() to have named parameters"),
        ("def run(data, /): pass", "expected run() to have named parameters"),
        ("def run(data, other): pass", "or @input_schema for each of other"),
        ("async def run(data): pass", "expected run() to be a plain function"),
        (
            "from azureml_inference_server_http.api import rawhttp\n"
            "from inference_schema.schema_decorators import input_schema\n"
            "from inference_schema.parameter_types.standard_py_parameter_type import (\n"
            " StandardPythonParameterType as S)\n"
            "@rawhttp\n@input_schema('data', S(1))\ndef run(data): pass",
            "either @rawhttp or @input_schema",
        ),
    ],
)
def test_a_run_that_no_request_can_call_is_told_at_the_start(
    load: Any, source: str, sentence: str
) -> None:
    with pytest.raises(ScriptFailed) as caught:
        load(source)
    assert sentence in str(caught.value)


def test_a_file_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from calotype.serving.entry.printing import Printing
    from calotype.serving.entry.script import EntryScript

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    printing = Printing(os.open(os.devnull, os.O_WRONLY))
    try:
        with pytest.raises(ScriptFailed, match="FileNotFoundError"):
            EntryScript.load(tmp_path / "score.py", printing=printing)
    finally:
        printing.uninstall()
        os.close(printing.lines.descriptor)
