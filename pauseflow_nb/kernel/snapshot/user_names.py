"""Find the names in a notebook's namespace that the user's cells have bound."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Names that IPython itself binds in every kernel: history, last results, module attributes.
_IPYTHON = re.compile(
    r"_{1,3}|_i{1,3}|_i?\d+|_oh|_ih|_dh|In|Out|_exit_code|get_ipython|exit|quit|open"
    r"|__(name|doc|package|loader|spec|builtin|builtins|session|file|annotations)__|__vsc_ipynb_file__"
)


def find_user_names(shell: "InteractiveShell") -> list[str]:
    """List the names that the user's cells have bound, in that order.

    A name of IPython counts if a cell has bound it to another value, such as `exit = "north"`.
    """
    hidden = shell.user_ns_hidden
    absent = object()
    return [
        name
        for name, value in shell.user_ns.items()
        if isinstance(name, str) and hidden.get(name, absent) is not value and not _is_ipythons(shell, name, value)
    ]


def _is_ipythons(shell: "InteractiveShell", name: str, value: Any) -> bool:
    if _IPYTHON.fullmatch(name) is None:
        return False
    if name in {"__annotations__", "__doc__"}:
        # Empty or IPython's own, until a cell annotates a variable or sets it.
        return not value or str(value).startswith("Automatically created module")
    # These three are ordinary words, which a cell may use for its own values.
    return name not in {"exit", "quit", "open"} or (
        name in shell.user_ns_hidden and shell.user_ns_hidden[name] is value
    )
