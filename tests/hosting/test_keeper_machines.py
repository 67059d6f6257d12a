"""A service goes on when its machine gets another name, and is left alone by other machines."""

from __future__ import annotations

import os
import signal

import pytest
from hosted import Hosted, hosting, until

from calotype import errors
from calotype.hosting import keeping
from calotype.hosting.management.management import Management
from calotype.hosting.management.request import DeployRequest
from calotype.workspace.service_settings import Inference


def test_a_record_with_an_old_host_name_is_of_this_machine(hosted: Hosted) -> None:
    hosted.add("echo")
    before = hosted.until_state("echo", "Healthy").replicas[0].pid
    hosted.change("echo", host="as-it-was-called")
    keeper = hosted.keeper()
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    until(lambda: hosted.keeper() not in (None, keeper), "another keeper")
    seen = hosted.until_state("echo", "Healthy")
    assert [one.pid for one in seen.replicas] == [before]


def test_a_service_of_another_machine_is_told_as_such_and_keeps_its_files() -> None:
    with hosting(shares_database=True) as hosted:
        hosted.add("echo")
        hosted.add("other")
        for name in ("echo", "other"):
            hosted.until_state(name, "Healthy")
        hosted.change("echo", host="elsewhere~1234")
        until(lambda: len(hosted.pids("hosting.replica")) == 1, "it has ended here")
        assert list(hosted.layout.logs("echo").glob("*.log"))
        error = hosted.observe("echo").error
        assert error is not None
        assert "It belongs to machine elsewhere" in error["message"]
        status = {one["name"]: one["error"] for one in keeping.status(hosted.workspace)["services"]}
        assert "It belongs to machine elsewhere" in status["echo"]
        assert status["other"] == ""
        source = hosted.source("def init():\n    pass\n\n\ndef run(data):\n    return 1\n")
        inference = Inference(entry_script="score.py", source=source)
        with pytest.raises(errors.NotSupported, match="it belongs to machine elsewhere"):
            Management(hosted.workspace).deploy(
                DeployRequest("echo", "local", inference=inference, overwrite=True)
            )
