"""scikit-learn models through their entry script, and what is not loaded."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from calotype import errors
from calotype.serving.no_code.sklearn_script import script_for
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.openapi.schemas import mismatch
from calotype.serving.openapi.script_contract import contract_of
from calotype.serving.refusals import Refusal

DIABETES: Any = load_diabetes(return_X_y=True)
FEATURES, TARGET = DIABETES
FRAME = pandas.DataFrame({"age": [20, 30, 40, 50], "sex": ["f", "m", "m", "f"]})


class Unknown(Ridge):
    """A model of a type that nobody has called safe."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that starts the entry script on a model file, as a worker does."""

    def start(model: Path, **options: Any) -> Any:
        script, model_dir, environment = script_for(model, **options)
        monkeypatch.setenv("AZUREML_MODEL_DIR", str(model_dir))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        spec = importlib.util.spec_from_file_location("entry_script", script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.init()
        return module

    return start


def saved(path: Path, model: Any) -> Path:
    skops.io.dump(model, path)
    return path


def ridge(folder: Path) -> Path:
    return saved(folder / "model.skops", Ridge(alpha=0.4).fit(FEATURES, TARGET))


def pipeline(folder: Path) -> Path:
    columns = make_column_transformer((OneHotEncoder(), ["sex"]), (StandardScaler(), ["age"]))
    model = make_pipeline(columns, LogisticRegression()).fit(FRAME, ["no", "no", "yes", "yes"])
    return saved(folder / "model.skops", model)


def test_json_may_be_nested_only_so_deep(tmp_path: Path, started: Any) -> None:
    module = started(ridge(tmp_path), max_json_depth=3)
    row = FEATURES[:1].tolist()
    assert len(module.run(json.dumps({"data": row}))) == 1
    with pytest.raises(Refusal, match=r"nested deeper than 3 levels \(max_json_depth\)$"):
        module.run(json.dumps({"data": [row]}))


def test_numbers_are_those_of_the_model(tmp_path: Path, started: Any) -> None:
    got = started(ridge(tmp_path)).run(json.dumps({"data": FEATURES[:2].tolist()}))
    assert np.allclose(got, Ridge(alpha=0.4).fit(FEATURES, TARGET).predict(FEATURES[:2]))
    assert type(got) is list


@pytest.mark.parametrize("rows", [[[25, "f"]], [{"sex": "f", "age": 25, "more": 1}]])
def test_columns_by_name_and_in_order(tmp_path: Path, started: Any, rows: Any) -> None:
    script = started(pipeline(tmp_path))
    (label,) = script.run(json.dumps({"data": rows}))
    ((no, yes),) = script.run(json.dumps({"data": rows, "method": "predict_proba"}))
    assert label == ("no" if no > yes else "yes")
    assert no + yes == pytest.approx(1)


def test_iris_gives_classes_as_numbers(tmp_path: Path, started: Any) -> None:
    iris: Any = load_iris(return_X_y=True)
    features, target = iris
    model = LogisticRegression(max_iter=1000).fit(features, target)
    script = started(saved(tmp_path / "iris.skops", model))
    assert script.run(json.dumps({"data": features[:3].tolist()})) == [0, 0, 0]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("", 400, "POST body is empty"),
        ("[]", 400, "should be a JSON dictionary"),
        ("{}", 400, "not provided for the 'data' parameter"),
        ({"data": []}, 400, "expected a list of rows with at least one"),
        ({"data": [[1.0] * 9]}, 400, "Row 0: expected 10 values, got 9."),
        ({"data": [[1.0] * 10, 5]}, 400, "Row 1: expected a list of values or a record"),
        ({"data": [{"a": 1}]}, 400, "Row 0: expected a list; the model knows no column names."),
        ({"data": [[[1.0]] * 10]}, 400, "Row 0: expected single values"),
        ({"data": [[1.0] * 10], "method": "fit"}, 400, "'method': expected one of predict."),
        ({"data": [[1.0] * 10], "method": []}, 400, "'method': expected one of predict."),
        ({"data": [["a"] * 10]}, 422, "could not convert string to float"),
        ({"data": [[None] * 10]}, 422, "Input X contains NaN"),
        ({"data": [[10**400] * 10]}, 422, "too large"),
    ],
)
def test_wrong_requests_are_refused(
    tmp_path: Path, started: Any, body: Any, status: int, message: str
) -> None:
    script = started(ridge(tmp_path))
    with pytest.raises(Refusal) as refused:
        script.run(body if isinstance(body, str) else json.dumps(body))
    assert refused.value.status == status
    assert message in refused.value.message


def test_missing_column_is_named(tmp_path: Path, started: Any) -> None:
    with pytest.raises(Refusal, match="Row 0: expected the column 'age', got none"):
        started(pipeline(tmp_path)).run(json.dumps({"data": [{"sex": "f"}]}))


@pytest.mark.parametrize("make", [ridge, pipeline])
def test_contract_is_known_after_init(tmp_path: Path, started: Any, make: Any) -> None:
    script = started(make(tmp_path))
    values = contract_of(script.run)
    assert values is not None
    contract = ServiceContract.from_dict(json.loads(json.dumps(values)))
    assert contract.required == ("data",)
    assert mismatch(contract.input["example"], contract.input, {}) == ""


def test_types_that_nobody_called_safe_are_refused_by_name(tmp_path: Path, started: Any) -> None:
    path = saved(tmp_path / "model.skops", Unknown().fit(FEATURES, TARGET))
    with pytest.raises(errors.InvalidModel, match=r"Unknown.*entry script"):
        started(path)


def test_pickle_is_loaded_only_when_allowed(tmp_path: Path, started: Any) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump(Ridge().fit(FEATURES, TARGET), path)
    with pytest.raises(errors.InvalidModel, match=r"is pickle.*--allow-pickle"):
        script_for(path)
    script = started(path, allow_pickle=True)
    assert len(script.run(json.dumps({"data": FEATURES[:2].tolist()}))) == 2


def test_script_itself_loads_no_pickle_without_leave(
    tmp_path: Path, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    joblib.dump(Ridge().fit(FEATURES, TARGET), tmp_path / "model.pkl")
    script = started(tmp_path / "model.pkl", allow_pickle=True)
    monkeypatch.delenv("CALOTYPE_ALLOW_PICKLE")
    with pytest.raises(errors.InvalidModel, match=r"Got pickle"):
        script.init()


def test_folder_must_hold_one_model(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidModel, match=r"expected one model.*Got none"):
        script_for(tmp_path)
    path = ridge(tmp_path)
    joblib.dump(1, tmp_path / "other.joblib")
    assert script_for(tmp_path).environment == {
        "CALOTYPE_MODEL_FILE": path.name,
        "CALOTYPE_MAX_JSON_DEPTH": "64",
    }
    with pytest.raises(errors.InvalidModel, match=r"model\.skops, other\.joblib"):
        script_for(tmp_path, allow_pickle=True)


@pytest.mark.parametrize("name", ["model.onnx", "missing.skops"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(errors.InvalidModel, match="expected a"):
        script_for(tmp_path / name)
