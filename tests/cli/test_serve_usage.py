"""`calotype serve` and its tokens: what is said before anything is served."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

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
