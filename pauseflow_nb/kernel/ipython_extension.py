"""Add `%%step`, `%%fresh` and `%%setup` to an IPython shell.

Where to look: `cell_transform` turns a cell into calls of the `session`; users type `flow` and `steps`;
`step_run` is one run of a step, `attempt` one attempt at it. A session has one `mode`: `execution_mode` takes
briefings and sends outcomes, `test_mode` is for cells that are run by hand.
"""

from typing import TYPE_CHECKING

from pauseflow_nb.kernel.cell_transform import HeaderMistakes, OneLineBodies, StepCells, header_to_literal
from pauseflow_nb.kernel.current import set_session
from pauseflow_nb.kernel.flow import flow, steps
from pauseflow_nb.kernel.magics import fresh_magic, pauseflow_magic, setup_magic, step_magic
from pauseflow_nb.kernel.session import Session
from pauseflow_nb.kernel.tracebacks import explain_errors
from pauseflow_nb.kernel.wait_for_variables import WaitForVariables

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: "InteractiveShell", *, bind_names: bool) -> Session:
    """Create the session of a shell, `shell.pauseflow`, or return the existing one.

    Args:
        shell: The shell whose cells will be able to be steps.
        bind_names: Whether to bind `flow` and `steps` in the user's namespace if these names are free.
    """
    session = getattr(shell, "pauseflow", None)
    if not isinstance(session, Session):
        session = _attach(shell)
    if bind_names:
        for name, value in (("flow", flow), ("steps", steps)):
            shell.user_ns.setdefault(name, value)
    return session


def _attach(shell: "InteractiveShell") -> Session:
    session = Session(shell)
    shell.pauseflow = session  # type: ignore[attr-defined]
    set_session(session)
    shell.input_transformers_cleanup.extend([HeaderMistakes(shell), header_to_literal])
    shell.input_transformers_post.append(OneLineBodies(shell))
    shell.ast_transformers.extend([StepCells(shell), WaitForVariables(session)])
    explain_errors(shell)
    shell.events.register("pre_run_cell", session.before_cell)
    shell.events.register("post_execute", session.after_any)
    shell.events.register("post_run_cell", session.after_cell)

    def magic(line: str) -> None:
        pauseflow_magic(session, line)

    magic.__doc__ = pauseflow_magic.__doc__
    shell.register_magic_function(magic, "line", "pauseflow")  # type: ignore[arg-type] # its types miss `self`
    # Cells do not call them: `header_to_literal` runs first. They serve `%%step?`, `%step?` and completion.
    for function, name in ((step_magic, "step"), (setup_magic, "setup"), (fresh_magic, "fresh")):
        shell.register_magic_function(function, "line_cell", name)  # type: ignore[arg-type] # see above
    shell.register_magic_function(_node_magic, "cell", "node")  # type: ignore[arg-type] # see above
    return session


def _node_magic(line: str, cell: str | None = None) -> object:
    from pauseflow_nb.kernel.node_step import node_magic  # lazily: few notebooks have steps in JavaScript

    return node_magic(line, cell)
