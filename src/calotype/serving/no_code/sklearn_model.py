"""A scikit-learn model: loaded without running code of its file, scoring rows of JSON values."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from calotype import errors
from calotype.serving.no_code.sklearn_script import (
    ALLOW_PICKLE,
    MODEL_FILE,
    PICKLE_SUFFIXES,
    SAFE_SUFFIX,
)
from calotype.serving.openapi.schemas import plain
from calotype.serving.refusals import Refusal, bad_request

_METHODS = ("predict", "predict_proba", "decision_function", "transform")


class SklearnModel:
    """A model, and what is known about its rows.

    Args:
        model: fitted.

    Attributes:
        methods: of `predict`, `predict_proba`, `decision_function` and `transform` those it has.
        columns: names of the values of a row; None for a model that knows none.
        width: values of a row; None when it does not say.
        classes: of a classifier, in the order of its probabilities.
    """

    def __init__(self, model: Any) -> None:
        self.methods = tuple(name for name in _METHODS if callable(getattr(model, name, None)))
        if not self.methods:
            raise errors.InvalidModel(
                f"expected a model with one of {', '.join(_METHODS)}", got=type(model).__name__
            )
        self.model = model
        names = getattr(model, "feature_names_in_", None)
        self.columns: list[str] | None = None if names is None else [str(one) for one in names]
        self.width: int | None = getattr(model, "n_features_in_", None)
        self.classes: list[Any] = _plain(getattr(model, "classes_", []))

    def score(self, rows: list[Any], method: str) -> Any:
        """Return what one of its methods makes of rows, as JSON knows it.

        Raises:
            Refusal: 400, a row is not of the form that is expected; 422, the model does not take
                the values.
        """
        try:
            return _plain(getattr(self.model, method)(self._table(rows)))
        except (ValueError, TypeError, OverflowError) as error:
            # What scikit-learn and numpy raise for values they cannot use; the text speaks of
            # columns and types.
            told = _first_line(error)
            raise Refusal(422, f"The model cannot use these values: {told}") from error

    def _table(self, rows: list[Any]) -> Any:
        """Return the rows as the model was fitted: a data frame where it knows names."""
        import numpy as np

        values = [self._values(index, row) for index, row in enumerate(rows)]
        if self.columns is not None:
            import pandas

            return pandas.DataFrame(values, columns=self.columns)
        numeric = all(type(one) in (int, float, bool, type(None)) for row in values for one in row)
        # None becomes NaN; what is not numeric is for the model's own encoders.
        return np.array(values, dtype=np.float64 if numeric else object)

    def _values(self, index: int, row: Any) -> list[Any]:
        if type(row) is dict:
            if self.columns is None:
                raise bad_request(f"Row {index}: expected a list; the model knows no column names.")
            missing = [name for name in self.columns if name not in row]
            if missing:
                raise bad_request(f"Row {index}: expected the column '{missing[0]}', got none.")
            row = [row[name] for name in self.columns]
        if type(row) is not list:
            raise bad_request(f"Row {index}: expected a list of values or a record by column name.")
        width = self.width if self.columns is None else len(self.columns)
        if width is not None and len(row) != width:
            raise bad_request(f"Row {index}: expected {width} values, got {len(row)}.")
        for value in row:
            if type(value) in (list, dict):
                raise bad_request(f"Row {index}: expected single values, got a list or an object.")
        return row


def load_model() -> SklearnModel:
    """Load the model that the environment variables of `sklearn_script` name.

    Raises:
        ModelError: it cannot be loaded safely, or is no model.
    """
    folder = Path(os.environ["AZUREML_MODEL_DIR"])
    path = folder / os.environ[MODEL_FILE] if MODEL_FILE in os.environ else _only(folder)
    load = _load_safely if path.suffix.lower() == SAFE_SUFFIX else _load_pickle
    return SklearnModel(load(path))


def _first_line(error: Exception) -> str:
    return plain((str(error).splitlines() or [""])[0][:300])


def _load_safely(path: Path) -> Any:
    try:
        import skops.io
    except ImportError:
        raise errors.MissingDependency(
            "expected the package skops",
            where=path.name,
            got="none",
            action="Install it: pip install 'calotype[sklearn]'.",
        ) from None
    unknown = skops.io.get_untrusted_types(file=path)
    if unknown:
        raise errors.InvalidModel(
            "expected a model of types that are known to be safe",
            where=path.name,
            got=", ".join(sorted(unknown)[:5]),
            action="Serve a model with types of your own by an entry script, which may trust them.",
        )
    return skops.io.load(path, trusted=[])


def _load_pickle(path: Path) -> Any:
    if os.environ.get(ALLOW_PICKLE) != "1":
        raise errors.InvalidModel(
            f"expected a model in a {SAFE_SUFFIX} file",
            where=path.name,
            got="pickle",
            action="Start the service with --allow-pickle if you made the file yourself.",
        )
    import joblib

    return joblib.load(path)


def _only(folder: Path) -> Path:
    known = (SAFE_SUFFIX, *PICKLE_SUFFIXES)
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in known]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise errors.InvalidModel("expected one model", where="AZUREML_MODEL_DIR", got=names)
    return found[0]


def _plain(value: Any) -> Any:
    """Return lists of what JSON knows; what is no number becomes None."""
    if hasattr(value, "toarray"):  # sparse, from transformers
        value = value.toarray()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
