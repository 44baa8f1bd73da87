"""Write down when each process of pauseflow reaches the stages in STAMPS; Python imports this file at its start.

A line has the time, the seconds that the process has computed, its id, and the stage.

STAMPS is JSON: the `file` to append to, and the `stages`, each with its name, its module, the function in it, and
whether its `begin` or its `end` counts.
"""

import contextlib
import functools
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_WANTED = json.loads(os.environ.get("STAMPS", '{"file": "", "stages": []}'))


def _write(stage: str) -> None:
    line = f"{time.time()!r} {time.process_time()!r} {os.getpid()} {stage}\n".encode()
    descriptor = os.open(_WANTED["file"], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, line)
    os.close(descriptor)


def _wrap(function: Callable[..., Any], stage: str, when: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def stamped(*arguments: Any, **options: Any) -> Any:
        if when == "begin":
            _write(stage)
        try:
            return function(*arguments, **options)
        finally:
            if when == "end":
                _write(stage)

    # Tornado asks whether a handler is a coroutine function.
    return (
        inspect.markcoroutinefunction(stamped)
        if inspect.iscoroutinefunction(function) and sys.version_info >= (3, 12)
        else stamped
    )


class _Finder:
    """Wraps the functions of the stages when their modules are imported."""

    def __init__(self) -> None:
        self._stages: dict[str, list[list[str]]] = {}
        for stage, module, function, when in _WANTED["stages"]:
            self._stages.setdefault(module, []).append([stage, function, when])

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self._stages:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                for stage, function, when in self._stages[name]:
                    *outer, last = function.split(".")
                    owner = functools.reduce(getattr, outer, module)
                    setattr(owner, last, _wrap(getattr(owner, last), stage, when))

            with contextlib.suppress(AttributeError):
                spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if _WANTED["stages"]:
    sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
