"""Registered environments: versions, labels, documents."""

from __future__ import annotations

import dataclasses
import json
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from calotype import errors
from calotype.workspace import tables
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.sealed_variables import MASK
from calotype.workspace.workspace import Workspace

DEFINITION = EnvironmentDefinition(
    "sklearn-env",
    pip_requirements=("scikit-learn==1.7.2", "numpy"),
    conda_channels=("conda-forge",),
    environment_variables={"MODE": "fast"},
    python_version="3.11",
    is_user_managed=True,
)


def test_the_same_definition_stays_a_version(workspace: Workspace) -> None:
    environments = workspace.environments
    first = environments.register(DEFINITION)
    assert first.version == 1
    assert environments.register(DEFINITION) == first
    other = EnvironmentDefinition("sklearn-env", pip_requirements=("numpy",))
    assert environments.register(other).version == 2
    assert environments.get("sklearn-env").pip_requirements == ("numpy",)
    assert environments.get("sklearn-env", 1) == first
    assert [one.version for one in environments.list()] == [2, 1]
    assert [one.version for one in environments.list(latest=True)] == [2]


def test_a_definition_survives_its_document() -> None:
    assert EnvironmentDefinition.of_document(DEFINITION.whole_document()) == DEFINITION


SECRET = EnvironmentDefinition("e", environment_variables={"PASSWORD": "open sesame", "MODE": ""})


def test_values_of_variables_are_sealed_and_not_shown(workspace: Workspace) -> None:
    known = workspace.environments.register(SECRET)
    assert dict(known.environment_variables) == SECRET.environment_variables
    assert workspace.environments.register(SECRET).version == known.version
    assert known.to_document()["environment_variables"] == {"PASSWORD": MASK, "MODE": MASK}
    assert "sesame" not in repr(known) + repr(SECRET) + repr(known.environment_variables)
    assert "sesame" not in stored(workspace)
    changed = dataclasses.replace(SECRET, environment_variables={"PASSWORD": "another", "MODE": ""})
    assert workspace.environments.register(changed).version == 2


def stored(workspace: Workspace) -> str:
    """Return all definitions as the database has them."""
    with workspace.database.reading() as connection:
        rows = connection.execute(sqlalchemy.select(tables.environments.c.definition)).scalars()
        return json.dumps(list(rows))


def test_rows_of_earlier_builds_are_read(workspace: Workspace) -> None:
    workspace.environments.register(SECRET)
    with workspace.database.writing() as connection:
        said = {"definition": SECRET.whole_document()}  # in clear
        connection.execute(sqlalchemy.update(tables.environments).values(**said))
    assert workspace.environments.get("e").environment_variables == SECRET.environment_variables
    assert "sesame" in stored(workspace)
    assert workspace.environments.register(SECRET).version == 1
    assert "sesame" not in stored(workspace)
    assert workspace.environments.get("e").environment_variables == SECRET.environment_variables


def test_without_the_key_file_names_are_seen_and_values_stay_shut(workspace: Workspace) -> None:
    workspace.environments.register(SECRET)
    workspace.place.key_file.unlink()
    (found,) = workspace.environments.list()
    assert found.to_document()["environment_variables"] == {"PASSWORD": MASK, "MODE": MASK}
    with pytest.raises(errors.CorruptWorkspace, match="key file"):
        assert found.environment_variables["PASSWORD"]


def test_a_workspace_seals_what_another_has_sealed_with_its_own_key(
    workspace: Workspace, tmp_path: Path
) -> None:
    with closing(Workspace.create("other", tmp_path / "other")) as other:
        other.environments.register(workspace.environments.register(SECRET))
        assert other.environments.get("e").environment_variables == SECRET.environment_variables


def test_what_stands_for_a_value_is_none(workspace: Workspace) -> None:
    shown = workspace.environments.register(SECRET).to_document()
    with pytest.raises(errors.UnparsableValue, match="variable 'PASSWORD'"):
        workspace.environments.register(EnvironmentDefinition.of_document(shown))
    assert workspace.environments.get("e").version == 1


@pytest.mark.parametrize("name", ["", "a=b", "A B", "1A", "A\nB"])
def test_a_name_that_no_variable_has_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(errors.UnparsableValue, match="environment variable"):
        workspace.environments.register(
            EnvironmentDefinition("e", environment_variables={name: "value"})
        )
    assert workspace.environments.list() == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"name": "e", "pip_requirement": []}, "Did you mean 'pip_requirements'"),
        ({"name": "e", "pip_requirements": "numpy"}, "pip_requirements"),
        ({"name": "e", "python_version": 3.11}, "3.11"),
    ],
)
def test_a_wrong_document_says_where(document: dict[str, object], message: str) -> None:
    with pytest.raises(errors.UnparsableValue, match=message):
        EnvironmentDefinition.of_document(document)


def test_a_label_has_one_version(workspace: Workspace) -> None:
    environments = workspace.environments
    environments.register(EnvironmentDefinition("e"), labels=["stable"])
    environments.register(EnvironmentDefinition("e", python_version="3.12"))
    assert environments.get("e", label="stable").version == 1
    environments.label("e", 2, ["stable", "new"])
    assert environments.get("e", label="stable").version == 2
    assert environments.labels("e", 1) == []
    assert environments.get("e", label="latest").version == 2
    with pytest.raises(errors.NotFound, match="new, stable"):
        environments.get("e", label="old")


def test_an_unknown_name_suggests_the_nearest(workspace: Workspace) -> None:
    workspace.environments.register(DEFINITION)
    with pytest.raises(errors.NotFound, match="Did you mean 'sklearn-env'"):
        workspace.environments.get("sklearn-emv")
    with pytest.raises(errors.UnparsableValue):
        workspace.environments.register(EnvironmentDefinition("a b"))
