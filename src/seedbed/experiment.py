"""Loading and running an experiment: a plain function ``f(*, seed, device)`` that returns a mapping."""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from seedbed.bits import Bits, flatten
from seedbed.errors import ExperimentError


@dataclass(frozen=True, slots=True)
class Experiment:
    """A loaded experiment. One whose function takes no `device` runs on the CPU only."""

    name: str
    function: Callable[..., object]
    takes_device: bool

    def run(self, seed: int, device: str) -> dict[str, Bits]:
        """Call the function and take the exact bits of what it returned, by key.

        Raises:
            ExperimentError: where the result is no mapping of names to arrays, tensors or numbers, or is empty.
        """
        result = self.function(seed=seed, device=device) if self.takes_device else self.function(seed=seed)
        if not isinstance(result, Mapping):
            raise ExperimentError(
                f"{self.name} returned {type(result).__name__}; an experiment returns a mapping of names to arrays, "
                "tensors or numbers"
            )
        if not (results := flatten(result)):
            raise ExperimentError(f"{self.name} returned nothing to compare: an empty mapping")
        if "__metadata__" in results:
            raise ExperimentError("the key '__metadata__' is one that safetensors keeps to itself: rename the result")
        return results


def check_name(name: str) -> tuple[str, str]:
    """Split ``package.module:function`` into its two parts.

    Raises:
        ExperimentError: where `name` is not of that form.
    """
    module, _, function = name.partition(":")
    if not (function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ExperimentError(
            f"an experiment is named package.module:function, not {name!r} (for example my_study.experiment:train)"
        )
    return module, function


def load(name: str) -> Experiment:
    """Import the experiment that is named ``package.module:function``.

    Raises:
        ExperimentError: where the name is malformed, the module or the function is not there, or the function cannot
            be called with the keywords `seed` and `device`. What the module itself raises while it is imported
            passes through.
    """
    module_name, function_name = check_name(name)
    if (folder := Path("src").resolve()).is_dir() and str(folder) not in sys.path:
        sys.path.append(str(folder))  # last: what is installed, or in the current folder, comes first
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ExperimentError(
            f"no module named {error.name!r} for the experiment {name!r}: run from the folder that holds it, or "
            "that holds src (without PYTHONSAFEPATH), or install its package"
        ) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ExperimentError(f"module {module_name!r} has no function {function_name!r}{_functions_of(module_name)}")
    return Experiment(name, function, _takes_device(name, function))


def source_digest(name: str) -> str | None:
    """The sha256 of the file that an experiment's module is in, looked for in the current folder too, without import.

    None where it is not found, or no file.
    """
    module, _ = check_name(name)
    before = sys.path[:]
    sys.path[:] = ["", *before, str(Path("src").resolve())]
    try:
        spec = find_spec(module)
        return sha256(Path(spec.origin).read_bytes()).hexdigest() if spec and spec.origin else None
    except (ImportError, OSError, ValueError):
        return None
    finally:
        sys.path[:] = before


def _functions_of(module_name: str) -> str:
    module = import_module(module_name)
    names = [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module_name and not name.startswith("_")
    ]
    return f"; it has {', '.join(sorted(names))}" if names else ""


def _takes_device(name: str, function: Callable[..., object]) -> bool:
    signature = inspect.signature(function)
    for keywords in ({"seed": 0, "device": "cpu"}, {"seed": 0}):
        try:
            signature.bind(**keywords)
        except TypeError:
            continue
        return "device" in keywords
    raise ExperimentError(
        f"{name}{signature} cannot be called as an experiment is: f(*, seed, device), or f(*, seed) on the CPU only"
    )
