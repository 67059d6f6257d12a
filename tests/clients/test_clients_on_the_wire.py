"""What our clients send, whatever stands in names and examples, and how they try again."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from recording_server import HANG_UP, RecordingServer, Reply
from toolchains import TOOLCHAINS, build, environment, run

from calotype.clients import LANGUAGES, Language, client_source

HOSTILE_PATH = """/a "b" 'c' `d` $(id) ${x} %s {{ e }} back\\slash\\u0022 naïve 😀 %41 %/score"""
HOSTILE_NAME = 'end"""; \n */ \\u000a System.exit(3); // \u2028 `$(id)` {{ 7 * 7 }} \u202e naïve'
HOSTILE_EXAMPLE: dict[str, Any] = {
    "data": [
        ['"double" \'single\' `back` """three""" \\ \\\\ \\u0022 \\n', "${x} $(id) %s #(tab)"],
        [
            "{{ 7 * 7 }} {% raw %}",
            "\n\r\t\b\x00\x7f",
            "naïve 日本 😀",
            "\u2028\u2029\u202e\ufeff\xa0",
        ],
        ["JSON", "*/ // # --", "</script>", "", "x" * 200],
    ],
    "__proto__": {"polluted": True},
    'kéy "quoted" \\': [None, True, False, [], {}],
    "class": [0.1, -1e-7, 1e300, 2**53, -(2**31) - 1, 12345678.9] * 5,
}
BUSY = b'{"status_code": 503, "message": "The queue is full. Try again."}'
RUNNABLE = list(TOOLCHAINS)


@dataclass(frozen=True)
class BuiltClient:
    language: Language
    command: list[str]
    server: RecordingServer

    def run(self, *replies: Reply) -> subprocess.CompletedProcess[str]:
        """Run the client against a server that gives these replies, and then only good ones."""
        return run(
            self.command,
            before=lambda: self.server.expect(*replies),
            variables={"CALOTYPE_KEY": "a-key"},
        )


@pytest.fixture(scope="module")
def server() -> Iterator[RecordingServer]:
    server = RecordingServer()
    server.listen()
    yield server
    server.close()


@pytest.fixture(scope="module", params=RUNNABLE)
def client(request: pytest.FixtureRequest, server: RecordingServer, sources: Path) -> BuiltClient:
    """A client of a service where everything that can be hostile is."""
    language: Language = request.param
    source = client_source(
        language,
        uri=f'http://127.0.0.1:{server.port}{HOSTILE_PATH}?q=ä&r="1"',
        auth="key",
        example=HOSTILE_EXAMPLE,
        is_image=False,
        name=HOSTILE_NAME,
    )
    file = sources / f"hostile-{language}" / LANGUAGES[language].file_name
    return BuiltClient(language, build(language, source, file), server)


def test_what_is_hostile_arrives_as_it_is(client: BuiltClient) -> None:
    done = client.run()
    assert json.loads(done.stdout) == ["fine"], done.stderr
    (call,) = client.server.calls
    path, _, query = call.path.partition("?")
    assert unquote(path) == HOSTILE_PATH.replace("%41", "A")
    assert unquote(query) == 'q=ä&r="1"'
    assert json.loads(call.body) == HOSTILE_EXAMPLE
    assert call.headers["content-type"] == "application/json"
    assert call.headers["authorization"] == "Bearer a-key"


def test_a_busy_service_is_asked_again_when_it_says(client: BuiltClient) -> None:
    done = client.run(*[Reply(503, BUSY, retry_after=asked) for asked in ("2", "1")])
    assert json.loads(done.stdout) == ["fine"], done.stderr
    first, second, third = client.server.calls
    assert first.body == second.body == third.body
    # Left to themselves, clients wait for one second at first.
    assert second.at_s - first.at_s > 1.9
    assert third.at_s - second.at_s > 0.9
    if client.language != "curl":  # which does not say how long it waits
        # A busy machine may make it longer; but they do not mean to wait for two, on their own.
        assert re.search(r"Trying again in 1 ?s", done.stderr), done.stderr


def test_another_error_is_printed_and_not_tried_again(client: BuiltClient) -> None:
    problem = "A row has 3 numbers. Expected 10: “naïve”."
    body = json.dumps({"status_code": 400, "message": problem}, ensure_ascii=False).encode()
    done = client.run(Reply(400, body))
    assert done.returncode == 1 or (client.language == "curl" and done.returncode == 22)
    assert done.stdout == ""
    assert "400" in done.stderr
    assert "A row has 3 numbers. Expected 10" in done.stderr
    assert len(client.server.calls) == 1


def test_an_error_without_json_is_printed_too(client: BuiltClient) -> None:
    done = client.run(Reply(404, b"<h1>Not Found</h1>"))
    assert done.returncode != 0
    assert "<h1>Not Found</h1>" in done.stderr


def test_a_lost_connection_is_tried_again(client: BuiltClient) -> None:
    done = client.run(HANG_UP)
    if client.language == "curl":  # which tries again when a connection is refused, not lost
        assert done.returncode == 52
        return
    assert json.loads(done.stdout) == ["fine"], done.stderr
    assert len(client.server.calls) > 1


def test_curl_finds_a_service_that_comes_back(sources: Path) -> None:
    server = RecordingServer()
    server.reserve()
    uri = f"http://127.0.0.1:{server.port}/score"
    source = client_source(
        "curl", uri=uri, auth="none", example=None, is_image=False, name="flowers"
    )
    with subprocess.Popen(
        build("curl", source, sources / "patient-curl" / "client.sh"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()  # it has tried, and has said that it waits
        server.listen()
        out, rest = process.communicate(timeout=120)
    server.close()
    assert json.loads(out) == ["fine"], said + rest
    assert process.returncode == 0


@pytest.mark.parametrize("language", RUNNABLE)
def test_an_image_is_sent_as_it_is(
    language: Language, server: RecordingServer, sources: Path, tmp_path: Path
) -> None:
    image = tmp_path / "my photo's.jpg"
    image.write_bytes(bytes(range(256)) * 300)
    source = client_source(
        language,
        uri=f"http://127.0.0.1:{server.port}/score",
        auth="none",
        example=None,
        is_image=True,
        name="flowers",
    )
    file = sources / f"image-{language}" / LANGUAGES[language].file_name
    command = build(language, source, file)
    done = run(command, str(image), before=server.expect)
    assert json.loads(done.stdout) == ["fine"], done.stderr
    (call,) = server.calls
    assert call.body == image.read_bytes()
    assert call.headers["content-type"] == "application/octet-stream"
    assert "authorization" not in call.headers

    aimless = run(command)
    assert aimless.returncode != 0
    assert "IMAGE" in aimless.stderr
