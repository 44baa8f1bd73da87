"""Make each statement of a cell wait for large variables that it mentions and that are still being fetched.

The wait is inserted before the statement, and never inside the user's `try` or `with`, which could handle a failure
of the storage as an error of the notebook.
"""

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pauseflow_nb.kernel.session import Session

_SESSION = "get_ipython().pauseflow"
#: The runner's calls of the session: they contain the source of cells, which do not run.
_CALLS = tuple(f"{_SESSION}.{name}(" for name in ("begin", "begin_next", "settle_names", "suspend"))
#: What `StepCells` puts around the statements of a step.
_WRAPPERS = (f"while {_SESSION}.runs_now(", f"with {_SESSION}.begin_attempt(")


class WaitForVariables(ast.NodeTransformer):
    """The last part of the second stage, for `shell.ast_transformers`; does nothing when all variables are fetched."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def visit(self, tree: ast.AST) -> ast.AST:
        """Insert the waits into the tree of a cell."""
        deferred = self._session.deferred
        if deferred is None or not deferred.names or not isinstance(tree, ast.Module):
            return tree
        return ast.Module(self._arranged(tree.body, deferred.names), tree.type_ignores)

    def _arranged(self, statements: list[ast.stmt], deferred: set[str]) -> list[ast.stmt]:
        from pauseflow_nb.kernel.snapshot.recovery.mentions import find_mentions  # lazily: it is already loaded here

        arranged: list[ast.stmt] = []
        for statement in statements:
            text = ast.unparse(statement)
            if isinstance(statement, (ast.While, ast.With)) and text.startswith(_WRAPPERS):
                statement.body = self._arranged(statement.body, deferred)
            elif not text.startswith(_CALLS):
                mentions = find_mentions(text.replace(_SESSION, "_"), self._session.shell.user_ns)
                if mentions is None or mentions & deferred:
                    arranged.append(_make_call(None if mentions is None else sorted(mentions & deferred), statement))
            arranged.append(statement)
        return arranged


def _make_call(names: list[str] | None, statement: ast.stmt) -> ast.stmt:
    (call,) = ast.parse(f"{_SESSION}.wait_for_variables({names!r})").body
    # With the statement's position, so that a traceback points to it.
    for node in ast.walk(call):
        if isinstance(node, (ast.stmt, ast.expr)):
            ast.copy_location(node, statement)
    return call
