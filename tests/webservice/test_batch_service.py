"""Batch services as the SDK and the command line have them."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import small_networks
from click.testing import CliRunner

from calotype import errors
from calotype.cli.main import program
from calotype.hosting.batch.jobs import BatchJobs
from calotype.hosting.layout import Layout
from calotype.scored_dataset import ScoredDataset
from calotype.webservice.batch import BatchWebservice
from calotype.webservice.deployment_documents import configuration_of
from calotype.webservice.exceptions import WebserviceException, WebserviceNotFound
from calotype.webservice.webservice import Webservice
from calotype.workspace.workspace import Workspace

WAIT_S = 60.0
SCRIPT = """
import os
import pandas as pd
def run(mini_batch):
    if os.path.exists({stop!r}):
        raise RuntimeError("stopped")
    return pd.DataFrame({{"file": [os.path.basename(one) for one in mini_batch], "score": 0.5}})
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Generator[Workspace]:
    made = Workspace.create("test", tmp_path)
    yield made
    jobs = BatchJobs(made)
    for job in jobs.list():
        jobs.cancel(job.id)
    made.close()


def deploy(workspace: Workspace, folder: Path, *, with_script: bool = False) -> BatchWebservice:
    """Deploy a batch service as the management does for SDK and commands."""
    from calotype.hosting.management import DeployRequest, Management
    from calotype.hosting.source_folder import inference_of
    from calotype.workspace.service_settings import Inference

    inference, models = Inference(), ()
    if with_script:
        (folder / "score.py").write_text(SCRIPT.format(stop=str(folder / "stop")))
        inference = inference_of(workspace, entry_script=folder / "score.py")
    else:
        small_networks.save_model(folder / "model")
        models = (workspace.models.register(folder / "model", "colours").id,)
    Management(workspace).deploy(
        DeployRequest("colours-batch", "batch", models=models, inference=inference)
    )
    return BatchWebservice(workspace, "colours-batch")


def run(folder: Path, *arguments: object) -> Any:
    """Run a command in the workspace of `folder` and return its JSON."""
    done = CliRunner(catch_exceptions=False).invoke(
        program, ["-o", "json", "service", *map(str, arguments), "-w", str(folder)]
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_an_image_model_gives_a_scored_dataset(
    workspace: Workspace, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = deploy(workspace, tmp_path)
    assert service.state == "Healthy"
    job = service.submit(photos, tmp_path / "out").wait(show_output=True, timeout_s=WAIT_S)
    assert "Completed 5 of 5 images" in capsys.readouterr().out
    assert (job.state, job.counts["scored"]) == ("Completed", 5)
    scored = job.result()
    assert isinstance(scored, ScoredDataset)
    assert scored.path == tmp_path / "out" == job.output_path
    assert [one.id for one in service.jobs()] == [service.job(job.id).id]


def test_a_script_gives_a_table_and_the_result_can_be_a_dataset(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    service = deploy(workspace, tmp_path, with_script=True)
    job = service.submit(photos, mini_batch_size=2, register_as="predicted")
    frame = job.wait(timeout_s=WAIT_S).result()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["path", "file", "score"]
    assert sorted(frame["file"]) == ["1.jpg", "1.jpg", "2.bmp", "2.png", "3.JPG"]
    assert job.serialize()["outputs"]["dataset"] == "predicted:1"
    assert workspace.datasets.get("predicted").path_or_unpacked() == job.output_path


def test_a_registered_dataset_is_a_source(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    workspace.datasets.register("animals", photos)
    service = deploy(workspace, tmp_path)
    assert service.submit("dataset:animals:1").wait(timeout_s=WAIT_S).counts["scored"] == 5
    with pytest.raises(WebserviceException, match="the name of a registered dataset"):
        service.submit("beasts")


def test_a_failure_has_its_reason_and_can_be_resumed(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    service = deploy(workspace, tmp_path, with_script=True)
    stop = tmp_path / "stop"
    stop.touch()
    job = service.submit(photos, retries=0, error_threshold=0)
    with pytest.raises(WebserviceException, match="Failed: batch job: expected at most 0 images"):
        job.wait(timeout_s=WAIT_S)
    assert "RuntimeError: stopped" in job.get_logs()
    with pytest.raises(WebserviceException, match="expected a completed job"):
        job.result()
    stop.unlink()
    assert job.resume().wait(timeout_s=WAIT_S).counts["predictions"] == 5


def test_wrong_values_are_refused_with_the_number_of_their_rule(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    service = deploy(workspace, tmp_path)
    with pytest.raises(WebserviceException, match="mini_batch_size"):
        service.submit(photos, mini_batch_size=0)
    with pytest.raises(WebserviceNotFound):
        BatchWebservice(workspace, "absent")
    with pytest.raises(WebserviceException):
        service.job("absent")
    configuration = configuration_of({"computeType": "batch", "description": "x"})
    assert configuration == BatchWebservice.deploy_configuration(description="x")


def test_it_is_a_service_like_others(workspace: Workspace, tmp_path: Path) -> None:
    deploy(workspace, tmp_path)
    service = Webservice(workspace, "colours-batch")
    assert isinstance(service, BatchWebservice)
    assert service.scoring_uri is None
    service.wait_for_deployment(show_output=True)
    service.update(deployment_config=BatchWebservice.deploy_configuration(workers=3))
    assert service.record().version().wanted.runtime.workers == 3
    assert [one.name for one in Webservice.list(workspace, compute_type="BATCH")] == [service.name]
    assert service.serialize()["modelIds"] == ["colours:1"]
    with pytest.raises(WebserviceException, match="expected a service that answers requests"):
        service.run(b"image")


def test_deleting_the_service_leaves_the_result_alone(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    service = deploy(workspace, tmp_path)
    job = service.submit(photos).wait(timeout_s=WAIT_S)
    service.delete()
    assert workspace.runs.list() == []
    assert not Layout.of(workspace.place).service("colours-batch").exists()
    assert (job.output_path / "scored.parquet").is_file()
    with pytest.raises(WebserviceNotFound):
        service.serialize()


def test_the_commands_do_the_same(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    deploy(workspace, tmp_path, with_script=True)
    submitted = run(
        tmp_path, "submit", "-n", "colours-batch", "--images", photos, "--mini-batch-size", 3,
        "--out", tmp_path / "out", "--wait",
    )  # fmt: skip
    assert submitted["state"] == "Completed"
    assert submitted["settings"]["mini_batch_size"] == 3
    assert submitted["outputs"]["counts"]["predictions"] == 5
    assert [one["id"] for one in run(tmp_path, "jobs")] == [submitted["id"]]
    assert run(tmp_path, "jobs", "-n", "another") == []
    assert run(tmp_path, "job", submitted["id"]) == submitted
    assert "completed" in run(tmp_path, "job-logs", submitted["id"])["log"]
    assert run(tmp_path, "cancel-job", submitted["id"])["state"] == "Completed"
    assert run(tmp_path, "resume-job", submitted["id"], "--wait")["state"] == "Completed"
    said = [
        "service",
        "submit",
        "-n",
        "colours-batch",
        "--images",
        str(photos),
        "-w",
        str(tmp_path),
    ]
    told = CliRunner(catch_exceptions=False).invoke(program, said)
    follow = re.search(r"`calotype service job (\w+) --wait` follows it", told.stderr)
    assert follow is not None
    assert run(tmp_path, "job", follow[1], "--wait")["state"] == "Completed"


def test_waiting_for_a_job_that_fails_is_a_failure(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    deploy(workspace, tmp_path)
    (photos / "cats/1.jpg").write_bytes(b"no picture")
    said = ["-n", "colours-batch", "--images", str(photos), "--error-threshold", "0"]
    runner = CliRunner(catch_exceptions=True)
    done = runner.invoke(program, ["service", "submit", *said, "--wait", "-w", str(tmp_path)])
    assert isinstance(done.exception, errors.OperationFailed)
    assert "0039: batch job: expected at most 0 images to fail" in done.stdout
