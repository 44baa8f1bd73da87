"""What a pickle of ours refers to while it is loaded: the live namespace, the notebook's definitions, the shell.

Pickles name these functions by module and name, so neither may ever change: a snapshot can be months old.
"""

import getpass
import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

__all__ = [
    "Loading",
    "definition",
    "kernel_method",
    "live_attribute",
    "live_module_namespace",
    "live_namespace",
    "live_part",
    "live_session",
    "live_shell",
    "nameless_type",
    "type_of",
]


@dataclass
class Loading:
    """The kernel that a snapshot is loaded into. A context: only one load at a time."""

    namespace: dict[str, Any]
    shell: Any
    #: Functions and classes of the notebook that are loaded already, by their key.
    definitions: dict[str, Any] = field(default_factory=dict)
    #: Whether the result is thrown away, so that nothing that lives may be touched.
    is_trial: bool = False
    outer: "Loading | None" = None

    def __enter__(self) -> Self:
        global _current
        self.outer, _current = _current, self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _current  # noqa: PLW0603
        _current = self.outer


_current: Loading | None = None


def _loading() -> Loading:
    if _current is None:
        raise RuntimeError("a part of a snapshot can only be loaded by restore()")
    return _current


def is_trial() -> bool:
    """Whether what is being loaded will be thrown away."""
    return _current is not None and _current.is_trial


def live_namespace() -> dict[str, Any]:
    """Return the namespace that variables are restored into."""
    return _loading().namespace


def live_shell() -> Any:
    """Return the shell that variables are restored into."""
    return _loading().shell


def live_session() -> Any:
    """Return pauseflow_nb's own session of the shell."""
    return _loading().shell.pauseflow


def live_part(*path: str) -> Any:
    """Return a part of the shell that variables are restored into, or of its kernel."""
    found = _loading().shell
    for name in path:
        found = getattr(found, name, None)
        if found is None:
            raise LookupError(f"this kernel's shell has no {'.'.join(path)}")
    return found


def kernel_method(name: str) -> Any:
    """Return a method of the kernel, such as what cells get for `input`."""
    kernel = getattr(_loading().shell, "kernel", None)
    if kernel is not None:
        return getattr(kernel, name)
    return {"raw_input": input, "getpass": getpass.getpass}[name]


def type_of(module: str, path: str) -> type:
    """Return the type of what an import finds."""
    return type(live_attribute(module, path))


def nameless_type(name: str) -> type:
    """Return a type that no module offers."""
    from pauseflow_nb.kernel.snapshot.outside import NAMELESS  # lazy: that module takes apart what this one makes

    return type(NAMELESS[name]())


def definition(key: str) -> Any:
    """Return one of the notebook's own functions and classes."""
    found = _loading().definitions
    if key not in found:
        raise LookupError(f"it needs {key.rpartition('#')[0]}, which could not be restored")
    return found[key]


def live_attribute(module: str, path: str) -> Any:
    """Return what an import of `module` offers under `path`: the object itself, never a copy."""
    __import__(module)
    found: Any = sys.modules[module]
    for name in path.split("."):
        found = getattr(found, name)
    return found


def live_module_namespace(module: str) -> dict[str, Any]:
    """Return the globals of an imported module."""
    __import__(module)
    return vars(sys.modules[module])
