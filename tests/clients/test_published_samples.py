"""The four samples of the original's documentation work when only URI and key are changed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from diabetes import KEY, PUBLISHED, RunningService
from toolchains import build, run

# The document is another's: it stands beside the project and is no part of it.
_FOLDER = Path(__file__).parents[2].parent / "shared" / "seeds"
DOCUMENT = Path(os.environ.get("CALOTYPE_SEEDS", _FOLDER)) / "004_ceeaaa2eac6850dc.txt"
FILES = {"csharp": "Program.cs", "go": "main.go", "java": "App.java", "python": "sample.py"}

pytestmark = pytest.mark.skipif(
    not DOCUMENT.exists(), reason=f"{DOCUMENT} is not there; CALOTYPE_SEEDS names its folder"
)


def sample(language: str, uri: str) -> str:
    """Return a sample with its two placeholders filled."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.M | re.S)
    (published,) = (block for block in blocks if "<your web service URI>" in block)
    return published.replace("<your web service URI>", uri).replace("<your key or token>", KEY)


@pytest.mark.parametrize("language", FILES)
def test_a_published_sample_prints_the_published_numbers(
    language: str, diabetes_service: RunningService, sources: Path
) -> None:
    source = sample(language, diabetes_service.uri)
    command = build(language, source, sources / f"published-{language}" / FILES[language])
    done = run(command)
    assert json.loads(done.stdout) == PUBLISHED, done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("language", "trusted_by"), [("go", "SSL_CERT_FILE"), ("python", "REQUESTS_CA_BUNDLE")]
)
def test_a_published_sample_works_over_tls(
    language: str, trusted_by: str, secure_diabetes_service: RunningService, sources: Path
) -> None:
    source = sample(language, secure_diabetes_service.uri)
    command = build(language, source, sources / f"secure-{language}" / FILES[language])
    done = run(command, variables={trusted_by: secure_diabetes_service.authority})
    assert json.loads(done.stdout) == PUBLISHED, done.stderr
