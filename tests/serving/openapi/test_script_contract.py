"""What decorated scripts declare becomes a contract in plain JSON whose examples fit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas
import pytest
from described_services import gives, takes
from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import (
    StandardPythonParameterType,
)
from openapi_spec_validator import validate

from calotype.serving.openapi.builders import BaseAddress
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.openapi.documents import Documents
from calotype.serving.openapi.schemas import mismatch
from calotype.serving.openapi.script_contract import contract_of

FRAME = pandas.DataFrame(
    {"age": [59, 48], "sex": ["m", "f"], "bmi": [32.1, float("nan")], "smokes": [True, False]}
)


def declared(run: Any) -> ServiceContract:
    values = contract_of(run)
    assert values is not None
    return ServiceContract.from_dict(json.loads(json.dumps(values, allow_nan=False)))


def documents_of(contract: ServiceContract) -> Documents:
    return Documents(contract, name="declared", base=BaseAddress("http", "127.0.0.1"))


def test_undecorated_run_declares_nothing() -> None:
    def run(raw_data: str) -> str:
        return raw_data

    assert contract_of(run) is None


def test_power_bi_script_with_optional_parameter_and_headers() -> None:
    inputs = StandardPythonParameterType({"WebServiceInput0": PandasParameterType(FRAME)})

    @takes("Inputs", inputs)
    @takes("GlobalParameters", StandardPythonParameterType(1.0), optional=True)
    @gives(StandardPythonParameterType({"Results": StandardPythonParameterType([1.5])}))
    def run_for_power_bi(
        Inputs: Any,
        GlobalParameters: float = 1.0,
        request_headers: Any = None,
    ) -> Any:
        return {"Results": []}

    contract = declared(run_for_power_bi)
    assert [*contract.input["properties"]] == ["Inputs", "GlobalParameters"]
    assert [*contract.input["example"]] == ["Inputs", "GlobalParameters"]
    assert contract.required == ("Inputs",)
    assert contract.is_power_bi
    rows = contract.input["properties"]["Inputs"]["properties"]["WebServiceInput0"]["items"]
    assert rows["properties"]["bmi"] == {"type": "number", "format": "double", "x-nullable": True}
    assert rows["required"] == ["age", "sex", "bmi", "smokes"]
    assert contract.input["example"]["Inputs"]["WebServiceInput0"][1]["bmi"] is None


@pytest.mark.parametrize("orient", ["records", "split", "index", "columns", "values", "table"])
def test_every_orientation_gives_valid_documents_whose_example_fits(orient: str) -> None:
    def run_frame(frame: Any) -> Any:
        return frame

    run_frame.__name__ += orient  # the decorators keep schemas by name
    contract = declared(takes("frame", PandasParameterType(FRAME, orient=orient))(run_frame))
    assert mismatch(contract.input["example"], contract.input, {}) == ""
    for version in contract.versions:
        validate(json.loads(documents_of(contract).document(version)))


def test_table_of_mixed_types_is_not_expressed_in_2() -> None:
    @takes("frame", PandasParameterType(FRAME, orient="values"))
    def run_with_mixed(frame: Any) -> Any:
        return frame

    assert declared(run_with_mixed).versions == ("3", "3.1")


SAMPLES: dict[str, AbstractParameterType] = {
    "booleans": NumpyParameterType(np.array([True, False])),
    "dates": NumpyParameterType(np.array(["2026-11-22"], "M8[D]")),
    "structured": NumpyParameterType(np.array([(1, "a")], dtype=[("x", "i4"), ("y", "U3")])),
    "cube": NumpyParameterType(np.zeros((2, 3, 4), np.float16)),
    "empty": StandardPythonParameterType([]),
    "mixed": StandardPythonParameterType([1, "a", {"a": []}]),
    "nested": StandardPythonParameterType({"a": None, "b": {"c": [1.5]}, "n": float("nan")}),
    "bytes": StandardPythonParameterType(b"\x00\xff"),
    "wide": StandardPythonParameterType({"big": 1 << 70, "odd \ud800": "\ud800"}),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_sample_gives_plain_json_that_fits_its_schema(kind: str) -> None:
    def run_sample(data: Any, limit: int = 1) -> Any:
        return data

    run_sample.__name__ = f"run_{kind}"
    run = takes("data", SAMPLES[kind])(gives(SAMPLES[kind])(run_sample))
    contract = declared(run)
    for schema in (contract.input, contract.output):
        assert mismatch(schema["example"], schema, {}) == ""
    assert contract.required == ("data",)
    for version in contract.versions:
        validate(json.loads(documents_of(contract).document(version)))


def test_booleans_are_booleans_in_the_example() -> None:
    @takes("data", SAMPLES["booleans"])
    def run_with_truths(data: Any, limit: int = 1) -> Any:
        return data

    assert declared(run_with_truths).input["example"] == {"data": [True, False]}
