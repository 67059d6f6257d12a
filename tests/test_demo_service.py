"""The demo without its training: a model becomes a service, is called, and is reported on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from small_networks import save_model

from calotype.demo import PUBLISHED_ACCURACY, Demo, link_cells, report, serving
from calotype.evaluation import evaluate
from calotype.hosting import keeping
from calotype.hosting.layout import Layout
from calotype.images.convert import convert
from calotype.scoring.score import score
from calotype.scoring.scorer import Scorer
from calotype.serving.daily_tables import rows_of
from calotype.workspace.location import Location
from calotype.workspace.workspace import Workspace

CLASSES = ("defective", "functional")


@pytest.fixture
def folder() -> Generator[Path]:
    """A short one: names of sockets are made of it."""
    made = Path(tempfile.mkdtemp(prefix="ct-"))
    demo = made / "demo"
    yield demo
    serving.stop(demo)
    sockets = Layout.of(Location.of_folder(demo)).sockets
    shutil.rmtree(made)
    shutil.rmtree(sockets, ignore_errors=True)


def some_cells(folder: Path, count: int) -> Path:
    """Leave few of the cells, so that nobody waits for all."""
    cells = link_cells(folder / "cells")
    for category in cells.iterdir():
        for link in sorted(category.iterdir())[count:]:
            link.unlink()
    return cells


def test_the_service_is_called_with_its_key_and_ended(folder: Path) -> None:
    demo = Demo(folder)
    cells = some_cells(folder, 20)
    model = save_model(folder / "model", CLASSES)
    image = next((cells / "defective").iterdir())
    scored = score(Scorer(model), convert(cells, folder / "images"), folder / "scored")
    demo.result.evaluation = evaluate(scored.path, out=folder / "report")
    shutil.copy(image, folder / "explanation.png")
    demo.serve(folder / "model", image)
    served = demo.result.served
    assert served is not None
    assert served.prediction["Scored Labels"] in CLASSES
    assert [step.name for step in demo.result.steps] == ["deploy", "call"]

    page = report.render(demo.result, published_accuracy=PUBLISHED_ACCURACY)
    assert served.key not in page
    assert served.scoring_uri in page
    assert "$CALOTYPE_KEY" in page
    assert page.count("data:image/") > 4
    assert 'class="confusion"' in page
    assert 'href="report/report.html"' in page
    assert served.key not in repr(demo.result)

    workspace = Workspace.from_config(folder)
    (table,) = Layout.of(workspace.place).collected(serving.SERVICE).rglob("predictions/**/*.csv")
    assert [row["label"] for row in rows_of(table)] == [served.prediction["Scored Labels"]]
    copies = Layout.of(workspace.place).collected(serving.SERVICE).rglob("images/*/*.png")
    assert [copy.read_bytes() for copy in copies] == [image.read_bytes()]
    assert workspace.models.get(serving.MODEL).version == 1
    assert not demo.result.is_serving
    assert not keeping.observe(workspace, serving.SERVICE).replicas
    workspace.close()
    assert subprocess.run(  # nobody listens there any more
        ["curl", "-s", served.scoring_uri], check=False, timeout=20, capture_output=True
    ).returncode in {7, 56}


@pytest.mark.slow
def test_the_printed_command_calls_a_service_that_stays(folder: Path) -> None:
    demo = Demo(folder, keep_serving=True)
    cells = some_cells(folder, 1)
    save_model(folder / "model", CLASSES)
    demo.serve(folder / "model", next((cells / "functional").iterdir()))
    served = demo.result.served
    assert served is not None
    for command, environment in (
        (served.curl, {}),
        (served.curl_without_key, {"CALOTYPE_KEY": served.key}),
    ):
        answer = subprocess.run(
            f"{command} -s",
            shell=True,
            check=True,
            capture_output=True,
            env={**os.environ, **environment},
            timeout=30,
        )
        assert json.loads(answer.stdout) == served.prediction
    again = Demo(folder)  # ends what the earlier demo left
    assert not (again.result.folder / ".calotype").exists()
    assert subprocess.run(
        ["curl", "-s", served.scoring_uri], check=False, timeout=20, capture_output=True
    ).returncode in {7, 56}
