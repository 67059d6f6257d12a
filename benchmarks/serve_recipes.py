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
    """One of `IMAGE_PEERS` with the image model, installed when it is not there yet.

    Those that end in `-single` do without the batching that their documentation recommends: where
    batches gain nothing, on a processor, they may be the faster ones.
    """
    package, _, single = peer.partition("-")
    programs = serve_environments.programs_of(package, environments)
    environment = {
        "BENCHMARK_MODEL": str(model),
        "BENCHMARK_BATCH": "1" if single else "8",
        "PYTHONPATH": str(SCRIPTS),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "BENTOML_HOME": str(WORK / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    return IMAGE_PEERS[peer](peer, programs, model, environment)


def _azml(name: str, programs: Path, model: Path, environment: Mapping[str, str]) -> Recipe:
    workers = os.cpu_count() or 1
    command = _reference(programs, SCRIPTS / "azml_photograph.py", model, workers)
    return Recipe(name, command, image_payloads(model, "bytes"), environment=environment)


def _litserve(name: str, programs: Path, model: Path, environment: Mapping[str, str]) -> Recipe:
    command = (str(programs / "python"), str(SCRIPTS / "litserve_photograph.py"), "{port}")
    payloads = image_payloads(model, "base64")
    return Recipe(name, command, payloads, "/predict", "/health", environment)


def _bentoml(name: str, programs: Path, model: Path, environment: Mapping[str, str]) -> Recipe:
    service = "SinglePhotographs" if name.endswith("-single") else "Photographs"
    command = (
        *(str(programs / "bentoml"), "serve", f"bentoml_photograph:{service}"),
        *("--working-dir", str(SCRIPTS), "--host", "127.0.0.1", "--port", "{port}"),
    )
    payloads = image_payloads(model, "multipart")
    return Recipe(name, command, payloads, "/score", "/readyz", environment)


def _mlserver(name: str, programs: Path, model: Path, environment: Mapping[str, str]) -> Recipe:
    folder = WORK / "mlserver"
    folder.mkdir(parents=True, exist_ok=True)
    served = {"name": "photographs", "implementation": "mlserver_photograph.Photographs"}
    (folder / "model-settings.json").write_text(json.dumps(served), encoding="utf-8")
    settings = {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_GRPC_PORT": "0",  # a free one
        "MLSERVER_METRICS_PORT": "0",
        "MLSERVER_PARALLEL_WORKERS": str(os.cpu_count() or 1),
    }
    variables = [f"{variable}={value}" for variable, value in settings.items()]
    command = ("env", *variables, str(programs / "mlserver"), "start", str(folder))
    payloads = image_payloads(model, "v2")
    path, health = "/v2/models/photographs/infer", "/v2/health/ready"
    return Recipe(name, command, payloads, path, health, environment)


def _ray(name: str, programs: Path, model: Path, environment: Mapping[str, str]) -> Recipe:
    command = (str(programs / "python"), str(SCRIPTS / "ray_photograph.py"), "{port}")
    return Recipe(name, command, image_payloads(model, "bytes"), "/score", "", environment)


IMAGE_PEERS: Mapping[str, Callable[[str, Path, Path, Mapping[str, str]], Recipe]] = {
    "azml": _azml,
    "litserve": _litserve,
    "litserve-single": _litserve,
    "bentoml": _bentoml,
    "bentoml-single": _bentoml,
    "mlserver": _mlserver,
    "ray": _ray,
    "ray-single": _ray,
}
