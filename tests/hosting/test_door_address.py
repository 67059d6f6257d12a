"""Where the front door listens: moved, refused, and taken by somebody else when it starts."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from hosted import Hosted, hosting, is_listening

from calotype import errors
from calotype.hosting import keeping, locks
from calotype.hosting.door_process import DoorProcess
from calotype.hosting.management import calling, waiting
from calotype.hosting.management.ports import free_port
from calotype.serving.server import listen


@pytest.fixture(scope="module")
def shared() -> Iterator[Hosted]:
    """A workspace that is up, with one service on the front door."""
    with hosting() as made:
        made.add("many", target="cluster", num_replicas=1)
        keeping.up(made.workspace)
        made.until_state("many", "Healthy")
        yield made


def fact(hosted: Hosted) -> Any:
    return hosted.workspace.fact("front_door")


def door_says(hosted: Hosted) -> dict[str, Any]:
    return locks.facts(hosted.layout.front_door_lock)


def run(hosted: Hosted) -> int:
    """Call the service as `calotype service run` does, with its key."""
    return calling.run(hosted.workspace, "many", b'{"data": 1}', timeout_s=20).status


def had_no_caller(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False


def test_a_port_that_somebody_has_is_refused_and_gets_no_key(shared: Hosted) -> None:
    before, uri = fact(shared), shared.observe("many").scoring_uri
    port = free_port(shared.workspace, "127.0.0.1")
    with listen("127.0.0.1", port) as foreign:
        with pytest.raises(errors.CannotListen, match=f"{port}.*stays where it was"):
            keeping.up(shared.workspace, port=port)
        assert fact(shared) == before
        assert shared.observe("many").scoring_uri == uri
        assert keeping.status(shared.workspace)["front_door"]["uri"] + "/" in uri
        assert run(shared) == 200
        assert had_no_caller(foreign)
    keeping.up(shared.workspace, port=port)
    assert fact(shared)["port"] == urlsplit(shared.observe("many").scoring_uri).port == port
    assert run(shared) == 200


def test_another_address_of_the_same_port(shared: Hosted) -> None:
    port = fact(shared)["port"]
    with listen("127.0.0.2", port):
        with pytest.raises(errors.CannotListen):
            keeping.up(shared.workspace, host="0.0.0.0")  # noqa: S104 - for a moment
        assert (door_says(shared)["host"], fact(shared)["host"]) == ("127.0.0.1", "127.0.0.1")
        assert run(shared) == 200
    keeping.up(shared.workspace, host="0.0.0.0")  # noqa: S104 - for a moment
    assert (door_says(shared)["host"], door_says(shared)["port"]) == ("0.0.0.0", port)  # noqa: S104
    assert run(shared) == 200
    keeping.up(shared.workspace, host="127.0.0.1")
    assert run(shared) == 200


def test_between_two_doors_callers_wait_at_the_old_address_when_the_new_one_is_refused(
    shared: Hosted,
) -> None:
    door = DoorProcess(shared.folder, shared.layout, ended=lambda: None)
    port = free_port(shared.workspace, "127.0.0.1")
    door.listen({"host": "127.0.0.1", "port": port})
    try:
        with listen("127.0.0.2", port), listen("127.0.0.1", 0) as foreign:
            for taken in (("0.0.0.0", port), ("127.0.0.1", foreign.getsockname()[1])):  # noqa: S104
                with pytest.raises(errors.CannotListen):
                    door.listen({"host": taken[0], "port": taken[1]})
                assert door.port == port
                assert is_listening(port)
        door.listen({"host": "0.0.0.0", "port": port})  # noqa: S104 - for a moment
        assert door.port == port
    finally:
        door.let_go()


def test_a_certificate_that_cannot_be_used_is_not_kept(shared: Hosted, tmp_path: Path) -> None:
    before = fact(shared)
    bad = tmp_path / "bad.pem"
    bad.write_text("x")
    with pytest.raises(errors.UnparsableFile, match="bad"):
        keeping.up(shared.workspace, tls_certificate=str(bad), tls_key=str(bad))
    assert fact(shared) == before
    assert keeping.up(shared.workspace)["front_door"]["error"] == ""
    assert run(shared) == 200


def test_a_certificate_that_is_spoilt_later_is_told_and_taken_away(
    shared: Hosted, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "door.pem", tmp_path / "door.key"
    issued = trustme.CA().issue_cert("127.0.0.1")
    certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    found = keeping.up(shared.workspace, tls_certificate=str(certificate), tls_key=str(key))
    assert found["front_door"]["uri"].startswith("https://127.0.0.1:")
    certificate.write_text("x")
    (door,) = shared.pids("hosting.front_door")
    os.kill(door, signal.SIGKILL)
    seen = shared.until_state("many", "Unschedulable")
    assert seen.error is not None
    assert "--no-tls" in seen.error["message"]
    assert seen.scoring_uri == ""
    with pytest.raises(errors.UnparsableFile, match="--no-tls"):
        keeping.up(shared.workspace)
    keeping.up(shared.workspace, tls_certificate="", tls_key="")
    assert shared.until_state("many", "Healthy").scoring_uri.startswith("http:")
    assert run(shared) == 200


def test_two_workspaces_that_chose_the_same_port() -> None:
    with hosting() as first, hosting() as second:
        for one in (first, second):
            one.workspace.set_fact("front_door", None)
        first.add("many", target="cluster", num_replicas=1)
        keeping.up(first.workspace)
        port = fact(first)["port"]
        keeping.up(second.workspace)
        assert fact(second)["port"] not in (0, port)
        assert max(port, fact(second)["port"]) < 32_768  # none that systems hand out by chance
        port = free_port(first.workspace, "127.0.0.1")  # which no other test comes to want
        keeping.up(first.workspace, port=port)
        keeping.down(first.workspace)
        keeping.up(second.workspace, port=port)
        with pytest.raises(errors.CannotListen, match=rf"127\.0\.0\.1:{port}.*up --port"):
            keeping.up(first.workspace)
        seen = first.until_state("many", "Unschedulable")
        assert seen.error is not None
        assert f"127.0.0.1:{port}" in seen.error["message"]
        assert seen.scoring_uri == ""  # somebody else would get its keys there
        status = keeping.status(first.workspace)
        assert f"127.0.0.1:{port}" in status["front_door"]["error"]
        with pytest.raises(waiting.DeploymentFailed, match="calotype up --port"):
            waiting.wait(first.workspace, "many")
        with pytest.raises(errors.OperationFailed, match="Unschedulable"):
            run(first)
        keeping.down(second.workspace)
        first.until_state("many", "Healthy")
        assert run(first) == 200
        assert fact(first)["port"] == port


def test_a_wish_that_cannot_be_had_brings_nothing_up(hosted: Hosted) -> None:
    before = fact(hosted)
    hosted.workspace.set_fact(keeping.IS_UP, False)
    with listen("127.0.0.1", 0) as foreign, pytest.raises(errors.CannotListen):
        keeping.up(hosted.workspace, port=foreign.getsockname()[1])
    assert (hosted.workspace.fact(keeping.IS_UP), fact(hosted)) == (False, before)


def test_a_service_that_has_never_answered_gets_no_request(shared: Hosted) -> None:
    go = shared.folder / "go"
    script = f"import os, time\n\n\ndef init():\n    while not os.path.exists({str(go)!r}):\n"
    shared.add("slow", script + "        time.sleep(0.01)\n\n\ndef run(data):\n    return 1\n")
    with pytest.raises(errors.OperationFailed, match="one that is starting"):
        calling.run(shared.workspace, "slow", b"{}", timeout_s=20)
    go.touch()
    shared.until_state("slow", "Healthy")
    assert calling.run(shared.workspace, "slow", b"{}", timeout_s=20).status == 200
