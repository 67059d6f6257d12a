"""How each server is started, as its own documentation says, for the cores of this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import serve_environments
from serve_load import Payloads
from serve_models import CACHE, Diabetes, image_payloads
from serve_server import Recipe

SCRIPTS = Path(__file__).with_name("serving_peers")
REFERENCE = "azml"
WORK = CACHE / "serve"


def calotype(name: str, arguments: tuple[str, ...], payloads: Payloads) -> Recipe:
    """Our server, with its access log as it is by default."""
    command = (sys.executable, "-m", "calotype", "serve", *arguments, "--port", "{port}")
    path = os.environ.get("PYTHONPATH")
    return Recipe(name, command, payloads, environment={"PYTHONPATH": path} if path else {})


def calotype_script(served: Diabetes, *, workers: int, isolation: str) -> Recipe:
    """Our server with the diabetes script."""
    name = f"calotype-w{workers}" + ("" if isolation == "process" else f"-{isolation}")
    script = ("--entry-script", str(SCRIPTS / "ridge_score.py"), "--model-dir", str(served.folder))
    arguments = (*script, "--workers", str(workers), "--isolation", isolation)
    return calotype(name, arguments, served.payloads)


def calotype_images(model: Path, *, wait_ms: int | None = 10_000) -> Recipe:
    """Our server with the image model; `wait_ms` None leaves the default limit."""
    limit = () if wait_ms is None else ("--max-request-wait-ms", str(wait_ms))
    arguments = ("--model", str(model), "--precision", "fp32", *limit)
    return calotype("calotype", arguments, image_payloads(model, "bytes"))


def reference_script(served: Diabetes, programs: Path, *, workers: int) -> Recipe:
    """The reference server with the diabetes script."""
    command = _reference(programs, SCRIPTS / "ridge_score.py", served.folder, workers)
    return Recipe(f"azml-w{workers}", command, served.payloads)


def _reference(programs: Path, script: Path, model: Path, workers: int) -> tuple[str, ...]:
    return (
        *(str(programs / "azmlinfsrv"), "--entry_script", str(script), "--model_dir", str(model)),
        *("--port", "{port}", "--health_port", "{port}", "--worker_count", str(workers)),
    )


def image_peer(peer: str, model: Path, environments: Path) -> Recipe:
    """One of `IMAGE_PEERS` with the image model, installed when it is not there yet."""
    return IMAGE_PEERS[peer](serve_environments.programs_of(peer, environments), model)


def _of_script(name: str, programs: Path, model: Path, kind: str, health: str) -> Recipe:
    command = (str(programs / "python"), str(SCRIPTS / f"{name}_photograph.py"), "{port}")
    path = "/predict" if name == "litserve" else "/score"
    payloads = image_payloads(model, kind)
    return Recipe(name, command, payloads, path, health, _environment(model, programs))


def _azml(programs: Path, model: Path) -> Recipe:
    workers = os.cpu_count() or 1
    command = _reference(programs, SCRIPTS / "azml_photograph.py", model, workers)
    payloads = image_payloads(model, "bytes")
    return Recipe("azml", command, payloads, environment=_environment(model, programs))


def _litserve(programs: Path, model: Path) -> Recipe:
    return _of_script("litserve", programs, model, "base64", "/health")


def _bentoml(programs: Path, model: Path) -> Recipe:
    command = (
        *(str(programs / "bentoml"), "serve", "bentoml_photograph:Photographs"),
        *("--working-dir", str(SCRIPTS), "--host", "127.0.0.1", "--port", "{port}"),
    )
    environment = _environment(model, programs) | {"BENTOML_HOME": str(WORK / "bentoml")}
    payloads = image_payloads(model, "multipart")
    return Recipe("bentoml", command, payloads, "/score", "/readyz", environment)


def _mlserver(programs: Path, model: Path) -> Recipe:
    folder = WORK / "mlserver"
    folder.mkdir(parents=True, exist_ok=True)
    served = {"name": "photographs", "implementation": "mlserver_photograph.Photographs"}
    (folder / "model-settings.json").write_text(json.dumps(served), encoding="utf-8")
    # It has no option for the port of its gRPC and metrics listeners but these; 0 takes free ones.
    settings = {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_GRPC_PORT": "0",
        "MLSERVER_METRICS_PORT": "0",
        "MLSERVER_PARALLEL_WORKERS": str(os.cpu_count() or 1),
    }
    variables = [f"{name}={value}" for name, value in settings.items()]
    command = ("env", *variables, str(programs / "mlserver"), "start", str(folder))
    payloads = image_payloads(model, "v2")
    path, health = "/v2/models/photographs/infer", "/v2/health/ready"
    return Recipe("mlserver", command, payloads, path, health, _environment(model, programs))


def _ray(programs: Path, model: Path) -> Recipe:
    return _of_script("ray", programs, model, "bytes", "")


def _environment(model: Path, programs: Path) -> dict[str, str]:
    return {
        "BENCHMARK_MODEL": str(model),
        "PYTHONPATH": str(SCRIPTS),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
        "ORT_DISABLE_TELEMETRY": "1",
    }


IMAGE_PEERS: Mapping[str, Callable[[Path, Path], Recipe]] = {
    "azml": _azml,
    "litserve": _litserve,
    "bentoml": _bentoml,
    "mlserver": _mlserver,
    "ray": _ray,
}
