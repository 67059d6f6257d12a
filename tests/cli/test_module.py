"""`calotype module`: the list of modules and the page of each."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from calotype import errors, modules
from calotype.cli.main import main, program


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["module", *arguments])


def test_list_shows_every_module_with_its_types() -> None:
    listed = run("list").stdout
    for module in modules.all_modules():
        assert module.name in listed
    assert "AnyDirectory or ZipFile →" in listed
    assert "DataFrameDirectory (optional)" in listed


def test_list_as_json_is_one_document_of_all_pages() -> None:
    listed = json.loads(run("list", "-o", "json").stdout)
    assert listed == {"modules": [modules.document(one) for one in modules.all_modules()]}


@pytest.mark.parametrize("module", [module.key for module in modules.all_modules()])
def test_show_draws_every_port_and_parameter(module: str) -> None:
    document = modules.document(modules.find(module))
    shown = run("show", module).stdout
    assert document["summary"] in shown
    for part in document["inputs"] + document["outputs"] + document["parameters"]:
        assert part["key"] in shown


def test_show_draws_types_ranges_and_defaults() -> None:
    shown = [
        " ".join(line.split()) for line in run("show", "Train PyTorch Model").stdout.split("\n")
    ]
    assert "epochs integer, greater than 0 5 How often every image is seen." in shown
    assert "untrained_model UntrainedModelDirectory The network, from ResNet or DenseNet." in shown


def test_show_says_which_parameter_has_no_default() -> None:
    assert (
        "For training, For inference   required" in run("show", "apply_image_transformation").stdout
    )


def test_show_as_json_is_the_documentation() -> None:
    shown = json.loads(run("show", "resnet", "-o", "json").stdout)
    assert shown == modules.document(modules.find("resnet"))


def test_show_of_an_unknown_module_suggests_one() -> None:
    result = run("show", "desnet")
    assert isinstance(result.exception, errors.UnparsableValue)
    assert "Did you mean 'densenet'?" in str(result.exception)


def test_an_unknown_module_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["calotype", "module", "show", "desnet"])
    with pytest.raises(SystemExit, match=r"^1$"):
        main()
    assert capsys.readouterr().err.startswith("error 0002: module: expected the name of a module")


@pytest.mark.parametrize("page", [[], ["list"], ["show"]])
def test_help_has_examples(page: list[str]) -> None:
    assert "calotype module" in run(*page, "--help").stdout.partition("Examples:")[2]
