"""`calotype serve` and its tokens: what is said before anything is served."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

from calotype import errors
from calotype.cli.main import program
from calotype.serving.auth.tokens import signing_key


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, arguments)


@pytest.mark.parametrize(
    "options", [("--model-dir", "."), ("--source-directory", "."), ("--reload",)]
)
def test_options_of_a_script_are_refused_for_a_model(options: tuple[str, ...]) -> None:
    done = run("serve", "--model", "imagenet", *options)
    assert done.exit_code == 2
    assert "belong to --entry-script" in done.output


def test_either_a_model_or_a_script_is_served() -> None:
    assert run("serve").exit_code == run("serve", "--model", "a", "--entry-script", "b").exit_code
    assert "Give either --model or --entry-script" in run("serve").output


def test_a_token_stands_alone_on_the_last_line(tmp_path: Path) -> None:
    public = signing_key(tmp_path / "signing.pem").public_key()
    options = ("--name", "flowers", "--token-key", str(tmp_path / "signing.pem"))
    done = run("service", "get-access-token", *options)
    token = done.stdout.splitlines()[-1]
    assert jwt.decode(token, public, algorithms=["EdDSA"], audience="flowers")["iss"] == "calotype"


def test_the_largest_bounds_are_shown_in_full() -> None:
    assert "1 to 178000000]" in " ".join(run("serve", "--help").output.split())


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--precision=fp32", "--precision"),
        ("--threads=1", "--threads"),
        ("--exact-decode", "--exact-decode"),
        ("--no-calibration", "--calibration"),
        ("--one-core-when-alone", "--all-cores-when-alone"),
    ],
)
def test_options_of_image_models_are_refused_for_anything_else(
    tmp_path: Path, option: str, said: str
) -> None:
    for kind, name in (("--entry-script", "score.py"), ("--model", "net.onnx")):
        (tmp_path / name).touch()
        done = run("serve", kind, str(tmp_path / name), option)
        assert done.exit_code == 2
        assert f"{said} belongs to image models" in done.output


def test_keys_in_the_environment_are_called_by_their_variable() -> None:
    key = "primary-key-of-a-test"
    done = CliRunner().invoke(
        program, ["serve", "--model", "imagenet"], env={"CALOTYPE_PRIMARY_KEY": key}
    )
    assert isinstance(done.exception, errors.UnparsableValue)
    assert "variable CALOTYPE_PRIMARY_KEY: expected keys only" in str(done.exception)
    assert key not in str(done.exception)


def test_a_setting_that_is_empty_shows_no_default() -> None:
    assert 'default: ""' not in run("serve", "--help").output


@pytest.mark.parametrize("name", ["absent", "absent.onnx", "absent.skops", "folder"])
def test_a_model_that_is_none_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    done = run("serve", "--port", "0", "--model", str(tmp_path / name))
    assert isinstance(done.exception, errors.CalotypeError)
    assert done.exception.exit_code == 1
    assert str(tmp_path / name) in str(done.exception)
    assert "ONNXRuntimeError" not in str(done.exception)
