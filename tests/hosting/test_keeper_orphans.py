"""What runs of a service without a record is ended, whoever looked away when that was deleted."""

from __future__ import annotations

from hosted import ECHO, Hosted, is_listening, kill, until

from calotype.hosting import keeping


def test_a_service_deleted_while_its_keeper_dies_ends(hosted: Hosted) -> None:
    hosted.add("other")
    hosted.add("orphan")
    for name in ("other", "orphan"):
        hosted.until_state(name, "Healthy")
    port = hosted.port("orphan")
    keeper = hosted.freeze_keeper()  # it sees nothing of what follows
    hosted.workspace.services.delete("orphan")
    kill(keeper)
    keeping.notify(hosted.workspace, "orphan")
    until(lambda: not hosted.layout.service("orphan").exists(), "nothing of it is left")
    assert not is_listening(port)
    assert len(hosted.pids("hosting.replica")) == 1
    assert hosted.score("other")[0] == 200
    hosted.add("orphan", ECHO.replace("1", "7"))
    hosted.until_state("orphan", "Healthy")
    assert hosted.score("orphan")[1]["revision"] == 7


def test_the_last_service_deleted_without_a_keeper_ends(hosted: Hosted) -> None:
    hosted.add("orphan")
    hosted.until_state("orphan", "Healthy")
    keeper = hosted.freeze_keeper()  # it would start another standby
    hosted.kill_standbys()
    kill(keeper)
    hosted.workspace.services.delete("orphan")  # and nobody is told
    hosted.until_gone()
    assert not hosted.layout.service("orphan").exists()
