"""Can Power BI use a service? It reads the Swagger 2.0 document and is particular about names.

The first parameter of `run` is `Inputs`, a dict of tables as lists of records; `GlobalParameters`
may follow; the answer is an object with `Results`. All of it is case-sensitive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calotype.serving.findings import Finding
from calotype.serving.openapi.contract import Schema

_SCALARS = frozenset({"string", "number", "integer", "boolean"})
_TABLE = (
    "Declare it as @input_schema('Inputs', StandardPythonParameterType({'WebServiceInput0': "
    "PandasParameterType(sample)}))."
)
_RESULTS = (
    "Return {'Results': ...} from run and declare it: @output_schema("
    "StandardPythonParameterType({'Results': StandardPythonParameterType(sample)}))."
)


def power_bi_findings(document: Mapping[str, Any]) -> list[Finding]:
    """Return what keeps Power BI from using the service; empty when it can.

    Args:
        document: the Swagger 2.0 document of the service.
    """
    definitions: Mapping[str, Schema] = document.get("definitions", {})
    post = document.get("paths", {}).get("/score", {}).get("post", {})
    bodies = [one for one in post.get("parameters", ()) if one.get("in") == "body"]
    if not bodies:
        return [_wrong("the document has no body of POST /score", "Declare the input of run.")]
    takes = _resolved(bodies[0].get("schema", {}), definitions)
    answer = post.get("responses", {}).get("200", {}).get("schema", {})
    return [
        *_of_input(takes, definitions),
        *_of_output(_resolved(answer, definitions)),
    ]


def _of_input(schema: Schema, definitions: Mapping[str, Schema]) -> list[Finding]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    found: list[Finding] = []
    if "Inputs" not in properties:
        return [_misnamed("Inputs", properties, "first parameter of run", _TABLE)]
    if next(iter(properties)) != "Inputs":
        first = next(iter(properties))
        fix = "Make it the first: def run(Inputs, GlobalParameters=...)."
        found.append(_wrong(f"'{first}' comes before 'Inputs'", fix))
    found += _of_tables(_resolved(properties["Inputs"], definitions), definitions)
    if "GlobalParameters" in properties:
        found += _of_globals(_resolved(properties["GlobalParameters"], definitions))
    for name in properties:
        if name.lower() == "globalparameters" and name != "GlobalParameters":
            fix = "Rename the parameter to 'GlobalParameters'; capitals count."
            found.append(_wrong(f"run has a parameter '{name}'", fix))
        elif name not in ("Inputs", "GlobalParameters"):
            fix = "Move it into 'GlobalParameters', or make it a column of a table in 'Inputs'."
            found.append(_wrong(f"run has a parameter '{name}', which Power BI never sends", fix))
    return found


def _of_tables(inputs: Schema, definitions: Mapping[str, Schema]) -> list[Finding]:
    tables: Mapping[str, Schema] = inputs.get("properties", {})
    if inputs.get("type") != "object" or not tables:
        got = inputs.get("type", "nothing")
        return [_wrong(f"'Inputs' is {got}, not an object of named tables", _TABLE)]
    found: list[Finding] = []
    for name, table in tables.items():
        found += _of_table(name, _resolved(table, definitions), definitions)
    return found


def _of_table(name: str, table: Schema, definitions: Mapping[str, Schema]) -> list[Finding]:
    record = _resolved(table.get("items", {}), definitions)
    if table.get("type") != "array" or not record.get("properties"):
        what = f"'Inputs.{name}' is not a list of records with named columns"
        fix = "Declare it with PandasParameterType(sample), orient='records'."
        return [_wrong(what, fix)]
    nested = [
        column for column, kind in record["properties"].items() if kind.get("type") not in _SCALARS
    ]
    if nested:
        columns = ", ".join(f"'{column}'" for column in nested)
        fix = "Give each column of the sample one type: text, number or boolean, without gaps."
        return [_wrong(f"'Inputs.{name}' has columns that are no single values: {columns}", fix)]
    return []


def _of_globals(schema: Schema) -> list[Finding]:
    parts: Mapping[str, Schema] = schema.get("properties", {})
    flat = schema.get("type") in _SCALARS or (
        schema.get("type") == "object"
        and all(part.get("type") in _SCALARS for part in parts.values())
    )
    if flat:
        return []
    fix = (
        "Declare one value or a flat dict: "
        "@input_schema('GlobalParameters', StandardPythonParameterType(1.0))."
    )
    return [_wrong("'GlobalParameters' is nested", fix)]


def _of_output(schema: Schema) -> list[Finding]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if "Results" in properties:
        return []
    return [_misnamed("Results", properties, "key of what run returns", _RESULTS)]


def _misnamed(name: str, properties: Mapping[str, Schema], what: str, fix: str) -> Finding:
    for other in properties:
        if other.lower() == name.lower():
            rename = f"Rename it to '{name}'; capitals count."
            return _wrong(f"the {what} is '{other}', not '{name}'", rename)
    got = ", ".join(f"'{other}'" for other in properties) or "none that is declared"
    return _wrong(f"there is no {what} named '{name}', but {got}", fix)


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    return definitions.get(str(reference).rsplit("/", 1)[-1], {})


def _wrong(message: str, fix: str) -> Finding:
    return Finding("error", "Power BI", message, fix)
