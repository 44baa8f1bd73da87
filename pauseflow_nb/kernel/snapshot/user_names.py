"""Find the names in a notebook's namespace that the user's cells have bound."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Names that IPython itself binds in every kernel: history, last results, module attributes.
_IPYTHON = re.compile(
    r"_{1,3}|_i{1,3}|_i?\d+|_oh|_ih|_dh|In|Out|_exit_code|get_ipython|exit|quit|open"
    r"|__(name|doc|package|loader|spec|builtin|builtins|session|annotations)__|__vsc_ipynb_file__"
)

_HIDDEN_AT_START = "_pauseflow_hidden_at_start"
#: Those that IPython binds once, and that a cell may use for its own values.
_BOUND_ONCE = frozenset({"In", "Out", "_dh", "_ih", "_oh", "exit", "get_ipython", "open", "quit"})


def note_start(shell: Any) -> None:
    """Record the names that are hidden before the first cell; what a cell hides is the user's."""
    setattr(shell, _HIDDEN_AT_START, frozenset(shell.user_ns_hidden))


def find_sources(shell: Any) -> list[str]:
    """List the sources of the cells that ran, even if a cell has bound `In` to another value."""
    history = getattr(shell, "history_manager", None)
    sources = shell.user_ns.get("In", ()) if history is None else history.input_hist_parsed
    return [source for source in sources if isinstance(source, str)]


def find_user_names(shell: "InteractiveShell") -> list[str]:
    """List the names that the user's cells have bound, in that order.

    A name of IPython counts if a cell has bound it to another value, such as `exit = "north"`.
    """
    hidden = shell.user_ns_hidden
    at_start = getattr(shell, _HIDDEN_AT_START, hidden)
    absent = object()
    return [
        name
        for name, value in shell.user_ns.items()
        if isinstance(name, str)
        and (hidden.get(name, absent) is not value or name not in at_start)
        and not _is_ipythons(shell, name, value)
    ]


def _is_ipythons(shell: "InteractiveShell", name: str, value: Any) -> bool:
    if _IPYTHON.fullmatch(name) is None:
        return False
    if name in {"__annotations__", "__doc__"}:
        # Empty or IPython's own, until a cell annotates a variable or sets it.
        return not value or str(value).startswith("Automatically created module")
    if re.fullmatch(r"_{1,3}", name):
        return getattr(shell.displayhook, name, None) is value
    if re.fullmatch(r"_\d+", name):
        return shell.user_ns.get("_oh", {}).get(int(name[1:])) is value
    if name == "__name__":
        return bool(value == "__main__")
    return name not in _BOUND_ONCE or (name in shell.user_ns_hidden and shell.user_ns_hidden[name] is value)
