"""Reduce log levels, filters and handlers; a handler opens its file again and appends.

Handlers are added only after the `%%setup` cells, because `logging.basicConfig` does nothing if there are any. A
handler that a module or a setup has added again is not added twice.
"""

import logging
import re
from collections.abc import Iterator
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.load_context import is_trial
from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler
from pauseflow_nb.kernel.snapshot.pickling.type_names import full_name, is_users
from pauseflow_nb.kernel.snapshot.process_state.state_part import Part
from pauseflow_nb.kernel.snapshot.user_names import find_sources

#: Attributes that belong to this process and are made again: locks and connections.
_OF_THE_PROCESS = ("lock", "sock", "socket")

#: Attribute of a logger → how cells remove something from it.
_REMOVING = {
    "handlers": re.compile(r"removeHandler|handlers\s*(=|\[|\.(clear|pop|remove)\b)|force\s*=|dictConfig|fileConfig"),
    "filters": re.compile(r"removeFilter|filters\s*(=|\[|\.(clear|pop|remove)\b)"),
}
_FORMATTER = re.compile(r"\bformatter\b|setFormatter")

#: Attributes that every logger has.
_OF_LOGGERS = frozenset(
    {"_cache", "disabled", "filters", "handlers", "level", "manager", "name", "parent", "propagate"}
)


def reduce_handler(_pickler: Pickler, handler: logging.Handler) -> tuple[Any, ...]:
    """Reduce a handler without its lock and its open file."""
    state = {name: value for name, value in vars(handler).items() if name not in _OF_THE_PROCESS}
    if isinstance(handler, logging.FileHandler):
        state |= {"stream": None, "mode": "a"}
        state["_pauseflow_was_open"] = handler.stream is not None
    return make_handler, (type(handler),), state, None, None, set_handler


def make_handler(kind: type[logging.Handler]) -> logging.Handler:
    """Make a handler without attributes."""
    return kind.__new__(kind)


def set_handler(handler: logging.Handler, state: dict[str, Any]) -> None:
    """Set the attributes of a handler, and a new lock."""
    vars(handler).update(state)
    handler.createLock()
    if not is_trial():
        # As in its constructor, so that it is flushed at exit and found by its name.
        logging._addHandlerRef(handler)  # type: ignore[attr-defined]  # noqa: SLF001
        handler.name = state.get("_name")


def _loggers() -> Iterator[tuple[str, logging.Logger]]:
    yield logging.root.name, logging.root
    known = logging.root.manager.loggerDict.copy()
    yield from ((name, each) for name, each in known.items() if isinstance(each, logging.Logger))


def _logger(name: str) -> logging.Logger:
    return logging.root if name == logging.root.name else logging.getLogger(name)


def _capture_levels(_shell: Any) -> dict[str, Any]:
    levels = {name: (each.level, each.propagate, each.disabled) for name, each in _loggers()}
    return {name: how for name, how in levels.items() if how != (logging.NOTSET, True, False)}


def _restore_level(_shell: Any, name: str, how: tuple[int, bool, bool]) -> None:
    logger = _logger(name)
    level, logger.propagate, logger.disabled = how
    logger.setLevel(level)


def _capture_handlers(_shell: Any) -> dict[str, Any]:
    return {_format_name(logger, number, handler): handler for logger, number, handler in _numbered("handlers")}


def _format_name(logger: str, number: int, handler: logging.Handler) -> str:
    return f"{logger}: {_described(handler)}{f' ({number})' if number else ''}"


def _restore_handler(_shell: Any, name: str, handler: logging.Handler) -> None:
    logger, number, _ = _parsed(name)
    if handler in logger.handlers or sum(_described(each) == _described(handler) for each in logger.handlers) > number:
        return
    if vars(handler).pop("_pauseflow_was_open", False):
        # Opened now and not at the first line, because code that logs does not expect a failure.
        handler.stream = handler._open()  # type: ignore[attr-defined]  # noqa: SLF001
    logger.addHandler(handler)


def _mentions(shell: Any, words: re.Pattern[str]) -> bool:
    """Whether the text of the cells matches an expression."""
    return any(words.search(source) for source in find_sources(shell))


def _capture_kinds(shell: Any) -> dict[str, Any]:
    """Find what loggers have, where cells may have removed what a module adds when it is imported."""
    return {
        f"{attribute} of logger {name}": (
            name,
            attribute,
            [full_name(type(each)) for each in getattr(logger, attribute)],
        )
        for attribute, words in _REMOVING.items()
        if _mentions(shell, words)
        for name, logger in _loggers()
    }


def _restore_kinds(_shell: Any, _name: str, value: tuple[str, str, list[str]]) -> None:
    name, attribute, kinds = value
    left = list(kinds)
    for each in list(getattr(_logger(name), attribute)):
        if full_name(type(each)) in left:
            left.remove(full_name(type(each)))
        else:
            getattr(_logger(name), attribute).remove(each)


def _capture_handler_settings(shell: Any) -> dict[str, Any]:
    with_format = _mentions(shell, _FORMATTER)
    return {
        _format_name(logger, number, handler): (handler.level, handler.formatter) if with_format else (handler.level,)
        for logger, number, handler in _numbered("handlers")
    }


def _restore_handler_settings(_shell: Any, name: str, value: tuple[Any, ...]) -> None:
    for logger, number, handler in _numbered("handlers"):
        if _format_name(logger, number, handler) == name:
            handler.setLevel(value[0])
            handler.formatter = value[1] if len(value) > 1 else handler.formatter


def _capture_filters(_shell: Any) -> dict[str, Any]:
    return {f"{logger}: {number}": each for logger, number, each in _numbered("filters")}


def _restore_filter(_shell: Any, name: str, each: Any) -> None:
    logger, _, _ = _parsed(name)
    logger.addFilter(each)


def _capture_classes(_shell: Any) -> dict[str, Any]:
    return {name: type(logger) for name, logger in _loggers() if is_users(type(logger))}


def _restore_class(_shell: Any, name: str, kind: type[logging.Logger]) -> None:
    # Other loggers and libraries may refer to it already, so it stays the same object.
    _logger(name).__class__ = kind


def _capture_attributes(_shell: Any) -> dict[str, Any]:
    return {
        f"{name}: {attribute}": value
        for name, logger in _loggers()
        for attribute, value in vars(logger).items()
        if attribute not in _OF_LOGGERS
    }


def _restore_attribute(_shell: Any, name: str, value: Any) -> None:
    logger, _, attribute = name.rpartition(": ")
    setattr(_logger(logger), attribute, value)


def _numbered(attribute: str) -> Iterator[tuple[str, int, Any]]:
    """List the handlers and filters of loggers, numbering those with equal descriptions."""
    for name, logger in _loggers():
        seen: list[str] = []
        for each in getattr(logger, attribute):
            described = _described(each) if attribute == "handlers" else ""
            yield name, seen.count(described), each
            seen.append(described)


def _parsed(name: str) -> tuple[logging.Logger, int, str]:
    logger, _, rest = name.partition(": ")
    described, _, number = rest.rpartition(" (")
    is_numbered = bool(described) and number.endswith(")") and number[:-1].isdigit()
    return _logger(logger), int(number[:-1]) if is_numbered else 0, rest


def _described(handler: logging.Handler) -> str:
    """Describe the kind of a handler and where it writes; handlers with equal descriptions do the same."""
    place = getattr(handler, "baseFilename", None) or getattr(getattr(handler, "stream", None), "name", "")
    return f"{full_name(type(handler)).removeprefix('logging.').removeprefix('handlers.')}{f' to {place}' if place else ''}"


def _capture_names(_shell: Any) -> dict[str, Any]:
    return {str(level): name for level, name in logging._levelToName.items()}  # noqa: SLF001


def _restore_name(_shell: Any, level: str, name: str) -> None:
    logging.addLevelName(int(level), name)


def _capture_disabled(_shell: Any) -> dict[str, Any]:
    return {"": logging.root.manager.disable}


def _restore_disabled(_shell: Any, _name: str, level: int) -> None:
    logging.disable(level)


def _capture_warnings(_shell: Any) -> dict[str, Any]:
    return {"": logging._warnings_showwarning is not None}  # type: ignore[attr-defined]  # noqa: SLF001


def _restore_warnings(_shell: Any, _name: str, is_captured: bool) -> None:
    logging.captureWarnings(is_captured)


def _capture_factories(_shell: Any) -> dict[str, Any]:
    return {"setLoggerClass": logging.getLoggerClass(), "setLogRecordFactory": logging.getLogRecordFactory()}


def _restore_factory(_shell: Any, name: str, factory: Any) -> None:
    getattr(logging, name)(factory)


PARTS: dict[str, Part] = {
    "log_level_names": Part(_capture_names, _restore_name, "name of log level {}", is_compared=True),
    "log_levels": Part(_capture_levels, _restore_level, "level of logger {}"),
    "log_disabled": Part(_capture_disabled, _restore_disabled, "logging.disable()", is_compared=True),
    "log_factories": Part(_capture_factories, _restore_factory, "logging.{}()", is_compared=True, when="after"),
    "log_warnings": Part(_capture_warnings, _restore_warnings, "logging.captureWarnings()", is_compared=True),
    "log_filters": Part(_capture_filters, _restore_filter, "filter of logger {}", is_compared=True, when="after"),
    "log_classes": Part(_capture_classes, _restore_class, "class of logger {}", is_compared=True, when="after"),
    "log_attributes": Part(
        _capture_attributes, _restore_attribute, "attribute of logger {}", is_compared=True, when="after"
    ),
    "log_kinds": Part(_capture_kinds, _restore_kinds, "{}", is_compared=True, when="last"),
    "log_handlers": Part(_capture_handlers, _restore_handler, "log handler of {}", is_compared=True, when="last"),
    "log_handler_settings": Part(
        _capture_handler_settings,
        _restore_handler_settings,
        "level and format of log handler of {}",
        is_compared=True,
        when="last",
        is_shared=True,
    ),
}
