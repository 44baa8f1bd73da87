"""Save what surrounds the code of cells: context variables, the contexts of decimal, settings of the event loop."""

import contextvars
import decimal
import importlib
import sys
from typing import Any

from pauseflow_nb.kernel.snapshot.process_state.state_part import Part
from pauseflow_nb.kernel.snapshot.process_state.unfinished import find_running_loop
from pauseflow_nb.kernel.snapshot.recovery import imports

#: The contexts that new threads and libraries begin with.
_DEFAULT_CONTEXTS = ("DefaultContext", "BasicContext", "ExtendedContext")
_OF_CONTEXTS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
_SIGNALS = ("traps", "flags")


def _capture_loop(_shell: Any) -> dict[str, Any]:
    loop = find_running_loop()
    if loop is None:
        return {}
    found = {"set_exception_handler()": loop.get_exception_handler(), "set_debug()": loop.get_debug()}
    found["set_task_factory()"] = loop.get_task_factory()
    return {**found, "slow_callback_duration": getattr(loop, "slow_callback_duration", None)}


def _restore_loop(_shell: Any, name: str, value: Any) -> None:
    loop = find_running_loop()
    if name.endswith("()"):
        getattr(loop, name[: -len("()")])(value)
    else:
        setattr(loop, name, value)


def _capture_variables(_shell: Any) -> dict[str, Any]:
    """Find context variables of modules beside the notebook; those of the notebook are saved as variables."""
    current = contextvars.copy_context()
    return {
        f"{module}.{name}": (module, name, current[value])
        for module in imports.find_users_modules()
        for name, value in list(vars(sys.modules[module]).items())
        if type(value) is contextvars.ContextVar and value in current
    }


def _restore_variable(_shell: Any, _name: str, value: tuple[str, str, Any]) -> None:
    module, name, content = value
    getattr(importlib.import_module(module), name).set(content)


def _capture_current_context(shell: Any) -> dict[str, Any]:
    current = decimal.getcontext()
    names = [name for name, value in shell.user_ns.items() if value is current]
    return {"": names[0]} if names else {}


def _restore_current_context(shell: Any, _name: str, variable: str) -> None:
    decimal.setcontext(shell.user_ns[variable])


def _capture_default_contexts(_shell: Any) -> dict[str, Any]:
    return {
        name: {
            **{attribute: getattr(context, attribute) for attribute in _OF_CONTEXTS},
            **{signals: [each for each, is_on in getattr(context, signals).items() if is_on] for signals in _SIGNALS},
        }
        for name in _DEFAULT_CONTEXTS
        if (context := getattr(decimal, name)) is not None
    }


def _restore_default_context(_shell: Any, name: str, values: dict[str, Any]) -> None:
    context = getattr(decimal, name)
    for attribute in _OF_CONTEXTS:
        setattr(context, attribute, values[attribute])
    for signals in _SIGNALS:
        for each in getattr(context, signals):
            getattr(context, signals)[each] = each in values[signals]


PARTS: dict[str, Part] = {
    "decimal": Part(
        lambda _: {"": decimal.getcontext().copy()},
        lambda _shell, _name, context: decimal.setcontext(context),
        "decimal context",
    ),
    "current_context": Part(_capture_current_context, _restore_current_context, "decimal.getcontext()", when="after"),
    "decimal_defaults": Part(_capture_default_contexts, _restore_default_context, "decimal.{}", True),
    "context_variables": Part(
        _capture_variables, _restore_variable, "context variable {}", is_compared=True, when="after", is_shared=True
    ),
    "event_loop": Part(_capture_loop, _restore_loop, "{} of the event loop", is_compared=True, when="after"),
}
