"""What decision records cost: digests at a pause, and a signed record at an answer.

    python benchmarks/decisions.py

Prints ratios and times of one run; the machine may be noisy, so the smallest of several rounds counts.
"""

import base64
import os
import time
from collections.abc import Callable
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

from pauseflow_nb.decisions.statement import DECIDED, Statement, sign
from pauseflow_nb.runner.document import Document

CELLS, BYTES, ROUNDS = 1000, 50_000_000, 5


def make_notebook() -> NotebookNode:
    notebook = new_notebook(metadata={"pauseflow": {"execution": "e1"}})
    image = base64.b64encode(os.urandom(BYTES // CELLS * 3 // 4)).decode()
    for number in range(CELLS):
        output = new_output("display_data", {"image/png": image[number:] + image[:number], "text/plain": "<Figure>"})
        cell = new_code_cell(f"plot({number})", outputs=[output])
        cell.metadata["papermill"] = {"status": "completed"}
        notebook.cells.append(cell)
    return notebook


def least(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    seconds = []
    for _ in range(ROUNDS):
        before()
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    notebook = make_notebook()
    data = Document(notebook).to_bytes()
    document = Document.from_bytes(data)
    known = document.digest_cells()

    def read_again() -> None:
        nonlocal document
        document = Document.from_bytes(data)
        document.set_digests(known)

    pause = least(lambda: document.to_bytes(), read_again)  # noqa: PLW0108 - another document each time

    def write_again() -> None:
        nonlocal document
        document = Document.from_bytes(data)
        document.to_bytes()

    first = least(lambda: document.digest_cells(), write_again)  # noqa: PLW0108 - see above
    later = least(lambda: (document.changed(CELLS - 1), document.digest_cells()), read_again)
    print(f"pause with {CELLS} cells and {BYTES / 1e6:.0f} MB of outputs: writing the notebook {pause * 1e3:.0f} ms")
    print(f"  digests at a later pause (one cell changed): {later * 1e3:.1f} ms, {later / pause:.1%} of the writing")
    print(f"  digests at the first pause (all cells): {first * 1e3:.0f} ms, {first / pause:.1%} of the writing")
    key = Ed25519PrivateKey.generate()
    for count in (10, 100, CELLS):
        statement = Statement(DECIDED, "e1", 1, None, tuple(known[:count]), {"decision": {"by": "user:ann"}})
        print(f"record of a decision on {count} cells: {least(partial(sign, statement, key)) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
