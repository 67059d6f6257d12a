"""Our own clients against the diabetes service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from diabetes import KEY, PUBLISHED, ROWS, RunningService
from toolchains import TOOLCHAINS, build, run

from calotype.cli.main import program
from calotype.clients import LANGUAGES, Language, client_source

RUNNABLE = list(TOOLCHAINS)


def build_client(language: Language, service: RunningService, folder: Path) -> list[str]:
    source = client_source(
        language, uri=service.uri, auth="key", example=ROWS, is_image=False, name="diabetes"
    )
    assert KEY not in source
    return build(language, source, folder / LANGUAGES[language].file_name)


@pytest.mark.parametrize("language", RUNNABLE)
def test_a_client_prints_the_published_numbers_and_needs_the_key(
    language: Language, diabetes_service: RunningService, sources: Path
) -> None:
    command = build_client(language, diabetes_service, sources / f"generated-{language}")

    done = run(command, variables={"CALOTYPE_KEY": KEY})
    assert json.loads(done.stdout) == PUBLISHED, done.stderr
    assert done.returncode == 0

    refused = run(command, variables={"CALOTYPE_KEY": "another-key"})
    assert refused.returncode != 0
    assert refused.stdout == ""
    assert "401" in refused.stderr
    assert "key" in refused.stderr.replace("CALOTYPE_KEY", "")

    keyless = run(command)
    assert keyless.returncode != 0
    assert "CALOTYPE_KEY" in keyless.stderr


@pytest.mark.parametrize(
    ("language", "trusted_by"),
    [
        ("python", "SSL_CERT_FILE"),
        ("go", "SSL_CERT_FILE"),
        ("javascript", "NODE_EXTRA_CA_CERTS"),
        ("curl", "CURL_CA_BUNDLE"),
    ],
)
def test_a_client_works_over_tls(
    language: Language, trusted_by: str, secure_diabetes_service: RunningService, sources: Path
) -> None:
    command = build_client(language, secure_diabetes_service, sources / f"tls-{language}")
    variables = {trusted_by: secure_diabetes_service.authority, "CALOTYPE_KEY": KEY}
    assert json.loads(run(command, variables=variables).stdout) == PUBLISHED


def test_the_command_asks_the_service_itself(diabetes_service: RunningService) -> None:
    arguments = ["service", "client", "--uri", diabetes_service.uri, "--language", "python"]
    result = CliRunner().invoke(program, arguments, env={"CALOTYPE_KEY": KEY})
    assert result.exit_code == 0, result.output
    compile(result.stdout, "client.py", "exec")
    assert f'SCORING_URI = "{diabetes_service.uri}"' in result.stdout
    assert 'os.environ["CALOTYPE_KEY"]' in result.stdout.replace("'", '"')
    assert KEY not in result.stdout
