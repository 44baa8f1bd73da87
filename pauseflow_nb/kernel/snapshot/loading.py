"""What a pickle of ours refers to while it is loaded: the live namespace, the notebook's definitions, the shell.

Pickles name these functions by module and name, so neither may ever change: a snapshot can be months old.
"""

import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

__all__ = [
    "Loading",
    "definition",
    "live_attribute",
    "live_module_namespace",
    "live_namespace",
    "live_session",
    "live_shell",
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
