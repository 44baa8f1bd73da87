"""Find the user's modules that may read the notebook's variables themselves, which the notebook's text does not show."""

import ast
import importlib.util
import re
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from pauseflow_nb.kernel.snapshot.pickling.type_names import is_installed, is_users_module

#: Ways from a module to the variables of another one.
_WAYS = re.compile(
    r"__main__|__globals__|get_ipython|InteractiveShell|user_ns|f_globals|f_locals|f_back|_getframe"
    r"|\b(?:inspect|gc|dill|pdb)\b|\bsys\.modules\b(?!\[__name__\])"
)
#: How a module asks whether it is run as a program.
_IS_PROGRAM = re.compile(r"""__name__\s*==\s*["']__main__["']""")
#: Files of one package that are looked at.
_MOST = 500


def any_looks(names: Iterable[str]) -> bool:
    """Tell whether a module that an import names, or one that it imports, may read the notebook's variables.

    Args:
        names: Of modules. Nothing is imported. One that cannot be found yet counts, as its text is not known.
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
            # What a module of the user's imports is often optional, or beside it.
            todo |= {each for each in imported - seen if _find_files(each)}
    return False


def any_loaded_looks(before: Collection[str]) -> bool:
    """Tell whether a module of the user's that was imported since may read the notebook's variables.

    Args:
        before: Names of the modules that there were before.
    """
    return any_looks(name for name in sys.modules.keys() - set(before) if is_users_module(name))


def _find_files(name: str) -> list[Path] | None:
    """Find the files of a top-level module of the user's; empty for one that is installed, None if there is none."""
    if name == "pauseflow_nb":
        return []
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        # ValueError: a cell made the module, and it has no origin.
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
    """Read which top-level modules a file imports; None if the file may read the notebook's variables."""
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
