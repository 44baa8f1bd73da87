"""Save what cells change in IPython: settings, formatters, extensions, aliases, magics, callbacks, transformers.

Settings that every new kernel has, or that a library or an extension registers again, are not saved.
"""

import copy
import functools
import sys
from collections.abc import Iterator
from typing import Any

from IPython.core.magic import MagicAlias, Magics
from traitlets.config import Config

from pauseflow_nb.kernel.snapshot.pickling.type_names import (
    full_name,
    full_name_of_function,
    is_of_cells,
    is_users,
    module_of_function,
)
from pauseflow_nb.kernel.snapshot.process_state.code_changes import changes_in
from pauseflow_nb.kernel.snapshot.process_state.state_part import Part, is_same
from pauseflow_nb.kernel.snapshot.user_names import find_sources

#: Modules whose settings a new kernel has at the latest when they are first used.
_REMADE = ("IPython.", "ipykernel.", "pauseflow_nb.", "matplotlib_inline.", "matplotlib.")
_LISTS = ("input_transformers_cleanup", "input_transformers_post", "ast_transformers")
_MANAGED_LISTS = ("line_transforms", "token_transformers")
#: Attributes of a formatter with its printers, by type and by the name of a type that is not loaded yet.
_PRINTERS = ("type_printers", "deferred_printers")
#: Formatters that stand beside those of a MIME type.
_SPECIAL = ("ipython_display_formatter", "mimebundle_formatter")
_LOOKED_AT_EACH = frozenset({*_PRINTERS, "singleton_printers"})
_RELOADER = ("enabled", "check_all", "autoload_obj")


def _configurables(shell: Any) -> Iterator[tuple[str, Any]]:
    for each in shell.configurables:
        yield type(each).__name__, each
    formatter = shell.display_formatter
    for mime, each in formatter.formatters.items() if formatter is not None else ():
        yield f"{type(each).__name__}({mime})", each


def _capture_config(shell: Any) -> dict[str, Any]:
    found = {}
    for name, each in _configurables(shell):
        if isinstance(each, Magics):
            # They are loaded at their first use, and then change their own settings.
            continue
        for trait, description in each.traits(config=True).items():
            value = getattr(each, trait)
            # Settings that appear later, such as the inline backend's, cannot be compared with the start.
            if trait not in _LOOKED_AT_EACH and (each is shell or not is_same(value, description.default(each))):
                # A copy, because cells may change a list or a dict in place.
                found[f"{name}.{trait}"] = copy.copy(value) if type(value) in {list, dict, set} else value
    # For objects that do not exist yet, such as the inline backend before the first figure.
    sections = {name: section for name, section in shell.config.items() if isinstance(section, Config)}
    return {f"{name}.{trait}": value for name in sections for trait, value in sections[name].items()} | found


def _restore_config(shell: Any, name: str, value: Any) -> None:
    owner, _, trait = name.rpartition(".")
    shell.config[owner][trait] = value
    found = _configurable(shell, owner)
    if found is not None:
        setattr(found, trait, value)


def _configurable(shell: Any, name: str) -> Any:
    return next((each for known, each in _configurables(shell) if known == name), None)


def _capture_figure_formats(shell: Any) -> dict[str, Any]:
    # They can be chosen in several ways, one of which is visible only here.
    figure = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
    formatters = shell.display_formatter.formatters.values() if figure is not None else ()
    printers = [each.type_printers[figure] for each in formatters if figure in each.type_printers]
    chosen = [each for each in printers if isinstance(each, functools.partial)]
    formats = sorted("retina" if each.func.__name__ == "retina_figure" else each.keywords["fmt"] for each in chosen)
    own_options = {"fmt", "base64"}
    options = {name: value for each in chosen for name, value in each.keywords.items() if name not in own_options}
    return {"": (formats, options)} if formats else {}


def _restore_figure_formats(shell: Any, _name: str, value: tuple[list[str], dict[str, Any]]) -> None:
    from matplotlib_inline.config import InlineBackend

    backend = InlineBackend.instance(parent=shell)
    backend.shell = shell
    if backend not in shell.configurables:
        shell.configurables.append(backend)
    formats, options = value
    backend.print_figure_kwargs, backend.figure_formats = options, set(formats)


def _capture_error_mode(shell: Any) -> dict[str, Any]:
    return {"": shell.InteractiveTB.mode}


def _restore_error_mode(shell: Any, _name: str, mode: str) -> None:
    shell.InteractiveTB.set_mode(mode=mode)


def _formatters(shell: Any) -> dict[str, Any]:
    formatter = shell.display_formatter
    return (
        {} if formatter is None else {**formatter.formatters, **{name: getattr(formatter, name) for name in _SPECIAL}}
    )


def _restore_debugger(shell: Any, _name: str, is_called: bool) -> None:
    shell.call_pdb = is_called


def _capture_formatters(shell: Any) -> dict[str, Any]:
    formatter = shell.display_formatter
    found = {} if formatter is None else formatter.formatters
    return {mime: each for mime, each in found.items() if is_users(type(each))}


def _restore_formatter(shell: Any, mime: str, formatter: Any) -> None:
    shell.display_formatter.formatters[mime] = formatter


def _capture_printers(shell: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for mime, each in _formatters(shell).items():
        for attribute in _PRINTERS:
            for key, printer in getattr(each, attribute).items():
                kind = full_name(key) if isinstance(key, type) else ".".join(key)
                if not _is_remade(shell, printer):
                    found[f"{kind} as {mime}"] = (mime, key, printer)
    return found


def _restore_printer(shell: Any, _name: str, value: tuple[str, Any, Any]) -> None:
    mime, key, printer = value
    formatter = _formatters(shell)[mime]
    if isinstance(key, type):
        formatter.for_type(key, printer)
    else:
        formatter.for_type_by_name(*key, printer)


def _capture_extensions(shell: Any) -> dict[str, Any]:
    return dict.fromkeys(shell.extension_manager.loaded, True)


def _restore_extension(shell: Any, name: str, _value: bool) -> None:
    # It returns a text if it did nothing.
    if name not in shell.extension_manager.loaded and shell.extension_manager.load_extension(name) is not None:
        raise LookupError("it could not be loaded")


def _reloader(shell: Any) -> Any:
    magics = shell.magics_manager.registry.get("AutoreloadMagics")
    return getattr(magics, "_reloader", None)


def _capture_autoreload(shell: Any) -> dict[str, Any]:
    reloader = _reloader(shell)
    return {} if reloader is None else {name: getattr(reloader, name, None) for name in _RELOADER}


def _restore_autoreload(shell: Any, name: str, value: Any) -> None:
    setattr(_reloader(shell), name, value)


def _capture_aliases(shell: Any) -> dict[str, Any]:
    return dict(shell.alias_manager.aliases)


def _restore_alias(shell: Any, name: str, command: str) -> None:
    shell.alias_manager.define_alias(name, command)


def _capture_magics(shell: Any) -> dict[str, Any]:
    # An alias is also a magic.
    aliases = dict(shell.alias_manager.aliases)
    return {
        f"{'%' if kind == 'line' else '%%'}{name}": _without_shell(function)
        for kind, magics in shell.magics_manager.magics.items()
        for name, function in magics.items()
        if name not in aliases and (isinstance(function, MagicAlias) or not _is_remade(shell, function))
    }


def _without_shell(function: Any) -> Any:
    return (function.magic_name, function.magic_params) if isinstance(function, MagicAlias) else function


def _restore_magic(shell: Any, name: str, function: Any) -> None:
    kind: Any = "cell" if name.startswith("%%") else "line"
    if isinstance(function, tuple):
        function = MagicAlias(shell, function[0], kind, function[1])
    # IPython registers its own at the first lookup, which would replace this one.
    shell.find_magic(name.lstrip("%"), kind)
    shell.magics_manager.magics[kind][name.lstrip("%")] = function


def _capture_callbacks(shell: Any) -> dict[str, Any]:
    return {
        f"{event}: {full_name_of_function(function)}": function
        for event, functions in shell.events.callbacks.items()
        for function in functions
        if not _is_remade(shell, function)
    }


def _restore_callback(shell: Any, name: str, function: Any) -> None:
    event = name.partition(":")[0]
    if all(full_name_of_function(other) != full_name_of_function(function) for other in shell.events.callbacks[event]):
        shell.events.register(event, function)


def _capture_attributes(shell: Any) -> dict[str, Any]:
    """Find attributes that cells set on the shell itself."""
    names = {change.path[-1] for source in find_sources(shell) for change in changes_in(source) if change.is_bound}
    return {name: vars(shell)[name] for name in names & vars(shell).keys() if not shell.has_trait(name)}


def _capture_hooks(shell: Any) -> dict[str, Any]:
    return {
        f"{name}: {full_name_of_function(function)}": (priority, function)
        for name, dispatcher in shell.hooks.items()
        for priority, function in _chain(dispatcher)
    }


def _restore_hook(shell: Any, name: str, value: tuple[int, Any]) -> None:
    priority, function = value
    hook = name.partition(":")[0]
    if all(full_name_of_function(each) != full_name_of_function(function) for _, each in _chain(shell.hooks[hook])):
        shell.set_hook(hook, function, priority)


def _capture_completers(shell: Any) -> dict[str, Any]:
    commands = shell.strdispatchers["complete_command"].strs
    return {command: found for command, dispatcher in commands.items() if (found := _chain(dispatcher))}


def _restore_completer(shell: Any, command: str, value: list[tuple[int, Any]]) -> None:
    dispatcher = shell.strdispatchers["complete_command"].strs.get(command)
    here = {full_name_of_function(function) for _, function in _chain(dispatcher)}
    for priority, function in value:
        if full_name_of_function(function) not in here:
            shell.set_hook("complete_command", function, priority, str_key=command)


def _chain(dispatcher: Any) -> list[tuple[int, Any]]:
    """Return the cells' functions of a hook, which IPython has made methods of the shell."""
    chain = getattr(dispatcher, "chain", ())
    functions = [(priority, getattr(each, "__func__", each)) for priority, each in chain]
    return [(priority, function) for priority, function in functions if is_of_cells(function)]


def _lists(shell: Any) -> Iterator[tuple[str, list[Any]]]:
    yield "custom_matchers", getattr(shell.Completer, "custom_matchers", [])
    yield from ((name, getattr(shell, name)) for name in _LISTS)
    yield from ((name, getattr(shell.input_transformer_manager, name)) for name in _MANAGED_LISTS)


def _capture_transformers(shell: Any) -> dict[str, Any]:
    return {
        f"{name}: {full_name_of_function(each)}": each
        for name, functions in _lists(shell)
        for each in functions
        if not _is_remade(shell, each)
    }


def _restore_transformer(shell: Any, name: str, function: Any) -> None:
    functions = dict(_lists(shell))[name.partition(":")[0]]
    if all(full_name_of_function(each) != full_name_of_function(function) for each in functions):
        # Before our own transformer, which turns the rest into a call.
        functions.append(function)


def _comm_targets(shell: Any) -> dict[str, Any]:
    return getattr(getattr(getattr(shell, "kernel", None), "comm_manager", None), "targets", {})


def _capture_comm_targets(shell: Any) -> dict[str, Any]:
    # Those of libraries are registered again.
    return {name: function for name, function in _comm_targets(shell).items() if is_of_cells(function)}


def _restore_comm_target(shell: Any, name: str, function: Any) -> None:
    _comm_targets(shell)[name] = function


def _capture_error_handler(shell: Any) -> dict[str, Any]:
    return {"": (shell.custom_exceptions, _find_error_handler(shell))} if shell.custom_exceptions else {}


def _restore_error_handler(shell: Any, _name: str, value: tuple[Any, Any]) -> None:
    shell.set_custom_exc(*value)


def _find_error_handler(shell: Any) -> Any:
    # IPython wraps it in another function.
    wrapped = getattr(shell.CustomTB, "__func__", shell.CustomTB)
    cells = dict(zip(wrapped.__code__.co_freevars, wrapped.__closure__ or (), strict=False))
    return cells["handler"].cell_contents if "handler" in cells else None


def _capture_directories(shell: Any) -> dict[str, Any]:
    return {"": [str(each) for each in shell.user_ns.get("_dh", ())]}


def _restore_directories(shell: Any, _name: str, directories: list[str]) -> None:
    shell.user_ns["_dh"][:] = directories


def _restore_directory_stack(shell: Any, _name: str, directories: list[str]) -> None:
    shell.dir_stack[:] = directories


def _capture_inputs(shell: Any) -> dict[str, Any]:
    return {"": find_sources(shell)}


def _restore_inputs(shell: Any, _name: str, inputs: list[str]) -> None:
    history = shell.history_manager
    if history is not None and len(history.input_hist_parsed) < len(inputs):
        history.input_hist_parsed[:] = inputs
        history.input_hist_raw[:] = inputs


def _is_remade(shell: Any, function: Any) -> bool:
    """Whether a library or an extension registers it again when it is loaded."""
    if is_of_cells(function):
        return False
    module = module_of_function(function)
    packages = {name.partition(".")[0] for name in shell.extension_manager.loaded}
    return module.startswith(_REMADE) or module.partition(".")[0] in packages


PARTS: dict[str, Part] = {
    "inputs": Part(_capture_inputs, _restore_inputs, "history of inputs", is_repeated=False),
    "directory_history": Part(
        _capture_directories, _restore_directories, "%dhist", is_compared=True, is_repeated=False
    ),
    "directory_stack": Part(
        lambda shell: {"": list(shell.dir_stack)},
        _restore_directory_stack,
        "%pushd",
        is_compared=True,
        is_repeated=False,
    ),
    "extensions": Part(_capture_extensions, _restore_extension, "%load_ext {}", is_compared=True, when="after"),
    "autoreload": Part(_capture_autoreload, _restore_autoreload, "%autoreload ({})", is_compared=True, when="after"),
    "shell_config": Part(_capture_config, _restore_config, "%config {}", is_compared=True, when="after"),
    "figure_formats": Part(_capture_figure_formats, _restore_figure_formats, "formats of figures", when="after"),
    "error_mode": Part(_capture_error_mode, _restore_error_mode, "%xmode", is_compared=True),
    "formatters": Part(_capture_formatters, _restore_formatter, "formatter of {}", when="after"),
    "printers": Part(_capture_printers, _restore_printer, "formatter of {}", is_compared=True, when="after"),
    "aliases": Part(_capture_aliases, _restore_alias, "%alias {}", is_compared=True),
    "magics": Part(_capture_magics, _restore_magic, "magic {}", is_compared=True, when="after"),
    "callbacks": Part(_capture_callbacks, _restore_callback, "callback of {}", is_compared=True, when="after"),
    "transformers": Part(_capture_transformers, _restore_transformer, "{}", is_compared=True, when="after"),
    "shell_attributes": Part(_capture_attributes, setattr, "get_ipython().{}", is_compared=True, when="after"),
    "debugger": Part(lambda shell: {"": shell.call_pdb}, _restore_debugger, "%pdb", is_compared=True),
    "shell_hooks": Part(_capture_hooks, _restore_hook, "set_hook() of {}", when="after"),
    "completers": Part(_capture_completers, _restore_completer, "completer of {}", when="after"),
    "comm_targets": Part(_capture_comm_targets, _restore_comm_target, "target {} of comms", when="after"),
    "error_handler": Part(
        _capture_error_handler, _restore_error_handler, "set_custom_exc()", is_compared=True, when="after"
    ),
}
