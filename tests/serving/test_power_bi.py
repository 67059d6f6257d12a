"""Power BI can use a service of the right shape; for every other one we say what to change."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pandas
import pytest
from described_services import image_contract
from inference_schema import schema_decorators
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import (
    StandardPythonParameterType as Plain,
)

from calotype.serving.openapi.builders import BaseAddress
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.openapi.documents import Documents
from calotype.serving.openapi.script_contract import contract_of
from calotype.serving.power_bi import power_bi_findings

# What type checkers read out of these decorators is not how they are called.
takes: Any = schema_decorators.input_schema
gives: Any = schema_decorators.output_schema

FRAME = pandas.DataFrame({"age": [59, 48], "sex": ["m", "f"]})
TABLES = Plain({"WebServiceInput0": PandasParameterType(FRAME)})
RESULTS = Plain({"Results": Plain([1.5])})
NUMBERS = NumpyParameterType(np.zeros((1, 2)))
SCRIPT_NUMBERS = itertools.count()


def document_of(contract: ServiceContract) -> dict[str, Any]:
    documents = Documents(contract, name="report", base=BaseAddress("https", "example.org"))
    return json.loads(documents.document())


def document(output: Any = RESULTS, **parameters: Any) -> dict[str, Any]:
    """Return the document of a script whose `run` has these parameters, in this order."""
    namespace: dict[str, Any] = {}
    # inference-schema remembers every function by its name and takes each name once only.
    name = f"run_{next(SCRIPT_NUMBERS)}"
    source = f"def {name}({', '.join(parameters)}): return None"
    exec(source, namespace)  # noqa: S102 - the names of parameters are what is tested
    run = gives(output)(namespace[name])
    for parameter, kind in parameters.items():
        run = takes(parameter, kind)(run)
    return document_of(ServiceContract.from_dict(contract_of(run) or {}))


@pytest.mark.parametrize("knobs", [None, Plain(1.0), Plain({"scale": 1.5, "label": "a"})])
def test_service_of_the_right_shape_is_compatible(knobs: Any) -> None:
    extra = {} if knobs is None else {"GlobalParameters": knobs}
    assert power_bi_findings(document(Inputs=TABLES, **extra)) == []


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "other name": (
        {"data": NUMBERS},
        "no first parameter of run named 'Inputs', but 'data'",
        "Dec",
    ),
    "capitals": ({"inputs": TABLES}, "is 'inputs', not 'Inputs'", "Rename it to 'Inputs'"),
    "second": (
        {"GlobalParameters": Plain(1.0), "Inputs": TABLES},
        "'GlobalParameters' comes before 'Inputs'",
        "Make it the first",
    ),
    "no tables": ({"Inputs": NUMBERS}, "'Inputs' is array", "PandasParameterType"),
    "no records": (
        {"Inputs": Plain({"rows": NUMBERS})},
        "'Inputs.rows' is not a list of records",
        "orient='records'",
    ),
    "columns": (
        {"Inputs": Plain({"rows": Plain([{"pixels": [1, 2]}])})},
        "'Inputs.rows' has columns that are no single values: 'pixels'",
        "Give each column",
    ),
    "nested globals": (
        {"Inputs": TABLES, "GlobalParameters": Plain({"a": {"b": 1}})},
        "'GlobalParameters' is nested",
        "flat dict",
    ),
    "globals in small letters": (
        {"Inputs": TABLES, "globalParameters": Plain(1.0)},
        "run has a parameter 'globalParameters'",
        "Rename the parameter to 'GlobalParameters'",
    ),
    "third": (
        {"Inputs": TABLES, "threshold": Plain(0.5)},
        "'threshold', which Power BI never sends",
        "Move it into 'GlobalParameters'",
    ),
    "bare list": (
        {"Inputs": TABLES, "output": NUMBERS},
        "no key of what run returns named 'Results'",
        "Return {'Results': ...} from run",
    ),
    "results in small letters": (
        {"Inputs": TABLES, "output": Plain({"results": Plain([1.5])})},
        "is 'results', not 'Results'",
        "Rename it to 'Results'",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_every_other_shape_is_one_finding_with_what_to_change(kind: str) -> None:
    parameters, message, fix = WRONG[kind]
    (finding,) = power_bi_findings(document(**parameters))
    assert message in finding.message
    assert fix in finding.fix
    assert finding.severity == "error"


def test_all_mistakes_are_told_at_once() -> None:
    found = power_bi_findings(document(Inputs=NUMBERS, threshold=Plain(0.5), output=NUMBERS))
    assert len(found) == 3


def test_services_without_the_shape_are_told_so() -> None:
    assert power_bi_findings(document_of(image_contract()))
    assert power_bi_findings(document_of(ServiceContract()))
    assert power_bi_findings({"swagger": "2.0", "paths": {}})
