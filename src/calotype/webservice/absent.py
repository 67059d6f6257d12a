"""Names of the retired SDK that have no meaning here: imports harm nobody, and a use tells.

Each stands in its old module, and says what the table of `unsupported` says of it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, NoReturn

from calotype.webservice import unsupported
from calotype.webservice.exceptions import CloudException
from calotype.webservice.unsupported_names import NAMES

_ROOT: Final = "calotype."
_CONFIGURATIONS: Final = (
    "RunConfiguration ScriptRunConfig MpiConfiguration PyTorchConfiguration "
    "TensorflowConfiguration DockerConfiguration"
)
_IN_CORE: Final = {
    "": "Experiment Datastore Image Keyvault ScriptRun ScriptRunConfig RunConfiguration "
    "ComputeInstance LinkedService PrivateEndPoint PrivateEndPointConfig "
    "SynapseWorkspaceLinkedServiceConfiguration",
    ".compute": "AmlCompute BatchCompute ComputeInstance DatabricksCompute DataFactoryCompute "
    "HDInsightCompute KubernetesCompute RemoteCompute SynapseCompute",
    ".compute.amlcompute": "AmlCompute",
    ".compute.computeinstance": "ComputeInstance",
    ".datastore": "Datastore",
    ".experiment": "Experiment",
    ".image": "Image ContainerImage",
    ".image.container": "ContainerImage",
    ".image.image": "Image",
    ".keyvault": "Keyvault",
    ".linked_service": "LinkedService SynapseWorkspaceLinkedServiceConfiguration",
    ".private_endpoint": "PrivateEndPoint PrivateEndPointConfig",
    ".run": "get_run",
    ".runconfig": _CONFIGURATIONS,
    ".script_run": "ScriptRun",
    ".script_run_config": f"ScriptRunConfig {_CONFIGURATIONS}",
}
# Never raised here; `except` may name them.
_EXCEPTIONS: Final = (
    "ActivityFailedException AuthenticationException DatasetExecutionError "
    "ExperimentExecutionException ExperimentNotFoundException ImageNotFoundException "
    "ModelPathNotFoundException ProjectSystemException RunConfigurationException "
    "RunEnvironmentException ServiceException SnapshotException TrainingException "
    "UnexpectedException"
)
_NAMES: Final = {
    **{f"azureml.core{where}": set(names.split()) for where, names in _IN_CORE.items()},
    "azureml.exceptions": set(_EXCEPTIONS.split()),
}
_PACKAGES: Final = tuple(one.name for one in NAMES if one.name.startswith("azureml."))
_THERE: Final = "azureml.core, azureml.exceptions, azureml.monitoring and azureml.contrib.services"


class _Absent(type):
    """The kind of classes that say, when they are used, that they are not here."""

    row: str
    used: str

    def __call__(cls, *_args: Any, **_named: Any) -> NoReturn:
        unsupported.refuse(cls.row, used=cls.used)

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):  # Python itself looks, and nobody uses it
            raise AttributeError(name)
        unsupported.refuse(cls.row, used=cls.used)


def names_of(module: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module: it gives the names that have no meaning here."""
    old = module.removeprefix(_ROOT)
    package = _package_of(old)

    def find(name: str) -> type:
        is_known = name in _NAMES.get(old, ()) or (package and not name.startswith("_"))
        if not is_known:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        made = _stand_in(name, row=package or name, used=f"{old}.{name}" if package else name)
        setattr(sys.modules[module], name, made)
        return made

    return find


def _stand_in(name: str, *, row: str, used: str) -> type:
    said = {"__doc__": "Not here.", "__module__": __name__}
    if name.endswith(("Exception", "Error")):  # `except` takes nothing else
        return type(name, (CloudException,), said)
    return _Absent(name, (), {**said, "row": row, "used": used})


def _package_of(old: str) -> str:
    """Return the package of the table that a module is of; empty for none."""
    return next((one for one in _PACKAGES if old == one or old.startswith(f"{one}.")), "")


def why_missing(old: str) -> str:
    """Return why an entry script cannot import a module, and what to do; empty if it can.

    Whole packages without a meaning here are none that it can: what it loads may look for classes
    in them, and would get others that only say no.

    Args:
        old: `azureml.…`, a module or a name in one.
    """
    package = _package_of(old)
    try:
        found = importlib.util.find_spec(f"{_ROOT}{old}")
    except ModuleNotFoundError:
        found = None
    if found is not None and not (package and found.loader is _modules):
        return ""
    reason = f": {unsupported.because(package)}" if package else "."
    return (
        f"Calotype has no '{old}'{reason} Of the retired SDK it has {_THERE}. "
        "Leave the import out, or install the package that has it for the Python that runs this "
        "script."
    )


class _Modules(MetaPathFinder, Loader):
    """The last of the finders: modules that have files come first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a module for one of the old names."""
        old = fullname.removeprefix(_ROOT)
        if old == fullname or (old not in _NAMES and not _package_of(old)):
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Let the module give its names."""
        vars(module)["__getattr__"] = names_of(module.__name__)


_modules = _Modules()


def offer_modules() -> None:
    """Let scripts import the modules that have no file of ours."""
    if _modules not in sys.meta_path:
        sys.meta_path.append(_modules)
