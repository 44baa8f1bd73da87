"""Let each statement of a cell wait for the large variables that it mentions and that are still being fetched.

The waiting stands before the statement, and never inside a `try` or a `with` of the user's, which could take a storage
that fails for an error of the notebook's own.
"""

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pauseflow_nb.kernel.session import Session

_SESSION = "get_ipython().pauseflow"
#: How the runner calls the session: cells are in what it passes, but do not run.
_CALLS = tuple(f"{_SESSION}.{name}(" for name in ("begin", "go_on", "settle_names", "suspend"))
#: What `StepCells` puts around the statements of a step.
_WRAPPERS = (f"while {_SESSION}.runs_now(", f"with {_SESSION}.begin_attempt(")


class WaitForVariables(ast.NodeTransformer):
    """A last part of the second stage, for `shell.ast_transformers`; does nothing once all variables are there."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def visit(self, tree: ast.AST) -> ast.AST:
        """Put the waiting into the tree of a cell."""
        deferred = self._session.deferred
        if deferred is None or not deferred.names or not isinstance(tree, ast.Module):
            return tree
        return ast.Module(self._arranged(tree.body, deferred.names), tree.type_ignores)

    def _arranged(self, statements: list[ast.stmt], deferred: set[str]) -> list[ast.stmt]:
        from pauseflow_nb.kernel.snapshot.recovery.mentions import find_mentions  # lazy: it is loaded by now

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
    (call,) = ast.parse(f"{_SESSION}.bring({names!r})").body
    # Placed where the statement is, so that a traceback points to it.
    for node in ast.walk(call):
        if isinstance(node, (ast.stmt, ast.expr)):
            ast.copy_location(node, statement)
    return call
