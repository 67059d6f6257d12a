"""What the original's documentation prints in Python runs after its imports are changed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from deployed import PUBLISHED, ROWS, inference, running_workspace
from PIL import Image

from calotype.azureml.core import Model, Webservice, Workspace
from calotype.azureml.core.webservice import AksWebservice, LocalWebservice

# The document is another's: it stands beside the project and is no part of it.
_FOLDER = Path(__file__).parents[2].parent / "shared" / "seeds"
DOCUMENT = Path(os.environ.get("CALOTYPE_SEEDS", _FOLDER)) / "004_ceeaaa2eac6850dc.txt"

pytestmark = pytest.mark.skipif(
    not DOCUMENT.exists(), reason=f"{DOCUMENT} is not there; CALOTYPE_SEEDS names its folder"
)
PHOTOGRAPH_SCRIPT = """
import io
from PIL import Image
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    return AMLResponse(str(Image.open(io.BytesIO(request.get_data())).size), 200)
"""
Run = Callable[..., dict[str, Any]]


def snippets() -> list[str]:
    """Return the Python of the document, in its order, without quotation marks and indents."""
    found: list[str] = []
    lines = DOCUMENT.read_text("utf-8").splitlines()
    for index, line in enumerate(lines):
        start = re.fullmatch(r"([> ]*)```python", line)
        if start is None:
            continue
        end = next(n for n in range(index + 1, len(lines)) if lines[n] == f"{start[1]}```")
        found.append("\n".join(text[len(start[1]) :] for text in lines[index + 1 : end]))
    return found


def snippet(words: str) -> str:
    """Return the only snippet with these words."""
    (found,) = (one for one in snippets() if words in one)
    return found


@pytest.fixture(scope="module")
def workspace() -> Iterator[tuple[Workspace, Path]]:
    with running_workspace() as made:
        yield made


@pytest.fixture(scope="module")
def run(workspace: tuple[Workspace, Path]) -> Run:
    """Give a function that runs a snippet with the names that the document takes for granted."""
    ws, folder = workspace
    known = {"ws": ws, "Model": Model, "Webservice": Webservice}
    known |= {"inference_config": inference(folder), "model": Model(ws, "diabetes")}

    def run_one(text: str, **more: Any) -> dict[str, Any]:
        names = {**known, **more}
        exec(compile(text, "snippet", "exec"), names)  # noqa: S102 - that is the test
        return names

    return run_one


@pytest.fixture(scope="module")
def service(run: Run) -> Webservice:
    """The service of the first snippet."""
    configuration = AksWebservice.deploy_configuration(num_replicas=1)
    names = run(snippet("Model.deploy("), deployment_config=configuration)
    return names["service"]


def test_the_document_has_seven_snippets() -> None:
    assert len(snippets()) == 7


def test_deploying_prints_both_addresses(
    run: Run, service: Webservice, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = AksWebservice.deploy_configuration(num_replicas=1)
    again = snippet("Model.deploy(").replace("deployment_config)", "deployment_config, None, True)")
    run(again, deployment_config=configuration)
    printed = capsys.readouterr().out
    assert 'AKS service "myservice": operation "Succeeded"' in printed
    assert printed.splitlines()[-2:] == [service.scoring_uri, service.swagger_uri]
    assert service.scoring_uri is not None
    assert service.scoring_uri.endswith("/api/v1/service/myservice/score")


def test_services_are_listed(
    run: Run, service: Webservice, capsys: pytest.CaptureFixture[str]
) -> None:
    run(snippet("Webservice.list(ws)"))
    assert capsys.readouterr().out.split() == [service.scoring_uri, service.swagger_uri]


def test_a_service_is_found_by_its_name(
    run: Run, service: Webservice, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(snippet("name='myservice'"))["service"]
    assert capsys.readouterr().out.split() == [service.scoring_uri, service.swagger_uri]
    assert isinstance(found, AksWebservice)
    swagger = requests.get(found.swagger_uri or "", timeout=30).json()
    assert swagger["info"]["title"] == "myservice"


def test_keys_are_shown_and_open_the_service(
    run: Run, service: Webservice, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run(snippet("service.get_keys()"), service=service)
    assert capsys.readouterr().out.strip() == names["primary"]
    assert (names["primary"], names["secondary"]) == service.get_keys()


def test_the_client_prints_the_published_numbers(
    run: Run, service: Webservice, capsys: pytest.CaptureFixture[str]
) -> None:
    text = snippet("requests.post(scoring_uri")
    assert service.scoring_uri is not None
    text = text.replace("<your web service URI>", service.scoring_uri)
    run(text.replace("<your key or token>", service.get_keys()[1]))
    assert json.loads(capsys.readouterr().out) == PUBLISHED


def test_a_token_opens_a_service_that_takes_tokens(
    run: Run, workspace: tuple[Workspace, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    ws, folder = workspace
    configuration = AksWebservice.deploy_configuration(num_replicas=1, token_auth_enabled=True)
    service = Model.deploy(ws, "with-tokens", ["diabetes"], inference(folder), configuration)
    service.wait_for_deployment()
    names = run(snippet("service.get_token()"), service=service)
    token = capsys.readouterr().out.strip()
    assert names["refresh_by"] > datetime.now(UTC)
    headers = {"Authorization": f"Bearer {token}"}
    reply = requests.post(service.scoring_uri or "", json=ROWS, headers=headers, timeout=30)
    assert (reply.status_code, reply.json()) == (200, PUBLISHED)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # as it is printed
def test_a_photograph_is_sent_as_it_is(
    run: Run,
    workspace: tuple[Workspace, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ws, folder = workspace
    script = inference(folder, PHOTOGRAPH_SCRIPT)
    service = Model.deploy(ws, "raw", [], script, LocalWebservice.deploy_configuration())
    service.wait_for_deployment()
    Image.new("RGB", (8, 6)).save(tmp_path / "example.jpg")
    monkeypatch.chdir(tmp_path)
    # The import must name what the call names; the other mark is of the document's quotation.
    text = snippet("example.jpg").replace("import requests", "import requests as request")
    text = text.replace("/> octet", "/octet").replace("<scoring-uri>", service.scoring_uri or "")
    answered = run(text)["res"]
    assert (answered.status_code, answered.text) == (200, "(8, 6)")


def test_names_of_the_document_are_all_there(service: Webservice) -> None:
    told = SimpleNamespace(auth=service.auth_enabled, token=service.token_auth_enabled)
    assert told == SimpleNamespace(auth=True, token=False)
