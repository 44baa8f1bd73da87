"""Find calls in cells that change a library or the process in a way that a new kernel does not have.

They are found in the text of the cells, under whatever name a cell calls them. Python lists its own functions; those
of installed packages are recognised by their names, such as `set_…` or `register_…`, where nothing uses the result.
"""

import ast
import functools
import os
import re
import sys
import types
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import full_name, is_users_module
from pauseflow_nb.kernel.snapshot.user_names import find_sources
from pauseflow_nb.kernel.user_code import parse_cell

_AGAIN = "in a `%%setup` cell, which runs again in every new kernel"
_ENDS = f"it ends with this kernel; call it {_AGAIN}"
#: Function → what becomes of what it changes, where neither Python nor the library lists that.
_NOT_RESTORED = {
    **dict.fromkeys(
        (
            *("asyncio.set_event_loop_policy", "calendar.setfirstweekday", "codecs.register", "codecs.register_error"),
            *("copyreg.add_extension", "email.charset.add_alias", "os.dup2", "os.putenv", "os.unsetenv"),
            *(
                "email.charset.add_codec",
                "faulthandler.register",
                "gettext.install",
                "gettext.textdomain",
                "locale.bindtextdomain",
                "locale.textdomain",
            ),
            *("mimetypes.add_type", "mimetypes.init", "nest_asyncio.apply", "os.register_at_fork", "os.setpgid"),
            *("os.setpgrp", "os.setsid", "os.unshare", "os.sched_setscheduler", "signal.set_wakeup_fd"),
            *(
                "signal.siginterrupt",
                "sqlite3.enable_callback_tracebacks",
                "sys.set_asyncgen_hooks",
                "sys.setdlopenflags",
                "tqdm.pandas",
            ),
            *(
                "pandas.plotting.register_matplotlib_converters",
                "urllib.request.install_opener",
                "webbrowser.register",
                "ipywidgets.Widget.on_widget_constructed",
                "multiprocessing.reduction.ForkingPickler.register",
                "zoneinfo.reset_tzpath",
            ),
        ),
        _ENDS,
    ),
    "faulthandler.dump_traceback_later": f"its timer ends with this kernel; call it {_AGAIN}",
    "sys.addaudithook": f"its hook ends with this kernel; call it {_AGAIN}",
}
#: Functions that change something until the end of the kernel if they are called as a statement, and not in a `with`.
_STATEMENTS = frozenset(
    {"joblib.parallel_backend", "joblib.parallel_config", "polars.set_random_seed", "threadpoolctl.threadpool_limits"}
    | {"matplotlib.backend_bases.register_backend", "pandas.plotting.deregister_matplotlib_converters"}
)
#: Functions whose results are numbers of files that only this process has.
_DESCRIPTORS = frozenset(
    {"os.open", "os.pipe", "os.dup", "os.openpty", "os.memfd_create", "os.eventfd", "tempfile.mkstemp", "pty.openpty"}
)
#: Packages whose functions are in the table above, or change what other parts save.
_KNOWN = frozenset(
    {
        "IPython",
        "ipykernel",
        "ipywidgets",
        "logging",
        "matplotlib",
        "matplotlib_inline",
        "numpy",
        "pandas",
        "pauseflow_nb",
        "plotly",
    }
    | {"polars", "random", "seaborn", "sklearn", "sympy", "traitlets", "urllib3", "xarray", "dotenv", "warnings"}
)
#: Functions of other packages whose changes other parts save.
_RESTORED = re.compile(
    r"torch\.(set_default_dtype|manual_seed|set_rng_state|random\..*)"
    r"|yaml\.(\w+\.)*add_(multi_)?(constructor|representer)"
    r"|joblib\.(parallel\.)?register_parallel_backend"
)
#: Names of functions that change a library: `set_theme`, `disable_max_rows`, `config.update`, `listens_for`.
_SETTERS = re.compile(
    r"((re)?set|(un)?register|enable|disable|configure|config|init(ialize)?|install|activate|deactivate|use|start"
    r"|seed|login|connect_to|(monkey_?)?patch|listens_for|listen|subscribe)(_.+|[A-Z].*|up)?|add_.+|.*(setup|_seed|_hook)"
)
_OF_OPTIONS = re.compile(r"(.*\.)?(config|options|settings|opts|defaults)\.\w+")


@dataclass(frozen=True)
class Call:
    """A call in a cell: the names that lead to the function, and whether nothing uses its result."""

    path: tuple[str, ...]
    is_statement: bool
    #: The first argument, if the code shows it.
    argument: str | None = None
    #: The variables that its result, or the items of its result, are bound to.
    targets: tuple[str, ...] = ()


def find(shell: Any) -> Iterator[tuple[Hashable, str]]:
    """Find calls whose effect ends with this kernel, as identity and sentence."""
    functions = {id(function): known for known in _NOT_RESTORED if (function := _find_imported(known)) is not None}
    for call, imported in _calls(shell):
        name, function = _resolve(shell, call.path, imported)
        known = functions.get(id(function)) or _known_name(name)
        # An error handler whose name the code shows is saved.
        if known is not None and (known != "codecs.register_error" or call.argument is None):
            yield ("call", known), f"{known}(), {_NOT_RESTORED[known]}"
        elif call.is_statement and (name in _STATEMENTS or _changes_library(name)):
            yield (
                ("call", name),
                f"what {name}() changes in {name.partition('.')[0]}; it ends with this kernel; call it {_AGAIN}",
            )


def find_descriptors(shell: Any) -> Iterator[tuple[Hashable, str]]:
    """Find variables that are the numbers of open files: the number comes back, and the file does not."""
    for call, imported in _calls(shell):
        if call.targets and _resolve(shell, call.path, imported)[0] in _DESCRIPTORS:
            for name in call.targets:
                number = shell.user_ns.get(name)
                if type(number) is int and _is_open(number):
                    yield (
                        ("descriptor", name),
                        f"the file that number {number} in {name} stands for; it is closed when this kernel ends; open it {_AGAIN}",
                    )


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def find_names(shell: Any) -> set[str]:
    """Return the full names of the functions that cells call."""
    return {_resolve(shell, call.path, imported)[0] for call, imported in _calls(shell)}


def is_called_as(shell: Any, name: str) -> bool:
    """Whether a cell calls a function or a method of this name."""
    return any(call.path[-1] == name for call, _ in _calls(shell))


def find_first_arguments(shell: Any, name: str) -> list[str]:
    """List the texts that cells give to a function first."""
    return [
        call.argument
        for call, imported in _calls(shell)
        if call.argument is not None and _resolve(shell, call.path, imported)[0] == name
    ]


def _calls(shell: Any) -> Iterator[tuple[Call, dict[str, str]]]:
    for source in find_sources(shell):
        calls, imported = calls_in(source)
        yield from ((call, imported) for call in calls)


def _resolve(shell: Any, path: tuple[str, ...], imported: dict[str, str]) -> tuple[str, Any]:
    """Return the full name of a function, and the function if modules and classes lead to it."""
    first, *rest = path
    owner = shell.user_ns.get(first)
    if issubclass(type(owner), types.ModuleType):
        name = str(getattr(owner, "__name__", first))
    elif first in imported:
        name = imported[first]
        owner = _find_imported(name)
    elif issubclass(type(owner), type):
        name = full_name(owner)
    elif issubclass(type(owner), (types.FunctionType, types.BuiltinFunctionType)):
        name = f"{owner.__module__}.{owner.__qualname__}"
    else:
        return "", None
    for each in rest:
        owner = vars(owner).get(each) if issubclass(type(owner), (types.ModuleType, type)) else None
    return ".".join((name, *rest)), owner


def _find_imported(name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    module, _, attribute = name.rpartition(".")
    return vars(sys.modules[module]).get(attribute) if module in sys.modules else None


def _known_name(name: str) -> str | None:
    # A class may stand in a module of its package, such as `tqdm.std`.
    short = f"{name.partition('.')[0]}.{name.rpartition('.')[2]}"
    return next((each for each in (name, short) if each in _NOT_RESTORED), None)


def _changes_library(name: str) -> bool:
    package, _, rest = name.partition(".")
    is_setter = _SETTERS.fullmatch(name.rpartition(".")[2]) is not None or _OF_OPTIONS.fullmatch(rest) is not None
    return (
        is_setter
        and package in sys.modules
        and package not in sys.stdlib_module_names
        and package not in _KNOWN
        and package != "__main__"
        and not is_users_module(package)
        and _RESTORED.fullmatch(name) is None
    )


@functools.lru_cache(maxsize=4096)
def calls_in(source: str) -> tuple[tuple[Call, ...], dict[str, str]]:
    """Find calls in code, and the names that its imports bind, with what these stand for.

    Source that is not Python calls nothing.
    """
    try:
        nodes = list(ast.walk(parse_cell(source)))
    except (SyntaxError, ValueError, RecursionError):
        return (), {}
    statements = {id(_awaited(node.value)) for node in nodes if isinstance(node, ast.Expr)}
    targets = {id(node.value): _names_in(node) for node in nodes if isinstance(node, ast.Assign)}
    found: dict[Call, None] = {}
    for node in nodes:
        if isinstance(node, ast.Call) and (path := _path(node.func)):
            first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
            argument = first if isinstance(first, str) else None
            found[Call(path, id(node) in statements, argument, targets.get(id(node), ()))] = None
        for decorator in getattr(node, "decorator_list", ()):
            path = _path(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if path:
                found[Call(path, is_statement=True)] = None
    return tuple(found), dict(_imported(nodes))


def _awaited(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Await) else node


def _names_in(assignment: ast.Assign) -> tuple[str, ...]:
    return tuple(node.id for target in assignment.targets for node in ast.walk(target) if isinstance(node, ast.Name))


def _path(node: ast.expr) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _imported(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
