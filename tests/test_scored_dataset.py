"""The format of a scored dataset: what is written is what is read, whatever classes are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from calotype import errors
from calotype.scored_dataset import (
    ERRORS_FILE,
    RUN_FILE,
    SCHEMA_FILE,
    ScoredDataset,
    ScoredSchema,
    errors_schema,
    part_file,
    probability_column,
)
from calotype.tables import ArrowTable

STRANGE = ("01", "NA", "null", "true", "", "é漢字", "<script>", 'a "b", c\n', "x.y", "x", "None")


def table_of(
    classes: tuple[str, ...], categories: list[str | None], *, first_id: int = 0
) -> ArrowTable:
    """Make the rows that scoring would write: the first class is always a little more likely."""
    count = len(categories)
    likely, others = 0.1 + 0.9 / len(classes), 0.9 / len(classes)
    columns: list[Any] = [
        pa.array(range(first_id, first_id + count), pa.int64()),
        pa.array([f"folder/{first_id + row}.jpg" for row in range(count)]),
        pa.array(categories, pa.string()),
    ]
    columns += [
        pa.array([likely if k == 0 else others] * count, pa.float32()) for k in range(len(classes))
    ]
    columns.append(pa.array([classes[0]] * count, pa.string()))
    return pa.table(columns, schema=ScoredSchema.of(classes, has_category=True).arrow_schema())


def write(folder: Path, table: ArrowTable, name: str = "scored.parquet") -> Path:
    """Write one file of rows, as Parquet or CSV by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".csv"):
        csv.write_csv(table, folder / name)
    else:
        pq.write_table(table, folder / name)
    return folder


def read(dataset: ScoredDataset, *columns: str) -> ArrowTable:
    """Read all rows."""
    return pa.Table.from_batches(dataset.batches(columns or None))


def test_columns_stand_in_the_order_of_the_contract() -> None:
    schema = ScoredSchema.of(["b", "a"], has_category=True).arrow_schema()
    assert schema.names == [
        "id",
        "path",
        "category",
        "Scored Probabilities_b",
        "Scored Probabilities_a",
        "Scored Labels",
    ]
    assert [str(kind) for kind in schema.types] == [
        "int64",
        "string",
        "string",
        "float",
        "float",
        "string",
    ]


def test_an_unlabelled_set_has_no_category_column() -> None:
    schema = ScoredSchema.of(["a"], has_category=False)
    assert "category" not in schema.arrow_schema().names
    assert schema.label_column is None
    assert schema.label_columns == {}


def test_schema_file_says_the_roles_of_columns_twice(tmp_path: Path) -> None:
    ScoredSchema.of(["a", "b"], has_category=True).write(tmp_path)
    content = json.loads((tmp_path / SCHEMA_FILE).read_text())
    assert content["format_version"] == 1
    assert content["task"] == "image_classification"
    assert content["classes"] == ["a", "b"]
    assert content["label_column"] == "category"
    assert content["probability_columns"] == {name: probability_column(name) for name in "ab"}
    assert content["labelColumns"] == {"True Labels": "category"}
    assert content["scoreColumns"]["Multi Class Assigned Labels"] == "Scored Labels"
    assert content["scoreColumns"]["Scored Probabilities_b"] == "Scored Probabilities_b"
    features = {each["name"]: each["isFeature"] for each in content["columnAttributes"]}
    assert features["id"] is True
    assert not any(features[name] for name in ("category", "Scored Labels"))


@given(st.lists(st.text(), min_size=1, max_size=6, unique=True), st.booleans())
@settings(max_examples=50)
def test_schema_comes_back_as_it_was(classes: list[str], has_category: bool) -> None:
    schema = ScoredSchema.of(classes, has_category=has_category)
    text = json.dumps(schema.model_dump(mode="json", by_alias=True))
    assert ScoredSchema.model_validate(json.loads(text)) == schema


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"classes": ["a", "b", "a"]},
        {"classes": []},
        {"probability_columns": {"a": "x"}},
        {"label_column": 3},
    ],
)
def test_a_schema_that_is_not_ours_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    schema = ScoredSchema.of(["a", "b"], has_category=True)
    (tmp_path / SCHEMA_FILE).write_text(json.dumps(schema.model_dump(mode="json") | change))
    with pytest.raises(errors.UnparsableFile, match="the schema of a scored dataset"):
        ScoredSchema.read(tmp_path)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("has_schema", [True, False])
def test_strange_names_and_missing_categories_survive(
    tmp_path: Path, suffix: str, has_schema: bool
) -> None:
    categories = [*STRANGE, None, "not a class"]
    table = table_of(STRANGE, categories)
    folder = write(tmp_path / "scored", table, f"scored{suffix}")
    if has_schema:
        ScoredSchema.of(STRANGE, has_category=True).write(folder)
    dataset = ScoredDataset.load(folder)
    assert dataset.classes == STRANGE
    rows = read(dataset)
    assert rows.column("category").to_pylist() == categories
    assert set(rows.column("Scored Labels").to_pylist()) == {"01"}
    assert rows.column_names == table.column_names


def test_a_long_csv_with_line_breaks_in_paths_is_cut_nowhere(tmp_path: Path) -> None:
    table = table_of(("a", "b"), ["a"] * 60_000)
    paths = [f"line\nbreak {row}\n\n.jpg" for row in range(60_000)]
    table = table.set_column(1, table.field(1), pa.array(paths))
    write(tmp_path, table, "scored.csv")
    assert read(ScoredDataset.load(tmp_path), "path").column(0).to_pylist() == paths


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
@settings(max_examples=25)
def test_csv_keeps_every_bit_of_a_probability(
    tmp_path_factory: pytest.TempPathFactory, probabilities: list[float]
) -> None:
    table = table_of(("a", "b"), ["a"] * len(probabilities))
    column = probability_column("b")
    index = table.column_names.index(column)
    table = table.set_column(index, table.field(index), pa.array(probabilities, pa.float32()))
    folder = write(tmp_path_factory.mktemp("csv"), table, "scored.csv")
    ScoredSchema.of(("a", "b"), has_category=True).write(folder)
    assert read(ScoredDataset.load(folder), column).column(0).to_pylist() == probabilities


def test_digits_and_names_of_another_program_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "foreign.csv"
    path.write_text(
        "category,Scored Probabilities_01,Scored Probabilities_NA,Scored Labels\n"
        "01,0.123456789012345,0.876543210987655,NA\n"
        "NA,1,0,01\n"
        ",0.5,0.5,01\n"
    )
    rows = read(ScoredDataset.load(path))
    assert rows.column("category").to_pylist() == ["01", "NA", None]
    assert rows.column("Scored Labels").to_pylist() == ["NA", "01", "01"]
    assert rows.column("Scored Probabilities_01").to_pylist() == [0.123456789012345, 1, 0.5]


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path, format: Any) -> None:
    for number in (10, 2, 0, 1, 9, *range(3, 9)):
        rows = table_of(("a", "b"), ["a", None], first_id=2 * number)
        write(tmp_path, rows, part_file(number, format=format))
    dataset = ScoredDataset.load(tmp_path)
    assert [part.name for part in dataset.parts][::10] == [
        f"part-00000.{format}",
        f"part-00010.{format}",
    ]
    assert read(dataset, "id").column("id").to_pylist() == list(range(22))


def test_a_part_without_rows_is_no_obstacle(tmp_path: Path) -> None:
    for number, categories in enumerate((["a"], list[str | None](), ["b"])):
        write(tmp_path, table_of(("a", "b"), list(categories)), part_file(number, format="csv"))
    assert read(ScoredDataset.load(tmp_path), "category").column(0).to_pylist() == ["a", "b"]


def test_a_lost_part_is_noticed(tmp_path: Path) -> None:
    for number in (0, 2):
        write(tmp_path, table_of(("a",), ["a"]), part_file(number))
    with pytest.raises(errors.InvalidDataset, match=r"expected part 1 .*part-00002.parquet"):
        ScoredDataset.load(tmp_path)


def test_two_tables_in_one_folder_are_ambiguous(tmp_path: Path) -> None:
    write(tmp_path, table_of(("a",), ["a"]), "scored.csv")
    write(tmp_path, table_of(("a",), ["a"]), "scored.parquet")
    with pytest.raises(errors.InvalidDataset, match="expected one table"):
        ScoredDataset.load(tmp_path)


def test_columns_come_in_the_order_asked_for_and_dots_in_names_mean_nothing(tmp_path: Path) -> None:
    write(tmp_path, table_of(("x", "x.y"), ["x"]))
    columns = [probability_column("x"), "id"]
    assert read(ScoredDataset.load(tmp_path), *columns).column_names == columns


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write(tmp_path, table_of(("a", "b"), ["a"]), part_file(0))
    write(tmp_path, table_of(("a",), ["a"]), part_file(1))
    with pytest.raises(errors.ColumnMissing, match=r"part-00001.parquet.*Probabilities_b"):
        read(ScoredDataset.load(tmp_path))


@pytest.mark.parametrize("name", ["scored.parquet", "anything.csv"])
def test_a_single_file_is_a_scored_dataset(tmp_path: Path, name: str) -> None:
    write(tmp_path, table_of(("a", "b"), ["a", "b"]), name)
    dataset = ScoredDataset.load(tmp_path / name)
    assert dataset.classes == ("a", "b")
    assert dataset.schema.label_column == "category"
    assert dataset.run == {}
    assert not dataset.is_complete
    assert dataset.errors().num_rows == 0


def test_the_designers_folder_is_understood(tmp_path: Path) -> None:
    table = pa.table(
        {
            "kind": ["birds", "fruit"],
            "id": [22, 41],
            "Scored Probabilities_birds": [0.75, 0.25],
            "Scored Probabilities_fruit": [0.25, 0.75],
            "Scored Labels": ["birds", "fruit"],
        }
    )
    write(tmp_path, table, "_data.parquet")
    (tmp_path / "schema").mkdir()
    schema = {"columnAttributes": [], "labelColumns": {"True Labels": "kind"}, "scoreColumns": {}}
    (tmp_path / "schema/_schema.json").write_text(json.dumps(schema))
    dataset = ScoredDataset.load(tmp_path)
    assert dataset.classes == ("birds", "fruit")
    assert dataset.schema.label_column == "kind"
    assert read(dataset).equals(table)


def test_run_and_errors_are_read(tmp_path: Path) -> None:
    write(tmp_path, table_of(("a",), ["a"]))
    (tmp_path / RUN_FILE).write_text('{"status": "complete", "model": {"digest": "d"}}')
    row = {"id": 7, "path": "x.jpg", "error_number": 48, "message": "cut off"}
    pq.write_table(pa.Table.from_pylist([row], errors_schema()), tmp_path / ERRORS_FILE)
    dataset = ScoredDataset.load(tmp_path)
    assert dataset.is_complete
    assert dataset.run["model"] == {"digest": "d"}
    assert dataset.errors().to_pylist() == [row]


def test_a_run_without_any_row_can_be_opened(tmp_path: Path) -> None:
    ScoredSchema.of(["a"], has_category=True).write(tmp_path)
    (tmp_path / RUN_FILE).write_text('{"status": "running"}')
    dataset = ScoredDataset.load(tmp_path)
    assert dataset.parts == ()
    assert not dataset.is_complete
    assert list(dataset.batches()) == []


def test_nothing_at_the_path(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidDataset, match="nothing at this path"):
        ScoredDataset.load(tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("photo.jpg", "not a table"),
        ("folder/_schema.json", '{"columnAttributes": []}'),
        ("folder/images.lst", ""),
        ("table.csv", "id,category\n1,a\n"),
        ("table.csv", "Scored Probabilities_a\n1\n"),
    ],
)
def test_what_was_not_scored_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(errors.NotScored, match="calotype score"):
        ScoredDataset.load(path.parent if "folder" in name else path)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("Scored Probabilities_a,Scored Probabilities_a,Scored Labels\n1,1,a\n")
    with pytest.raises(errors.InvalidDataset, match="different names"):
        ScoredDataset.load(path)


@pytest.mark.parametrize("name", ["scored.parquet", "scored.csv"])
def test_a_damaged_table_is_error_49(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\x00PAR1 nothing of a table" if "parquet" in name else b"")
    with pytest.raises(errors.UnparsableFile, match=name):
        ScoredDataset.load(tmp_path)


def test_a_value_that_is_no_number_is_error_49(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("category,Scored Probabilities_a,Scored Labels\na,much,a\n")
    with pytest.raises(errors.UnparsableFile, match="much"):
        read(ScoredDataset.load(path))


def test_a_file_that_cannot_be_read_is_error_48(tmp_path: Path) -> None:
    path = tmp_path / "scored.csv"
    path.symlink_to("/proc/self/mem")  # opens, and fails to read even for root
    with pytest.raises(errors.UnreadableFile, match=r"scored\.csv"):
        ScoredDataset.load(path)
