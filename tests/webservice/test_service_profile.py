"""Profiles: real services, called alone and by many."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest
import small_networks
from click.testing import CliRunner

from calotype.cli.main import program
from calotype.webservice.dataset import Dataset
from calotype.webservice.exceptions import WebserviceException
from calotype.webservice.inference_config import InferenceConfig
from calotype.webservice.profile import ModelProfile, bodies_of, profile
from calotype.webservice.profiling.load import Measurement
from calotype.webservice.profiling.sizing import best_of, is_worth_more, recommend, replicas_for
from calotype.workspace.workspace import Workspace

SLOW = """
import json, time
def init():
    global ballast
    ballast = bytes(30_000_000)
def run(raw_data):
    time.sleep(0.05)  # long beside what a busy machine adds to it
    return json.loads(raw_data)["data"]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Generator[Workspace]:
    made = Workspace.create("test", tmp_path)
    before = set(psutil.Process().children(recursive=True))
    yield made
    made.close()
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [one for one in left if one.is_running()]


def script(folder: Path, text: str = SLOW) -> InferenceConfig:
    (folder / "score.py").write_text(text)
    return InferenceConfig(str(folder / "score.py"))


def seen(callers: int, latency_ms: float, *, cores: float = 1.0) -> Measurement:
    """Return what callers measure who wait that long each time, for ten seconds."""
    count = round(callers * 10_000 / latency_ms)
    return Measurement(callers, [latency_ms] * count, 0, 10.0, cpu_s=10 * cores)


def test_the_sizing_formula_is_that_of_the_retired_product() -> None:
    assert replicas_for(100, 0.1, concurrent=1) == 15  # 100 x 0.1 / 0.7 = 14.3
    assert replicas_for(100, 0.1, concurrent=4) == 4
    assert replicas_for(7, 0.1, concurrent=1) == 1
    assert replicas_for(0.001, 0.1, concurrent=1) == 1


def test_the_fewest_callers_are_best_that_more_do_not_outdo() -> None:
    rising = [seen(1, 10), seen(2, 10), seen(4, 20), seen(8, 40)]
    assert best_of(rising).callers == 2
    assert is_worth_more(rising[:1])
    assert is_worth_more(rising[:2])
    assert not is_worth_more(rising[:3])
    failing = Measurement(4, [1.0] * 100, 1, 1.0)
    assert not is_worth_more([seen(1, 10), failing])


def test_a_script_gets_workers_and_a_model_gets_requests_at_a_time() -> None:
    rising = [seen(1, 10, cores=0.9), seen(2, 10, cores=1.81), seen(4, 20, cores=2)]
    of_script = recommend(rising, peak_bytes=410_000_000, is_script=True, requests_per_s=300)
    assert (of_script.workers, of_script.replica_max_concurrent_requests) == (2, 1)
    assert (of_script.cpu_cores, of_script.memory_gb) == (1.9, 0.6)
    assert of_script.requests_per_s == 140
    assert of_script.num_replicas == 3
    of_model = recommend(rising, peak_bytes=1, is_script=False)
    assert (of_model.workers, of_model.replica_max_concurrent_requests) == (1, 2)
    assert (of_model.memory_gb, of_model.num_replicas) == (0.1, None)


def test_an_image_model_is_measured_by_the_command(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    small_networks.save_model(tmp_path / "model")
    workspace.models.register(tmp_path / "model", "colours")
    said = ["-m", "colours", "--images", photos, "--duration-s", "0.2", "--requests-per-s", "1000"]
    done = CliRunner(catch_exceptions=False).invoke(
        program, ["-o", "json", "model", "profile", *map(str, said), "-w", str(tmp_path)]
    )
    document = json.loads(done.stdout)
    alone = document["measured"][0]
    assert alone["callers"] == 1
    assert alone["failures"] == 0
    assert 0 < alone["p50_ms"] <= alone["p90_ms"] <= alone["p99_ms"]
    assert [one["callers"] for one in document["measured"]][:2] == [1, 2]
    assert document["peak_memory_gb"] > 0.05
    recommended = document["recommended"]
    assert recommended["workers"] == 1
    assert recommended["memory_gb"] > document["peak_memory_gb"]
    assert recommended["num_replicas"] >= 1
    assert ModelProfile(workspace, "colours").recommended_workers == 1


def test_a_script_is_measured_with_its_workers(workspace: Workspace, tmp_path: Path) -> None:
    made = profile(workspace, "slow", [], script(tmp_path), '{"data": [1]}', duration_s=0.8, cpu=2)
    made.wait_for_completion(show_output=True)
    details = made.get_details()
    assert details["latencyPercentile50"] >= 50
    assert details["successRate"] == 100
    assert details["requestedCpu"] == 2
    assert made.recommended_workers >= 2  # sleeping needs no core
    assert made.recommended_replica_max_concurrent_requests == 1
    assert details["maxUtilizedMemoryInGB"] > 0.06  # both workers have their ballast
    assert made.serialize()["measured"][0]["callers"] == 1


def test_requests_come_from_a_dataset(workspace: Workspace, tmp_path: Path) -> None:
    asked = [{"data": [number]} for number in range(3)]
    (tmp_path / "asked.txt").write_text("\n".join(map(json.dumps, asked)))
    dataset = Dataset.File.from_files(tmp_path / "asked.txt")
    assert [json.loads(one.content) for one in bodies_of(dataset, workspace)] == asked
    registered = dataset.register(workspace, "asked", copy=True)
    configuration = script(tmp_path)
    made = profile(workspace, "lines", [], configuration, registered, duration_s=0.1)
    assert made.get_details()["successRate"] == 100
    assert made.get_details()["totalQueries"] >= 1


@pytest.mark.parametrize(
    ("name", "text", "asked"),
    [
        ("one.json", '{\n"data": [1]\n}', ['{\n"data": [1]\n}']),
        ("lines.jsonl", "[1]\n\n[2]\n", ["[1]", "[2]"]),
        ("cells.csv", 'Column1\n"{""data"": [1, 2]}"\n"[3]"\n', ['{"data": [1, 2]}', "[3]"]),
        ("words.txt", "one two\nthree\n", ["one two", "three"]),
        ("table.csv", "a,b\n1,2\n", ["a,b", "1,2"]),
    ],
)
def test_files_of_requests(
    workspace: Workspace, tmp_path: Path, name: str, text: str, asked: list[str]
) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    (folder / name).write_text(text)
    workspace.datasets.register("asked", folder)
    for given in (folder, folder / name, str(folder / name), folder / "*.*", "dataset:asked:1"):
        assert [one.content.decode() for one in bodies_of(given, workspace)] == asked
        assert {one.content_type for one in bodies_of(given, workspace)} == {"application/json"}


def test_a_body_may_be_longer_than_a_path(workspace: Workspace) -> None:
    body = json.dumps({"data": [1.5] * 100})
    assert [one.content.decode() for one in bodies_of(body, workspace)] == [body]


def test_a_file_without_requests_says_so(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(WebserviceException, match="expected requests"):
        bodies_of(tmp_path / "none.txt", workspace)
    with pytest.raises(WebserviceException, match="none of that pattern"):
        bodies_of(tmp_path / "*.jpg", workspace)
    (tmp_path / "half.json").write_text('{"data": [1,')
    with pytest.raises(WebserviceException, match="expected JSON"):
        bodies_of(tmp_path / "half.json", workspace)


def test_what_is_not_answered_cannot_be_measured(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WebserviceException, match="answer what it is asked"):
        profile(workspace, "wrong", [], script(tmp_path), '{"no": 1}', duration_s=0.1)
    failed = ModelProfile(workspace, "wrong")
    assert failed.state == "Failed"
    with pytest.raises(WebserviceException, match="a profile that succeeded"):
        failed.get_details()
    with pytest.raises(WebserviceException, match="expected a profile 'absent'"):
        ModelProfile(workspace, "absent")


def test_a_service_that_cannot_start_is_told_with_its_log(
    workspace: Workspace, tmp_path: Path
) -> None:
    broken = script(tmp_path, "def init():\n    1 / 0\ndef run(raw_data): ...")
    with pytest.raises(WebserviceException, match="ZeroDivisionError"):
        profile(workspace, "broken", [], broken, '{"data": 1}')


def test_more_memory_than_allowed_ends_it(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WebserviceException, match=r"at most 0.02 GB.* Got 0\.\d+ GB"):
        profile(workspace, "large", [], script(tmp_path), '{"data": 1}', memory_in_gb=0.02)
