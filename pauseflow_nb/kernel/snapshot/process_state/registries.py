"""Save what cells register with Python and libraries: error handlers, dialects, accessors, colour maps, fonts, types."""

import codecs
import csv
import importlib
import sys
import typing
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import is_of_cells, is_users
from pauseflow_nb.kernel.snapshot.process_state import library_calls
from pauseflow_nb.kernel.snapshot.process_state.state_part import NotRestored, Part

_DIALECTS = frozenset({"excel", "excel-tab", "unix"})
_DIALECT = (
    "delimiter",
    "doublequote",
    "escapechar",
    "lineterminator",
    "quotechar",
    "quoting",
    "skipinitialspace",
    "strict",
)
#: Attributes of the loaders and dumpers of yaml: tag or type → function.
_OF_YAML = frozenset({"yaml_constructors", "yaml_multi_constructors", "yaml_multi_representers", "yaml_representers"})
#: Library → what takes accessors, where the class of the notebook stands in one, and what registers it.
_ACCESSORS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "pandas": (("DataFrame", "Index", "Series"), "_accessor", "api.extensions.register_{}_accessor"),
    "polars": (("DataFrame", "Expr", "LazyFrame", "Series"), "_ns", "api.register_{}_namespace"),
    "xarray": (("DataArray", "DataTree", "Dataset"), "_accessor", "register_{}_accessor"),
}


def _capture_error_handlers(shell: Any) -> dict[str, Any]:
    # Python does not list them.
    names = library_calls.find_first_arguments(shell, "codecs.register_error")
    return {name: codecs.lookup_error(name) for name in names}


def _restore_error_handler(_shell: Any, name: str, handler: Any) -> None:
    codecs.register_error(name, handler)


def _capture_overloads(_shell: Any) -> dict[str, Any]:
    registry: Any = typing._overload_registry  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public list
    return {name: list(functions.values()) for name, functions in registry.get("__main__", {}).items()}


def _restore_overloads(_shell: Any, _name: str, functions: list[Any]) -> None:
    for function in functions:
        typing.overload(function)


def _capture_yaml(_shell: Any) -> dict[str, Any]:
    kinds = {name: kind for name, kind in vars(sys.modules["yaml"]).items() if isinstance(kind, type)}
    return {
        f"{name}.{registry}[{key}]": (name, registry, key, function)
        for name, kind in kinds.items()
        for registry in _OF_YAML & vars(kind).keys()
        for key, function in vars(kind)[registry].items()
        if is_of_cells(function)
    }


def _restore_yaml(_shell: Any, _name: str, value: tuple[str, str, Any, Any]) -> None:
    kind, registry, key, function = value
    owner = getattr(importlib.import_module("yaml"), kind)
    # Until something is registered at it, a class has the registry of its base class.
    setattr(owner, registry, {**getattr(owner, registry), key: function})


def _capture_dialects(_shell: Any) -> dict[str, Any]:
    return {
        name: {each: getattr(csv.get_dialect(name), each) for each in _DIALECT}
        for name in csv.list_dialects()
        if name not in _DIALECTS
    }


def _restore_dialect(_shell: Any, name: str, options: dict[str, Any]) -> None:
    csv.register_dialect(name, **options)


def _make_accessor_capture(library: str) -> Callable[[Any], dict[str, Any]]:
    owners, attribute, _ = _ACCESSORS[library]

    def capture(_shell: Any) -> dict[str, Any]:
        found = {}
        for owner in owners:
            for name, value in list(vars(getattr(sys.modules[library], owner, object)).items()):
                # An accessor is a descriptor, which has no `__dict__` in some libraries.
                kind = getattr(value, attribute, None) if not isinstance(value, type) else None
                if isinstance(kind, type) and is_users(kind):
                    found[f"{owner}.{name}"] = (owner.lower(), name, kind)
        return found

    return capture


def _make_accessor_restore(library: str) -> Callable[[Any, str, Any], None]:
    def restore(_shell: Any, _name: str, value: tuple[str, str, type]) -> None:
        owner, name, kind = value
        register: Any = importlib.import_module(library)
        for each in _ACCESSORS[library][2].format(owner).split("."):
            register = getattr(register, each)
        with warnings.catch_warnings():
            # An imported module may have registered it again.
            warnings.simplefilter("ignore")
            register(name)(kind)

    return restore


def _capture_dtypes(_shell: Any) -> dict[str, Any]:
    registry: Any = sys.modules["pandas.core.dtypes.base"]._registry  # noqa: SLF001 - there is no public list
    return {kind.__name__: kind for kind in registry.dtypes if is_users(kind)}


def _restore_dtype(_shell: Any, _name: str, kind: type) -> None:
    registry: Any = importlib.import_module("pandas.core.dtypes.base")._registry  # noqa: SLF001 - see above
    if kind not in registry.dtypes:
        registry.register(kind)


def _capture_colormaps(_shell: Any) -> dict[str, Any]:
    registry = sys.modules["matplotlib"].colormaps
    return {name: registry[name] for name in registry if name not in getattr(registry, "_builtin_cmaps", registry)}


def _restore_colormap(_shell: Any, name: str, colours: Any) -> None:
    importlib.import_module("matplotlib").colormaps.register(colours, name=name, force=True)


def _capture_color_sequences(_shell: Any) -> dict[str, Any]:
    registry = sys.modules["matplotlib"].color_sequences
    return {name: registry[name] for name in registry if name not in registry._BUILTIN_COLOR_SEQUENCES}  # noqa: SLF001 - there is no public list


def _restore_color_sequence(_shell: Any, name: str, colours: list[Any]) -> None:
    registry = importlib.import_module("matplotlib").color_sequences
    if name in registry:
        registry.unregister(name)
    registry.register(name, colours)


def _capture_fonts(shell: Any) -> dict[str, Any]:
    return dict.fromkeys(_fonts(), True) if library_calls.is_called_as(shell, "addfont") else {}


def _restore_font(_shell: Any, path: str, _value: bool) -> None:
    manager: Any = importlib.import_module("matplotlib.font_manager").fontManager
    if path not in _fonts():
        if not Path(path).is_file():
            raise NotRestored("its file does not exist")
        manager.addfont(path)


def _fonts() -> set[str]:
    manager: Any = importlib.import_module("matplotlib.font_manager").fontManager
    return {str(font.fname) for font in manager.ttflist}


def _parts_of_accessors() -> Iterator[tuple[str, Part]]:
    for library in _ACCESSORS:
        label = f"accessor {{}} of {library}"
        capture, restore = _make_accessor_capture(library), _make_accessor_restore(library)
        yield f"{library}_accessors", Part(capture, restore, label, when="after", library=library)


PARTS: dict[str, Part] = {
    "error_handlers": Part(_capture_error_handlers, _restore_error_handler, "codecs.register_error({})", when="after"),
    "overloads": Part(_capture_overloads, _restore_overloads, "typing.overload of {}", when="after"),
    "yaml": Part(_capture_yaml, _restore_yaml, "yaml.{}", when="after", library="yaml"),
    "dialects": Part(_capture_dialects, _restore_dialect, "csv.register_dialect({})"),
    **dict(_parts_of_accessors()),
    "pandas_dtypes": Part(_capture_dtypes, _restore_dtype, "type {} of pandas", when="after", library="pandas"),
    "matplotlib_colormaps": Part(
        _capture_colormaps,
        _restore_colormap,
        "colour map {} of matplotlib",
        when="after",
        is_shared=True,
        library="matplotlib",
    ),
    "matplotlib_color_sequences": Part(
        _capture_color_sequences, _restore_color_sequence, "colour sequence {} of matplotlib", library="matplotlib"
    ),
    "matplotlib_fonts": Part(_capture_fonts, _restore_font, "font {} of matplotlib", library="matplotlib.font_manager"),
}
