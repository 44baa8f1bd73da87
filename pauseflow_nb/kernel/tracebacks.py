"""Show errors without the frames of this package, or in one line."""

import sys
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pauseflow_nb.kernel.hints import explain

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_PACKAGE = str(Path(__file__).parents[1])


def hide_traceback(error: BaseException) -> Any:
    """Make IPython show an error as one line, as it does for wrong arguments of its own magics."""
    line = f"{type(error).__name__}: {error}"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    return error


def hide_our_frames(shell: "InteractiveShell", error: BaseException, cell: str) -> None:
    """Make IPython show the traceback of an error from the cell's frame on, without frames of this package."""

    def rendered() -> list[str]:
        trace = _trim(error.__traceback__, cell)
        lines: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, trace, tb_offset=0)
        return lines

    error._render_traceback_ = rendered  # type: ignore[attr-defined]


def explain_errors(shell: "InteractiveShell") -> None:
    """Add hints for the author to errors that cells raise, and hide the frames of this package."""
    show = shell.showtraceback

    def explained(*arguments: Any, **keywords: Any) -> None:
        error = sys.exception() if not arguments else None
        if error is not None:
            explain(error)
            _hide_frames_below_the_cell(shell, error)
        show(*arguments, **keywords)

    # Not `set_custom_exc`: it holds one handler, which may be the user's.
    shell.showtraceback = explained  # type: ignore[method-assign]


def _hide_frames_below_the_cell(shell: "InteractiveShell", error: BaseException) -> None:
    files = [frame.f_code.co_filename for frame, _line in walk_tb(error.__traceback__)]
    # The first frame is IPython's, and the second the cell's.
    if len(files) > 2 and files[-1].startswith(_PACKAGE) and not hasattr(error, "_render_traceback_"):
        hide_our_frames(shell, error, files[1])


def _trim(trace: TracebackType | None, cell: str) -> TracebackType | None:
    frames: list[TracebackType] = []
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        is_ours = name.startswith(_PACKAGE)
        if is_ours and trace.tb_next is not None and trace.tb_next.tb_frame.f_code.co_filename == cell:
            frames.clear()  # raised again when the cell's `with` ended: the frames that follow are complete
        elif not is_ours and (frames or name == cell):
            frames.append(trace)
        trace = trace.tb_next
    copied: TracebackType | None = None
    for part in reversed(frames):
        copied = TracebackType(copied, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return copied
