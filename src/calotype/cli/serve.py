"""`calotype serve`: one service in the foreground."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from calotype import errors
from calotype.cli.options import PATH, parameter_options
from calotype.cli.terminal import Terminal, command, examples, facts
from calotype.serving.settings import ServiceSettings

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.serving.deployment import Addresses, Deployment


@command(
    epilog=examples(
        "calotype serve --model MODEL",
        "calotype serve --model imagenet --auth key --port 8080",
        "calotype serve --entry-script score.py --model-dir model/ --workers 2 --reload",
        "calotype serve --model ridge.onnx --tls-cert cert.pem --tls-key key.pem",
        "curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg http://127.0.0.1:5001/score",
    )
)
@click.option(
    "--model",
    help="An image model ('imagenet' for 1,000 everyday things), an .onnx file of any kind, or a "
    "scikit-learn model as .skops.",
)
@click.option("--entry-script", type=PATH, help="A score.py with init() and run().")
@click.option("--model-dir", type=PATH, help="What the script finds as AZUREML_MODEL_DIR.")
@click.option(
    "--source-directory", type=PATH, help="Where its imports begin.  [default: its own folder]"
)
@click.option(
    "--allow-pickle",
    is_flag=True,
    help="Take .joblib and .pkl files as --model: loading one runs whatever code is in it.",
)
@click.option("--reload", is_flag=True, help="Run the script anew when a file beside it changes.")
@click.option("--primary-key", envvar="CALOTYPE_PRIMARY_KEY", help="With --auth key.")
@click.option("--secondary-key", envvar="CALOTYPE_SECONDARY_KEY", help="With --auth key.")
@click.option(
    "--token-key",
    type=PATH,
    help="With --auth token: the file of the signing key; made when it is not there.",
)
@click.option("--tls-cert", type=PATH, help="Certificate with its chain, PEM.")
@click.option("--tls-key", type=PATH, help="Its private key, PEM.")
@click.option("--tls-exact-1.2", "tls_exact_1_2", is_flag=True, help="Refuse TLS 1.3 too.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "int8"]),
    default="auto",
    show_default=True,
    help="Of an image model; auto: the fastest that was measured to agree with fp32.",
)
@click.option("--threads", type=int, help="That decode and infer images.  [default: all cores]")
@click.option("--exact-decode", is_flag=True, help="Decode large JPEGs at full size.")
@click.option("--calibration/--no-calibration", default=True, show_default=True)
@click.option("--access-log/--no-access-log", default=True, show_default=True)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    show_default=True,
    help="Of the log on stderr; auto: text in a terminal.",
)
@click.option("--check", is_flag=True, help="Start, check the service as its callers see it, end.")
@parameter_options(ServiceSettings)
def serve(
    terminal: Terminal,
    model: str | None,
    entry_script: Path | None,
    model_dir: Path | None,
    source_directory: Path | None,
    allow_pickle: bool,
    reload: bool,
    primary_key: str | None,
    secondary_key: str | None,
    token_key: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_exact_1_2: bool,
    precision: Literal["auto", "fp32", "bf16", "int8"],
    threads: int | None,
    exact_decode: bool,
    calibration: bool,
    access_log: bool,
    log_format: Literal["auto", "json", "text"],
    check: bool,
    **limits: Any,
) -> None:
    """Serve a model or an entry script over HTTP until Ctrl-C or SIGTERM.

    POST /score takes an image, or what the script takes; GET / is the health, GET /swagger.json the
    description, GET /metrics the counters. Accepted requests are answered before it ends.
    """
    if (model is None) == (entry_script is None):
        raise click.UsageError("Give either --model or --entry-script.")
    from calotype.serving.deployment import Addresses, StopServing
    from calotype.serving.deployment import serve as run_service
    from calotype.serving.front import FrontSettings
    from calotype.serving.journal import default_format
    from calotype.serving.server import run

    settings = ServiceSettings.of(limits)
    credentials = _credentials(settings, primary_key, secondary_key, token_key)
    front = FrontSettings(
        settings,
        certificate=str(tls_cert or ""),
        certificate_key=str(tls_key or ""),
        exact_tls_1_2=tls_exact_1_2,
        log_format=default_format() if log_format == "auto" else log_format,
        with_access_log=access_log and not terminal.quiet,
        **credentials.front,
    )
