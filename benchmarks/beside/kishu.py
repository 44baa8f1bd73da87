"""Kishu: a checkpoint after each cell; here, when it is told to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beside import environments


def environment() -> Path | None:
    return environments.environment("kishu", "Kishu", ["kishu", *environments.same()])


def saver(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    kishu = _open(shell, folder)
    ran: list[Any] = []
    # It saves after each cell; here, when it is told to.
    shell.events.register("pre_run_cell", kishu.pre_run_cell)
    shell.events.register("post_run_cell", ran.append)
    written = 0

    def save() -> tuple[str, int]:
        nonlocal written
        kishu.post_run_cell(ran[-1])
        before, written = written, sum(path.stat().st_size for path in Path(folder).glob("*.kishudb*"))
        return kishu._kishu_branch.get_head().commit_id, written - before  # noqa: SLF001 - there is no other way

    return save


def restorer(shell: Any, folder: str, token: str) -> Callable[[], None]:
    kishu = _open(shell, folder)
    return lambda: kishu.checkout(token, skip_notebook=True)


def _open(shell: Any, folder: str) -> Any:
    import nbformat

    os.environ |= {"ENV_KISHU_TEST_MODE": "1", "KISHU_PATH_ROOT": folder}
    # These two are there only in its own environment.
    from kishu.jupyterint import KishuForJupyter  # type: ignore[import-not-found]
    from kishu.notebook_id import NotebookId  # type: ignore[import-not-found]

    notebook = Path(folder, "notebook.ipynb")
    if not notebook.exists():
        nbformat.write(nbformat.v4.new_notebook(), notebook)
    return KishuForJupyter(NotebookId("bench", notebook, "none"), shell)
