"""What changes of services do to processes: those that shall not start, and what they get."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hosted import Hosted, until

from calotype.hosting import keeping
from calotype.hosting.management import DeployRequest, Management
from calotype.hosting.source_folder import inference_of
from calotype.workspace.service_settings import AccessSettings, RuntimeSettings

ECHO = "def init():\n    pass\n\n\ndef run(data):\n    return data\n"
VARIABLES = (
    "import os\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return sorted(os.environ)\n"
)
SECRETS = ("CALOTYPE_NEW_KEY", "CALOTYPE_PRIMARY_KEY", "CALOTYPE_KEY")


@pytest.fixture
def deploy(hosted: Hosted, tmp_path: Path) -> Callable[..., None]:
    """Give a function that deploys a script and waits until it serves."""
    management = Management(hosted.workspace)

    def make(name: str, script: str = ECHO, **values: Any) -> None:
        path = tmp_path / name / "score.py"
        path.parent.mkdir()
        path.write_text(script)
        inference = inference_of(hosted.workspace, entry_script=path)
        values = {"target": "instance", **values}
        management.deploy(DeployRequest(name, inference=inference, **values))
        management.wait(name, timeout_s=60)

    return make


def test_after_down_only_a_deployment_starts_processes(
    hosted: Hosted, deploy: Callable[..., None]
) -> None:
    management = Management(hosted.workspace)
    deploy("first", access=AccessSettings(auth="key"))
    deploy("second")
    keeping.down(hosted.workspace)
    hosted.until_gone()
    old = management.keys("first").primary
    management.regenerate_key("first", "primary")
    management.update("first", tags={"season": "autumn"})
    management.update("first", access={"cors_origins": ("*",)})
    assert management.delete("second") is True
    assert hosted.processes() == {}
    assert hosted.workspace.fact(keeping.IS_UP) is False
    assert not hosted.layout.service("second").exists()

    deploy("third")
    assert "workspace.up" in [entry.action for entry in hosted.workspace.audit.list("third")]
    hosted.until_state("first", "Healthy")
    new = management.keys("first").primary
    assert [hosted.score("first", 1, Authorization=f"Bearer {key}")[0] for key in (old, new)] == [
        401,
        200,
    ]


def test_no_process_gets_secrets_that_it_does_not_need(
    hosted: Hosted, deploy: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*SECRETS, "PGPASSWORD"):
        monkeypatch.setenv(name, "a-secret-of-ours")
    monkeypatch.setenv("OF_THE_USER", "1")
    deploy("curious", VARIABLES)
    status, names = hosted.score("curious")
    assert status == 200
    assert "OF_THE_USER" in names
    assert not {*SECRETS, "PGPASSWORD"} & set(names)
    keeper = hosted.until_kept()
    for pid, line in hosted.processes().items():
        try:
            given = Path(f"/proc/{pid}/environ").read_text()
        except OSError:  # it has ended meanwhile
            assert pid != keeper
            continue
        assert not [name for name in SECRETS if f"{name}=" in given], line
        assert ("PGPASSWORD=" in given) or pid != keeper


def ask_at_door(hosted: Hosted, name: str, token: str) -> int:
    uri = urlsplit(hosted.observe(name).scoring_uri)
    with closing(http.client.HTTPConnection(uri.hostname or "", uri.port, timeout=30)) as link:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        link.request("POST", uri.path, json.dumps({"data": 1}), headers)
        return link.getresponse().status


def test_a_token_of_another_service_is_forbidden_and_a_revoked_one_unknown(
    hosted: Hosted, deploy: Callable[..., None]
) -> None:
    management = Management(hosted.workspace)
    for name in ("birds", "flowers"):
        deploy(
            name,
            target="cluster",
            access=AccessSettings(auth="token"),
            runtime=RuntimeSettings(num_replicas=1),
        )
    tokens = {name: management.token(name).token for name in ("birds", "flowers")}
    for name, token in tokens.items():
        assert ask_at_door(hosted, name, token) == 200
    for name, other in (("birds", "flowers"), ("flowers", "birds")):
        until(lambda n=name, o=other: ask_at_door(hosted, n, tokens[o]) == 403, "it is forbidden")
    management.regenerate_key("birds", "token")
    assert ask_at_door(hosted, "birds", tokens["birds"]) == 401
    until(lambda: ask_at_door(hosted, "flowers", tokens["birds"]) == 401, "it is unknown")
    renewed = management.token("birds").token
    assert ask_at_door(hosted, "birds", renewed) == 200
    until(lambda: ask_at_door(hosted, "flowers", renewed) == 403, "the new key is known")
