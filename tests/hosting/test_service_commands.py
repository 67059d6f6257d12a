"""`calotype model deploy` and `calotype service …` with services in real processes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import trustme
from click.testing import CliRunner, Result
from hosted import ECHO, Hosted, hosting

from calotype.cli.main import program

SCRIPT = """
import json, os

def init():
    print('model folder', os.environ['AZUREML_MODEL_DIR'])

def run(data):
    return {'said': json.loads(data)['data'], 'version': VERSION}
"""
RAW = """
from azureml.contrib.services.aml_request import rawhttp

def init():
    pass

@rawhttp
def run(request):
    print('got bytes', flush=True)
    return [len(request.get_data()), request.headers['Content-Type']]
"""
RAISES = "def init():\n    raise LookupError('no such weights')\n\n\ndef run(data): return 1\n"


@pytest.fixture(scope="module")
def hosted() -> Iterator[Hosted]:
    with hosting() as made:
        (made.folder / "weights.bin").write_bytes(b"weights")
        (made.folder / "source").mkdir()
        write(made, 1)
        yield made


def write(hosted: Hosted, version: int) -> None:
    text = SCRIPT.replace("VERSION", str(version))
    (hosted.folder / "source" / "score.py").write_text(text)


def calotype(hosted: Hosted, *arguments: str, code: int = 0, **options: Any) -> Result:
    command = ["-w", str(hosted.folder), *arguments]
    told = CliRunner().invoke(program, command, catch_exceptions=True, **options)
    failed = told.exception is not None and not isinstance(told.exception, SystemExit)
    assert (1 if failed else told.exit_code) == code, (told.output, told.exception, hosted.logs())
    return told


def document(hosted: Hosted, *arguments: str) -> Any:
    return json.loads(calotype(hosted, "-o", "json", *arguments).stdout)


def test_a_service_from_its_first_day_to_its_last(hosted: Hosted) -> None:
    source = str(hosted.folder / "source")
    told = calotype(
        hosted, "model", "deploy", "-n", "diabetes", "-m", str(hosted.folder / "weights.bin"),
        "--entry-script", "score.py", "--source-directory", source, "--compute", "instance",
        "--auth", "key", "--tag", "team=garden", "--description", "for tests",
    )  # fmt: skip
    assert "Registered" in told.stderr
    assert "as model weights:1" in told.stderr
    assert "diabetes: Healthy" in told.stderr
    assert "get-keys -n diabetes" in told.stdout
    # A script that describes nothing has no example to be sent.
    assert told.stdout.endswith("Call it with\n  calotype service run -n diabetes -d '…'\n")
    steps = [line for line in told.stderr.splitlines() if line.startswith("diabetes: ")]
    assert steps[-1] == "diabetes: Healthy"

    shown = document(hosted, "service", "show", "-n", "diabetes")
    assert shown["state"] == "Healthy"
    assert shown["scoring_uri"].endswith("/score")
    assert shown["swagger_uri"].endswith("/swagger.json")
    assert shown["models"] == ["weights:1"]
    table = calotype(hosted, "service", "show", "-n", "diabetes").stdout
    assert all(shown[uri] in table for uri in ("scoring_uri", "swagger_uri"))

    said = calotype(hosted, "service", "run", "-n", "diabetes", "-d", '{"data": 3}').stdout
    assert json.loads(said) == {"said": 3, "version": 1}
    body = hosted.folder / "body.json"
    body.write_text('{"data": 4}')
    assert document(hosted, "service", "run", "-n", "diabetes", "-d", f"@{body}")["said"] == 4

    keys = document(hosted, "service", "get-keys", "-n", "diabetes")
    only = calotype(hosted, "service", "get-keys", "-n", "diabetes", "--only", "primary").stdout
    assert only == keys["primary_key"] + "\n"
    assert keys["secondary_key"] in calotype(hosted, "service", "get-keys", "-n", "diabetes").stdout
    new = document(hosted, "service", "regen-key", "-n", "diabetes", "-k", "Primary")
    assert new["primary_key"] != keys["primary_key"]
    old = hosted.score("diabetes", 1, Authorization=f"Bearer {keys['primary_key']}")
    other = hosted.score("diabetes", 1, Authorization=f"Bearer {keys['secondary_key']}")
    assert (old[0], other[0]) == (401, 200)

    write(hosted, 2)
    calotype(
        hosted, "service", "update", "-n", "diabetes", "--entry-script", "score.py",
        "--source-directory", source, "--tag", "stage=two", "--remove-tag", "team",
    )  # fmt: skip
    after = document(hosted, "service", "show", "-n", "diabetes")
    assert after["scoring_uri"] == shown["scoring_uri"]
    assert after["tags"] == {"stage": "two"}
    assert document(hosted, "service", "run", "-n", "diabetes", "-d", '{"data": 1}')["version"] == 2
    assert hosted.score("diabetes", 1, Authorization=f"Bearer {new['primary_key']}")[0] == 200
    calotype(hosted, "service", "rollback", "-n", "diabetes")
    assert document(hosted, "service", "run", "-n", "diabetes", "-d", '{"data": 1}')["version"] == 1

    log = calotype(hosted, "service", "get-logs", "-n", "diabetes", "--num-lines", "500").stdout
    assert "model folder" in log
    assert calotype(hosted, "service", "get-logs", "-n", "diabetes", "--num-lines", "1").stdout
    checked = calotype(hosted, "service", "check", "-n", "diabetes", "-o", "json")
    assert json.loads(checked.stdout)["passed"] is True
    client = calotype(hosted, "service", "client", "-n", "diabetes", "--language", "python").stdout
    assert shown["scoring_uri"] in client
    assert "CALOTYPE_KEY" in client

    assert document(hosted, "service", "delete", "-n", "diabetes")["deleted"] is True
    gone = calotype(hosted, "service", "show", "-n", "diabetes", code=1)
    assert "2004" in str(getattr(gone.exception, "line", ""))


def test_the_line_to_call_it_works_as_it_stands(hosted: Hosted) -> None:
    told = document(
        hosted, "model", "deploy", "-n", "copied", "--entry-script",
        str(hosted.folder / "source" / "score.py"), "--auth", "key", "--ct", "instance",
        "-m", str(hosted.folder / "weights.bin"),
    )  # fmt: skip
    folder = hosted.folder / "bin"
    folder.mkdir()
    ours = folder / "calotype"
    ours.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m calotype -w {hosted.folder} "$@"\n'
    )
    ours.chmod(0o755)
    line = told["call_it_with"].replace("…", '{"data": 7}')  # it takes anything
    answered = subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(answered.stdout)["version"] in (1, 2), (line, answered)
    calotype(hosted, "service", "delete", "-n", "copied", "-y")


def test_a_certificate_for_a_name_that_leads_elsewhere_is_no_hindrance(hosted: Hosted) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("flowers.example.org")
    certificate, key = hosted.folder / "cert.pem", hosted.folder / "key.pem"
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    model = hosted.folder / "relu.onnx"
    onnx.save(relu(), str(model))
    told = document(
        hosted, "model", "deploy", "-n", "secured", "-m", str(model), "--compute", "instance",
        "--auth", "key", "--ssl-cname", "flowers.example.org",
        "--tls-cert", str(certificate), "--tls-key", str(key),
    )  # fmt: skip
    assert told["scoring_uri"].startswith("https://flowers.example.org:")
    run = ["service", "run", "-n", "secured", "-d", '{"data": [[1, -2, 3]]}']
    assert document(hosted, *run) == [[1, 0, 3]]
    checked = calotype(hosted, "service", "check", "-n", "secured", "-o", "json")
    assert json.loads(checked.stdout)["passed"] is True
    client = calotype(hosted, "service", "client", "-n", "secured", "--language", "curl").stdout
    assert '"data"' in client

    port = told["scoring_uri"].split(":")[2].split("/")[0]
    assert f"--resolve flowers.example.org:{port}:127.0.0.1" in told["call_it_with"]
    primary = document(hosted, "service", "get-keys", "-n", "secured")["primary_key"]
    line = told["call_it_with"].replace(
        "$(calotype service get-keys -n secured --only primary)", primary
    )
    authority.cert_pem.write_to_path(str(certificate), append=True)  # curl wants the whole chain
    answered = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True
    )
    assert len(json.loads(answered.stdout)[0]) == 3
    calotype(hosted, "service", "delete", "-n", "secured")


def test_an_image_is_sent_as_it_is_and_the_log_is_followed(hosted: Hosted) -> None:
    folder = hosted.folder / "raw"
    folder.mkdir()
    (folder / "score.py").write_text(RAW)
    calotype(
        hosted, "model", "deploy", "-n", "raw-bytes", "--entry-script", str(folder / "score.py"),
        "-m", str(hosted.folder / "weights.bin"), "--no-wait",
    )  # fmt: skip
    hosted.until_state("raw-bytes", "Healthy")
    image = folder / "photo.jpg"
    image.write_bytes(b"\xff\xd8 no image, but bytes")
    command = [sys.executable, "-m", "calotype", "-w", str(hosted.folder), "service", "get-logs"]
    with subprocess.Popen(
        [*command, "-n", "raw-bytes", "--follow"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    ) as following:
        assert following.stdout is not None
        for line in following.stdout:  # what there was before it began
            if '"ready"' in line:
                break
        said = document(hosted, "service", "run", "-n", "raw-bytes", "--image", str(image))
        assert said == [image.stat().st_size, "image/jpeg"]
        assert any("got bytes" in line for line in following.stdout)
        calotype(hosted, "service", "delete", "-n", "raw-bytes")
        assert following.wait(60) == 0  # there is nothing to follow any more


def relu() -> onnx.ModelProto:
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def test_a_failed_start_prints_the_trace_and_the_model_folder(hosted: Hosted) -> None:
    script = hosted.folder / "raises" / "score.py"
    script.parent.mkdir()
    script.write_text(RAISES)
    told = calotype(
        hosted, "model", "deploy", "-n", "failing", "--entry-script", str(script),
        "-m", str(hosted.folder / "weights.bin"), code=1,
    )  # fmt: skip
    assert "LookupError: no such weights" in told.stderr
    assert "weights.bin" in told.stderr.split("AZUREML_MODEL_DIR")[1]
    line = str(getattr(told.exception, "line", ""))
    assert "get-logs -n failing" in line
    states = document(hosted, "service", "list")
    assert [(one["name"], one["state"]) for one in states] == [("failing", "Failed")]
    assert "no such weights" in calotype(hosted, "service", "get-logs", "-n", "failing").stdout
    told = calotype(hosted, "service", "update", "-n", "failing", "--tag", "a=b")
    assert "LookupError" not in told.stderr  # labels start nothing that could fail
    log = document(hosted, "service", "get-logs", "-n", "failing")["lines"]
    assert [line for line in log if "no such weights" in line.get("message", "")]
    assert sorted(line["time"] for line in log) == [line["time"] for line in log]
    text = calotype(hosted, "service", "get-logs", "-n", "failing", "--log-format", "text").stdout
    assert "\n  LookupError: no such weights" in text

    # Nothing ever answered under that name: the mended script needs no --overwrite.
    script.write_text(ECHO)
    deploy = ["model", "deploy", "-n", "failing", "--entry-script", str(script), "-m", "weights"]
    calotype(hosted, *deploy)
    assert document(hosted, "service", "show", "-n", "failing")["state"] == "Healthy"
    again = calotype(hosted, *deploy, code=1)
    assert "--overwrite" in str(getattr(again.exception, "line", ""))
    calotype(hosted, "service", "delete", "-n", "failing")


# As from a terminal: a shell ignores Ctrl-C for what it starts in the background.
PROGRAM = """
import signal
from calotype.cli.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def test_an_interrupted_deployment_goes_on_and_says_so(hosted: Hosted) -> None:
    script = hosted.folder / "slow" / "score.py"
    script.parent.mkdir()
    gate = hosted.folder / "gate"
    script.write_text(
        "import os, time\ndef init():\n"
        f"    while not os.path.exists({str(gate)!r}): time.sleep(0.05)\n"
        "def run(data): return 1\n"
    )
    command = [sys.executable, "-c", PROGRAM, "-w", str(hosted.folder), "model", "deploy"]
    with subprocess.Popen(
        [*command, "-n", "slow", "--entry-script", str(script), "-m", "weights"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    ) as deploying:
        assert deploying.stderr is not None
        steps: list[str] = []
        for line in deploying.stderr:
            steps += [line] if line.startswith("slow: ") else []
            if "starting" in line:
                break
        assert steps[0] == "slow: Transitioning\n"
        deploying.send_signal(signal.SIGINT)
        said = deploying.stderr.read()
        assert deploying.wait(60) == 130
    assert "Interrupted. It goes on in the background" in said
    assert "`calotype service show -n slow`" in said
    assert "`calotype service delete -n slow` deletes it" in said
    gate.touch()
    hosted.until_state("slow", "Healthy")
    calotype(hosted, "service", "delete", "-n", "slow")


def test_filters_of_list_go_together(hosted: Hosted) -> None:
    model = str(hosted.folder / "ridge.onnx")
    Path(model).write_bytes(b"1")
    for name, tags in (("first-job", ["a=1", "b=2"]), ("second-job", ["a=2"])):
        options = [part for tag in tags for part in ("--tag", tag)]
        calotype(
            hosted, "model", "deploy", "-n", name, "-m", model, "--compute", "batch",
            "--property", f"of={name}", *options,
        )  # fmt: skip

    def names(*options: str) -> list[str]:
        return [one["name"] for one in document(hosted, "service", "list", *options)]

    assert names() == ["first-job", "second-job"]
    assert names("--tag", "a") == ["first-job", "second-job"]
    assert names("--tag", "a=2") == ["second-job"]
    assert names("--tag", "a", "--tag", "b") == ["first-job"]
    assert names("--property", "of=first-job") == ["first-job"]
    assert names("--model", "ridge") == ["first-job", "second-job"]
    assert names("--model", "ridge:1") == ["first-job"]
    assert names("--compute", "cluster") == []
    assert names("--compute", "batch", "--tag", "b=3") == []
    assert "first-job" in calotype(hosted, "service", "list").stdout
    for name in names():
        calotype(hosted, "service", "delete", "-n", name)
    assert "No services." in calotype(hosted, "service", "list").stdout


def test_versions_of_a_cluster_service_share_its_traffic(hosted: Hosted) -> None:
    source = str(hosted.folder / "source")
    script = ["--entry-script", "score.py", "--source-directory", source]
    write(hosted, 1)
    calotype(
        hosted, "model", "deploy", "-n", "shared", "--compute", "cluster", "--nr", "1",
        "-m", str(hosted.folder / "weights.bin"), *script,
    )  # fmt: skip
    run = ["service", "run", "-n", "shared", "-d", '{"data": 1}']
    shown = document(hosted, "service", "show", "-n", "shared")
    assert shown["auth"] == "key"
    assert shown["scoring_uri"].endswith("/api/v1/service/shared/score")
    assert document(hosted, *run)["version"] == 1
    for update in (["update"], ["update-version", "--version", "default"]):
        told = calotype(hosted, "service", *update, "-n", "shared", "--ama", "3", code=1)
        assert "as the number is fixed now" in str(told.exception)

    write(hosted, 2)
    calotype(hosted, "service", "create-version", "-n", "shared", "--version", "blue", *script)
    versions = document(hosted, "service", "versions", "-n", "shared")
    assert [(one["name"], one["traffic_percent"]) for one in versions] == [
        ("blue", 0),
        ("default", 100),
    ]
    assert document(hosted, *run)["version"] == 1
    assert document(hosted, *run, "--version", "blue")["version"] == 2

    calotype(hosted, "service", "traffic", "-n", "shared", "blue=100")
    assert document(hosted, *run)["version"] == 2
    calotype(hosted, "service", "traffic", "-n", "shared", "blue=0", "--mirror", "blue=50%")
    table = calotype(hosted, "service", "traffic", "-n", "shared").stdout
    assert "50 % mirrored" in table

    calotype(hosted, "service", "canary", "-n", "shared", "--version", "blue", "--step-s", "900")
    blue = document(hosted, "service", "versions", "-n", "shared")[0]
    assert (blue["traffic_percent"], blue["rollout"]["state"]) == (10, "in progress")
    assert blue["rollout"]["rules"]["max_error_rate_increase"] == 0.02
    table = calotype(hosted, "service", "versions", "-n", "shared").stdout
    assert "problem" not in table
    assert "blue  Roll-out: in progress" in table
    help = " ".join(calotype(hosted, "service", "canary", "--help").stdout.split())
    assert "[default: 0.02]" in help
    calotype(hosted, "service", "rollback", "-n", "shared")
    blue = document(hosted, "service", "versions", "-n", "shared")[0]
    assert (blue["traffic_percent"], blue["rollout"]) == (0, {})

    refused = calotype(
        hosted, "service", "delete-version", "-n", "shared", "--version", "default", code=1
    )
    assert "the default" in str(refused.exception)
    calotype(hosted, "service", "delete-version", "-n", "shared", "--version", "blue")
    assert document(hosted, *run)["version"] == 1

    calotype(hosted, "service", "update", "-n", "shared", "--auth", "token")
    token = calotype(hosted, "service", "get-access-token", "-n", "shared", "--only-token").stdout
    assert token.count(".") == 2
    assert document(hosted, *run)["version"] == 1
    calotype(hosted, "service", "delete", "-n", "shared")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["service", "run", "-n", "x"], "either -d or --image"),
        (["service", "client", "--language", "go"], "either -n or --uri"),
        (["service", "get-logs", "-n", "x", "--follow", "--init"], "--follow excludes"),
        (["service", "traffic", "-n", "x", "blue"], "takes NAME=VALUE"),
        (["service", "traffic", "-n", "x", "blue=half"], "whole percentage"),
        (["model", "deploy", "-n", "x", "--auth", "key", "--ae", "true"], "--auth excludes"),
        (["model", "deploy", "-n", "x", "--source-directory", "y"], "belong to --entry-script"),
        (["service", "shwo"], "Did you mean 'show'?"),
    ],
)
def test_wrong_usage_ends_with_2(hosted: Hosted, arguments: list[str], message: str) -> None:
    told = calotype(hosted, *arguments, code=2)
    assert message in told.output
