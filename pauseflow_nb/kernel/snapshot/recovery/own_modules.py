"""Find modules of the user that may read the notebook's variables, which the notebook's source does not show."""

import ast
import importlib.util
import re
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from pauseflow_nb.kernel.snapshot.pickling.type_names import is_installed, is_users_module

#: Names that give a module access to the variables of another one.
_WAYS = re.compile(
    r"__main__|__globals__|get_ipython|InteractiveShell|user_ns|f_globals|f_locals|f_back|_getframe"
    r"|\b(?:inspect|gc|dill|pdb)\b|\bsys\.modules\b(?!\[__name__\])"
)
#: The test of a module for whether it is run as a program.
_IS_PROGRAM = re.compile(r"""__name__\s*==\s*["']__main__["']""")
#: Most files of a package that are read.
_MOST = 500


def may_read_notebook(names: Iterable[str]) -> bool:
    """Whether one of these modules, or a module that it imports, may read the notebook's variables.

    Args:
        names: Names of modules, which are not imported. A module that cannot be found counts, because its source is
            unknown.
    """
    todo = {name.partition(".")[0] for name in names if name}
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        seen.add(name)
        files = _find_files(name)
        if files is None or len(files) > _MOST:
            return True
        for file in files:
            imported = _read_imports(file)
            if imported is None:
                return True
            # Imports in a user's module are often optional, or of modules beside it.
            todo |= {each for each in imported - seen if _find_files(each)}
    return False


def may_loaded_read_notebook(before: Collection[str]) -> bool:
    """Whether a user's module that was imported since then may read the notebook's variables.

    Args:
        before: Names of the modules that were loaded before.
    """
    return may_read_notebook(name for name in sys.modules.keys() - set(before) if is_users_module(name))


def _find_files(name: str) -> list[Path] | None:
    """Find the files of a user's top-level module; empty for an installed one, None if it does not exist."""
    if name == "pauseflow_nb":
        return []
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        # ValueError: a cell has made the module, which has no origin.
        return [] if name in sys.modules else None
    if spec is None:
        return None
    folders = [Path(each) for each in spec.submodule_search_locations or ()]
    if spec.origin in {"built-in", "frozen"} or (spec.origin and is_installed(spec.origin)):
        return []
    if folders:
        own = [folder for folder in folders if not is_installed(str(folder / "__init__.py"))]
        return sorted(file for folder in own for file in folder.rglob("*.py"))
    return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []


def _read_imports(file: Path) -> set[str] | None:
    """Return the top-level modules that a file imports; None if the file may read the notebook's variables."""
    try:
        text = file.read_text(encoding="utf-8")
        if _WAYS.search(_IS_PROGRAM.sub("", text)):
            return None
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return None
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
