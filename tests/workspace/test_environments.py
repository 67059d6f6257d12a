"""Registered environments: versions, labels, documents."""

from __future__ import annotations

import pytest

from calotype import errors
from calotype.workspace.environments import EnvironmentDefinition
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
    assert EnvironmentDefinition.of_document(DEFINITION.to_document()) == DEFINITION


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
