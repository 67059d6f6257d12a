"""Environments: files, registration, checks of what is installed, and ones of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype.azureml.core import Environment, Workspace
from calotype.azureml.core.conda_dependencies import CondaDependencies
from calotype.azureml.core.model import InferenceConfig, Model
from calotype.azureml.exceptions import WebserviceException
from calotype.webservice.conda_package import pip_line
from calotype.webservice.required_packages import OtherVersion
from calotype.webservice.unsupported import NoMeaningHere

CONDA = """
name: any
channels: [defaults]
dependencies:
- python=3.11
- numpy=2
- pip:
  - --extra-index-url https://example.invalid/simple
  - requests>=2
"""


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace.create("tests", tmp_path / "place")
    yield made
    made.close()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "score.py").write_text("def init(): pass\ndef run(data): return 1\n")
    return folder


def wheel(folder: Path, name: str, version: str = "1.0") -> Path:
    """Write a wheel with one module, which knows its version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    contents = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


def test_packages_are_listed_and_saved(tmp_path: Path) -> None:
    made = CondaDependencies.create(
        pip_packages=["numpy", "scikit_learn==1.5"],
        conda_packages=["pandas"],
        python_version="3.11",
    )
    made.add_pip_package("Scikit-Learn==1.6")
    made.add_conda_package("scipy=1.14")
    made.set_python_version("3.12")
    path = made.save(tmp_path / "conda.yml")
    read = CondaDependencies(path)
    assert read.pip_packages == ["numpy", "Scikit-Learn==1.6"]
    assert read.conda_packages == ["pandas", "scipy=1.14"]
    assert read.python_version == "3.12"


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(WebserviceException, match="conda file"):
        Environment.from_conda_specification("a", tmp_path / "absent.yml")
    (tmp_path / "broken.yml").write_text("a: [")
    with pytest.raises(WebserviceException, match="YAML"):
        CondaDependencies(tmp_path / "broken.yml")
    (tmp_path / "types.yml").write_text(
        "channels: defaults\ndependencies: [numpy, 3, {pip: numpy}, {pip: [onnx, 4]}, {conda: []}]"
    )
    with pytest.raises(WebserviceException) as raised:
        CondaDependencies(tmp_path / "types.yml")
    for told in (
        "'channels': expected a list, got 'defaults'",
        "'dependencies', entry 2: expected text, got 3",
        "'dependencies', entry 3, 'pip': expected a list, got 'numpy'",
        "'dependencies', entry 4, 'pip', line 2: expected text, got 4",
        "'dependencies', entry 5: expected a package, or 'pip' with a list of them",
    ):
        assert told in raised.value.message
    with pytest.raises(WebserviceException, match="requirements file"):
        Environment.from_pip_requirements("a", tmp_path / "absent.txt")


def test_an_environment_of_a_conda_file(tmp_path: Path) -> None:
    (tmp_path / "conda.yml").write_text(CONDA)
    with pytest.warns(NoMeaningHere, match="packages of conda are not installed"):
        made = Environment.from_conda_specification("mine", tmp_path / "conda.yml")
    definition = made.definition()
    assert definition.pip_requirements == ("requests>=2",)
    assert definition.pip_options == ("--extra-index-url https://example.invalid/simple",)
    assert (definition.conda_dependencies, definition.python_version) == (("numpy=2",), "3.11")


def test_an_environment_is_registered_and_found(ws: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("# a comment\nnumpy  # the newest\n-f https://example.invalid/\nrequests\n")
    made = Environment.from_pip_requirements("mine", path)
    made.environment_variables["LEVEL"] = "3"
    assert made.register(ws).version == "1"
    changed = made.clone("mine")
    changed.python.conda_dependencies.add_pip_package("pillow")
    assert changed.register(ws).version == "2"
    Environment.label(ws, "mine", 1, ["good"])
    first = Environment.get(ws, "mine", label="good")
    assert first.python.conda_dependencies.pip_packages == ["numpy", "requests"]
    assert first.environment_variables == {"LEVEL": "3"}
    assert Environment.get(ws, "mine").version == Environment.list(ws)["mine"].version == "2"
    assert ws.environments["mine"].version == "2"
    with pytest.raises(WebserviceException, match="'none-such'"):
        Environment.get(ws, "none-such")
    with pytest.warns(NoMeaningHere, match="Curated"):
        assert Environment.get(ws, "AzureML-Minimal").name == "AzureML-Minimal"


def test_what_is_printed_has_no_values_of_variables(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = Environment("mine")
    environment.environment_variables["WORD"] = "open sesame"
    inference = InferenceConfig("score.py", source_directory=script, environment=environment)
    Model.print_configuration([], inference, None, None)
    assert '"WORD": "********"' in capsys.readouterr().out


def test_an_environment_in_a_folder(tmp_path: Path) -> None:
    made = Environment.from_dockerfile("mine", "FROM scratch\nRUN true\n")
    made.python.user_managed_dependencies = True
    made.environment_variables["WORD"] = "open sesame"
    made.save_to_directory(tmp_path / "out")
    assert (tmp_path / "out/BaseDockerfile").read_text() == "FROM scratch\nRUN true\n"
    # What its owner asks for whole is for nobody else.
    assert (tmp_path / "out/azureml_environment.json").stat().st_mode & 0o077 == 0
    read = Environment.load_from_directory(tmp_path / "out")
    assert read.definition() == made.definition()
    with pytest.raises(WebserviceException, match="overwrite=True"):
        made.save_to_directory(tmp_path / "out")
    made.save_to_directory(tmp_path / "out", overwrite=True)


def test_missing_packages_are_named_with_the_command(ws: Workspace, script: Path) -> None:
    environment = Environment("mine")
    packages = environment.python.conda_dependencies
    for line in (
        "numpy",
        "azureml-defaults>=1.0.45",
        "azureml-monitoring==0.1.0",
        "no-such-thing>=2",
        "of_conda; os_name=='x'",
        "git+https://host.invalid/numpy.git",
        "git+ssh://git@host.invalid/code.git@v1",
        "./wheels/unnamed.whl",
        "git+https://host.invalid/numpy.git#egg=no-egg",
        "no-wheel @ https://host.invalid/download",
    ):
        packages.add_pip_package(line)
    for line in ("another-absent-one=3", "conda-forge::pandas=1.2=py38_0", "cudatoolkit=11.8"):
        packages.add_conda_package(line)
    config = InferenceConfig("score.py", source_directory=script, environment=environment)
    with pytest.raises(WebserviceException) as raised:
        config.build(ws)
    message = raised.value.message
    assert (
        "without no-such-thing, no-egg, no-wheel, another-absent-one; and with other versions: "
        in message
    )
    command = f"{sys.executable} -m pip install 'no-such-thing>=2' 'git+https://"
    assert f"Run `{command}" in message
    assert "'another-absent-one==3.*' pandas==1.2`" in message
    assert raised.value.number == 2001
    environment.python.user_managed_dependencies = True
    assert config.build(ws).environment["is_user_managed"] is True


def test_another_version_brings_a_warning(ws: Workspace, script: Path) -> None:
    environment = Environment("mine")
    environment.python.conda_dependencies.add_pip_package("numpy==1.0")
    environment.python.conda_dependencies.set_python_version("2.7")
    config = InferenceConfig("score.py", source_directory=script, environment=environment)
    environment.python.conda_dependencies.add_conda_package("pandas=1.1")
    environment.python.conda_dependencies.add_conda_package("scikit-learn>=1.0")
    told = r"numpy==1\.0 \(there is 2.*pandas==1\.1 \(.*python==2\.7 \(.*install numpy==1\.0 'pan"
    with pytest.warns(OtherVersion, match=told):
        assert config.build(ws).entry_script == "score.py"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("numpy", "numpy"),
        ("numpy=1", "numpy==1.*"),
        ("numpy=1.2.*", "numpy==1.2.*"),
        ("numpy==1.2", "numpy==1.2"),
        ("numpy==1.2=py38_0", "numpy==1.2"),
        ("numpy 1.2.3 py38_0", "numpy==1.2.3"),
        ("numpy >= 1.2.*, <2", "numpy>=1.2,<2"),
        ("numpy >=1.2,<2 py38_0", "numpy>=1.2,<2"),
        ("numpy >=1.2 , <2", "numpy>=1.2,<2"),
        ("numpy 1.2*", "numpy==1.2.*"),
        ("numpy >=1.2*,!=1.5*", "numpy>=1.2,!=1.5.*"),
        ("numpy 1.2 | 1.4", "numpy"),
        ("numpy>=1,!=1.5", "numpy>=1,!=1.5"),
        ("numpy=1.2|1.4", "numpy"),
        ("numpy=*", "numpy"),
        ("main/linux-64::NumPy~=1.2", "NumPy~=1.2"),
        ("opencv", "opencv-contrib-python"),
        ("pytorch[version='>=2,<3',build=py3.11_cpu]", "torch>=2,<3"),
        ("mkl", None),
        ("blas=*=openblas", None),
        ("conda-forge::git", None),
        ("_libgcc_mutex=0.1=main", None),
        ("cuda-nvcc=12.4", None),
        ("cuda-python", "cuda-python"),
    ],
)
def test_packages_of_conda_in_the_words_of_pip(line: str, expected: str | None) -> None:
    assert pip_line(line, installed={"opencv-contrib-python"}) == expected


@pytest.mark.parametrize("name", ["a=b", "A B", ""])
def test_a_variable_has_a_name_that_a_process_can_have(
    ws: Workspace, script: Path, name: str
) -> None:
    environment = Environment("mine")
    environment.environment_variables[name] = "value"
    config = InferenceConfig("score.py", source_directory=script, environment=environment)
    with pytest.raises(WebserviceException, match="environment variable"):
        config.build(ws)


def test_an_interpreter_that_is_not_there(ws: Workspace, script: Path) -> None:
    environment = Environment("mine")
    environment.python.interpreter_path = "/no/such/python"
    config = InferenceConfig("score.py", source_directory=script, environment=environment)
    with pytest.raises(WebserviceException, match="/no/such/python"):
        config.build(ws)


def test_an_environment_of_its_own(ws: Workspace, script: Path, tmp_path: Path) -> None:
    address = Environment.add_private_pip_wheel(ws, wheel(tmp_path, "calotypetestwheel"))
    with pytest.raises(WebserviceException, match="exist_ok=True"):
        Environment.add_private_pip_wheel(ws, wheel(tmp_path, "calotypetestwheel"))
    with pytest.raises(WebserviceException, match=r"^\S*absent\.whl: expected a wheel"):
        Environment.add_private_pip_wheel(ws, tmp_path / "absent.whl")
    environment = Environment("mine")
    environment.python.conda_dependencies.add_pip_package(address)
    environment.python.conda_dependencies.add_pip_package("numpy")
    config = InferenceConfig("score.py", source_directory=script, environment=environment)
    with pytest.raises(WebserviceException, match="build_local"):
        config.build(ws)
    python = environment.build_local(ws)
    program = "import calotypetestwheel, calotype, numpy; print(calotypetestwheel.VERSION)"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1.0"
    assert environment.build_local(ws) == environment.interpreter(ws) == python
    assert config.build(ws).environment["interpreter"] == python


def test_pip_says_why_it_cannot(ws: Workspace) -> None:
    environment = Environment("mine")
    environment.python.conda_dependencies.add_pip_package("absent @ file:///no/such.whl")
    with pytest.raises(WebserviceException, match=r"such\.whl"):
        environment.build_local(ws)


def test_paths_are_checked_early(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parent)
    for values, clause in (
        ({"entry_script": "absent.py"}, "absent.py"),
        ({"entry_script": "absent.py", "source_directory": script}, "below"),
        ({"entry_script": "score.py", "source_directory": "absent"}, "source_directory"),
        ({"source_directory": script}, "entry script"),
        ({"entry_script": "../x.py", "source_directory": script}, "entry_script"),
        (
            {"entry_script": "score.py", "source_directory": script, "conda_file": "c.yml"},
            "yml below",
        ),
        (
            {"entry_script": "score.py", "source_directory": script, "runtime": "java"},
            "'python'",
        ),
        (
            {
                "entry_script": "score.py",
                "source_directory": script,
                "runtime": "python",
                "environment": Environment("a"),
            },
            "environment and runtime",
        ),
    ):
        with pytest.raises(WebserviceException, match=clause):
            InferenceConfig(**values)  # pyright: ignore[reportArgumentType]
    InferenceConfig("source/score.py", source_directory="source")


def test_the_older_way(ws: Workspace, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script / "conda.yml").write_text("dependencies:\n- pip:\n  - numpy\n")
    config = InferenceConfig(
        "score.py", runtime="python", conda_file="conda.yml", source_directory=script
    )
    assert config.build(ws).environment["pip_requirements"] == ["numpy"]
    (script.parent / "here.yml").write_text("dependencies:\n- pip:\n  - pillow\n")
    monkeypatch.chdir(script.parent)
    named_from_here = InferenceConfig("score.py", conda_file="here.yml", source_directory="source")
    assert named_from_here.build(ws).environment["pip_requirements"] == ["pillow"]
    with pytest.warns(NoMeaningHere, match="enable_gpu"):
        InferenceConfig("score.py", source_directory=script, runtime="python", enable_gpu=True)


def test_conda_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    with pytest.raises(WebserviceException, match="conda environment 'mine'"):
        Environment.from_existing_conda_environment("a", "mine")
    python = tmp_path / "envs/mine/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    made = Environment.from_existing_conda_environment("a", "mine")
    assert made.python.interpreter_path == str(python)
    assert json.dumps(made.definition().to_document())
