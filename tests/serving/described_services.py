"""Three services and their documents; `python described_services.py` writes the golden files."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from inference_schema import schema_decorators
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType

from calotype.scoring.scorer import Scores
from calotype.serving.images.contract import contract_of as image_contract_of
from calotype.serving.openapi.builders import BaseAddress
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.openapi.documents import Documents
from calotype.serving.openapi.script_contract import contract_of
from calotype.serving.settings import ServiceSettings

DATA = Path(__file__).parent / "openapi" / "data"
# One grey pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
VERSIONS = ("2", "3", "3.1")

# What type checkers read out of these decorators is not how they are called.
takes: Any = schema_decorators.input_schema
gives: Any = schema_decorators.output_schema


@takes("data", NumpyParameterType(np.array([[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]])))
@gives(NumpyParameterType(np.array([3726.995])))
def run(data: Any) -> Any:
    """Score as the sample of the published document does."""
    return data.sum(axis=1)


def diabetes_contract() -> ServiceContract:
    """Return what the decorated `run` declares, after a trip through JSON."""
    declared = contract_of(run)
    assert declared is not None
    return ServiceContract.from_dict(json.loads(json.dumps(declared)))


def image_contract() -> ServiceContract:
    """Return the contract of a model of flowers that takes a grey pixel for a daisy."""
    scores = Scores(["daisy"], np.array([[0.75, 0.25]], np.float32), ("daisy", "rose"))
    return image_contract_of(base64.b64decode(PNG), scores, ServiceSettings())


def services() -> dict[str, Documents]:
    """Return the documents of the three kinds of service, by name."""
    shared = BaseAddress("https", "models.example.org", "/api/v1/service/flowers")
    own = BaseAddress("http", "127.0.0.1:5001")
    return {
        "diabetes": Documents(
            diabetes_contract(),
            name="myservice",
            base=BaseAddress("https", "models.example.org"),
            auth="key",
        ),
        "image": Documents(image_contract(), name="flowers", base=shared, auth="token"),
        "generic": Documents(ServiceContract(), name="plain", base=own),
    }


if __name__ == "__main__":
    for name, documents in services().items():
        for version in VERSIONS:
            content = json.loads(documents.document(version))
            text = json.dumps(content, indent=2) + "\n"
            (DATA / f"{name}_{version}.json").write_text(text)
