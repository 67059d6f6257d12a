"""`calotype service client`: a client of what a service says about itself, or of what we say."""

from __future__ import annotations

import ast
import functools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from calotype import errors
from calotype.cli.main import program
from calotype.cli.service_client import LANGUAGES as OFFERED
from calotype.clients import LANGUAGES

URI = "http://localhost:5001/score"


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(program, ["service", "client", *arguments], **options)


def sample_of(python_source: str) -> Any:
    """Return what a Python client sends."""
    for node in ast.parse(python_source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SAMPLE":
            return ast.literal_eval(node.value)
    raise AssertionError("no sample")


def swagger(**changes: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "security": [{"Bearer": []}],
        "parameters": [{"in": "body", "schema": {"$ref": "#/definitions/ServiceInput"}}],
        **changes,
    }
    return {
        "swagger": "2.0",
        "info": {"title": "diabetes"},
        "consumes": ["application/json"],
        "paths": {"/": {"get": {}}, "/score": {"post": operation}},
        "definitions": {"ServiceInput": {"example": {"data": [[10, 9], [8, 7]]}}},
    }


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Callable[[Any], str]]:
    """Give a function that publishes a document and returns the scoring URI beside it."""
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:

        def publish(document: Any) -> str:
            folder = tmp_path / "api" / "v1"
            folder.mkdir(parents=True)
            text = document if isinstance(document, str) else json.dumps(document)
            (folder / "swagger.json").write_text(text)
            return f"http://127.0.0.1:{server.server_port}/api/v1/score"

        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield publish
        server.shutdown()
        thread.join()


def test_the_command_offers_every_language() -> None:
    assert tuple(LANGUAGES) == OFFERED


def test_a_client_of_what_the_service_says(published: Callable[[Any], str]) -> None:
    uri = published(swagger())
    result = run("--uri", uri, "--language", "python")
    assert result.exit_code == 0
    assert f'SCORING_URI = "{uri}"' in result.stdout
    assert 'the service "diabetes"' in result.stdout
    assert sample_of(result.stdout) == {"data": [[10, 9], [8, 7]]}
    assert "CALOTYPE_KEY" in result.stdout


def test_a_service_without_security_gets_no_credential(published: Callable[[Any], str]) -> None:
    uri = published(swagger(security=[]))
    assert "CALOTYPE_KEY" not in run("--uri", uri, "--language", "go").stdout


def test_what_is_given_goes_before_what_the_service_says(published: Callable[[Any], str]) -> None:
    uri = published(swagger(security=[]))
    assert "a token" in run("--uri", uri, "--language", "go", "--auth", "token").stdout


def test_a_service_of_images_is_recognised(published: Callable[[Any], str]) -> None:
    forms = {"application/json": {}, "application/octet-stream": {}}
    uri = published(swagger(requestBody={"content": forms}))
    assert "photo.jpg" in run("--uri", uri, "--language", "curl").stdout


def test_a_prefix_before_the_path_does_no_harm(published: Callable[[Any], str]) -> None:
    document = swagger()
    document["paths"] = {"/api/v1/score": document["paths"]["/score"]}
    result = run("--uri", published(document), "--language", "python")
    assert sample_of(result.stdout) == {"data": [[10, 9], [8, 7]]}


@pytest.mark.parametrize("document", ["<html>", "[]", "{}", '{"paths": {"/other": {}}}', "3"])
def test_another_document_is_one_clear_error(
    document: str, published: Callable[[Any], str]
) -> None:
    uri = published(document)
    result = run("--uri", uri, "--language", "python")
    assert isinstance(result.exception, errors.OperationFailed)
    assert uri.replace("score", "swagger.json") in str(result.exception)
    assert "--example FILE or --image" in str(result.exception)


def test_a_missing_document_is_told_with_its_status(published: Callable[[Any], str]) -> None:
    uri = published(swagger()).replace("/v1/", "/v2/")
    assert "Got 404" in str(run("--uri", uri, "--language", "python").exception)


def test_nothing_is_asked_when_the_example_is_given(tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"rows": ["naïve"]}', encoding="utf-8")
    result = run("--uri", URI, "--language", "python", "--example", str(body))
    assert sample_of(result.stdout) == {"rows": ["naïve"]}
    assert "CALOTYPE_KEY" not in result.stdout


def test_a_running_service_is_asked_for_its_auth_with_an_image_too(
    published: Callable[[Any], str],
) -> None:
    guarded = run("--uri", published(swagger()), "--language", "curl", "--image")
    assert "CALOTYPE_KEY" in guarded.stdout
    assert "photo.jpg" in guarded.stdout
    assert guarded.stderr == ""


def test_a_service_that_does_not_answer_gets_no_credential_and_a_note() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}/score"
        result = run("--uri", uri, "--language", "python", "--image")
    assert result.exit_code == 0
    assert "CALOTYPE_KEY" not in result.stdout
    assert result.stderr.startswith("note: the client sends no credential")
    assert "--auth key" in result.stderr


@pytest.mark.parametrize("language", OFFERED)
def test_json_tells_how_to_run_the_source(language: str) -> None:
    plain = run("--uri", URI, "--language", language, "--image", "--auth", "key")
    document = json.loads(
        run("--uri", URI, "--language", language, "--image", "--auth", "key", "-o", "json").stdout
    )
    assert document["source"] == plain.stdout
    assert document["language"] == language
    assert Path(document["file_name"]).stem.lower() == "client"


def test_no_credential_gets_into_a_source(published: Callable[[Any], str]) -> None:
    uri = published(swagger())
    result = run("--uri", uri, "--language", "go", env={"CALOTYPE_KEY": "tops3cret"})
    assert result.exit_code == 0
    assert "tops3cret" not in result.output


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--example", "missing.json"], errors.UnreadableFile),
        (["--image", "--example", "missing.json"], click.UsageError),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], error: type[Exception]) -> None:
    command = ["service", "client", "--uri", URI, "--language", "go", *arguments]
    with pytest.raises(error):
        program.main(command, standalone_mode=False)
