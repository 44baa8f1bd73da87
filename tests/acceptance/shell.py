"""A shell in this process whose cells are run as a person would."""

from dataclasses import dataclass

from IPython.core.interactiveshell import InteractiveShell

from pauseflow_nb.kernel.ipython_extension import load
from pauseflow_nb.kernel.session import Session


@dataclass
class Shell:
    """The shell."""

    shell: InteractiveShell

    @property
    def session(self) -> Session:
        return load(self.shell, bind_names=False)

    def run(self, source: str) -> BaseException | None:
        """Run a cell; returns its error."""
        _ = self.session
        result = self.shell.run_cell(source, store_history=True)  # type: ignore[no-untyped-call]
        error: BaseException | None = result.error_before_exec or result.error_in_exec
        return error
