"""Cells that show errors in other ways than raising them, and whether papermill takes the notebook for failed."""

from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook


@dataclass(frozen=True)
class Case:
    """A cell, and papermill's exit code for a notebook that holds it."""

    source: str
    exit_code: int
    tags: tuple[str, ...] = ()


CASES = {
    "%run of a script": Case("%run script.py", 1),
    "%run in the namespace": Case("%run -i script.py", 1),
    "%run of a notebook": Case("%run other.ipynb", 1),
    "%run of a script that exits with 0": Case("%run exits.py", 0),
    "run_cell": Case("get_ipython().run_cell('1/0')", 1),
    "silent run_cell": Case("get_ipython().run_cell('1/0', silent=True)", 1),
    "run_cell whose error is caught": Case(
        "try:\n    get_ipython().run_cell('1/0').raise_error()\nexcept ZeroDivisionError:\n    pass", 1
    ),
    "run_cell_magic": Case("get_ipython().run_cell_magic('time', '', '1/0')", 1),
    "%%capture": Case("%%capture out\n1/0", 1),
    "capture_output": Case(
        "from IPython.utils.capture import capture_output\nwith capture_output() as c:\n    get_ipython().run_cell('1/0')",
        1,
    ),
    "showsyntaxerror": Case(
        "try:\n    compile('1 +', 'x', 'exec')\nexcept SyntaxError:\n    get_ipython().showsyntaxerror()", 1
    ),
    "a callback after the cell": Case(
        "events = get_ipython().events\ndef f(*_):\n    events.unregister('post_run_cell', f)\n    1/0\n"
        "events.register('post_run_cell', f)",
        1,
    ),
    "a thread that shows a traceback": Case(
        "import threading\ndef f():\n    try:\n        1/0\n    except ZeroDivisionError:\n        get_ipython().showtraceback()\n"
        "t = threading.Thread(target=f); t.start(); t.join()",
        1,
    ),
    "%%time": Case("%%time\n1/0", 1),
    "%%bash": Case("%%bash\nexit 3", 1),
    "%%bash that may fail": Case("%%bash --no-raise-error\nexit 3", 0),
    "%%python3": Case("%%python3\n1/0", 1),
    "a shell line": Case("!exit 3", 0),
    "a thread": Case("import threading\nt = threading.Thread(target=lambda: 1/0); t.start(); t.join()", 0),
    "a thread that runs a cell": Case(
        "import threading\nt = threading.Thread(target=get_ipython().run_cell, args=['1/0']); t.start(); t.join()", 1
    ),
    "a task": Case(
        "import asyncio\nasync def f():\n    1/0\nt = asyncio.create_task(f())\nawait asyncio.wait([t])\ndel t", 0
    ),
    "showtraceback": Case("try:\n    1/0\nexcept ZeroDivisionError:\n    get_ipython().showtraceback()", 1),
    "a message of its own": Case(
        "k = get_ipython().kernel\n"
        "k.send_response(k.iopub_socket, 'error', {'ename': 'E', 'evalue': 'v', 'traceback': ['t']})",
        1,
    ),
    "one that is cleared": Case(
        "from IPython.display import clear_output\nr = get_ipython().run_cell('1/0')\nclear_output()", 0
    ),
    "one in an Output widget": Case("import ipywidgets\nw = ipywidgets.Output()\nwith w:\n    1/0", 0),
    "a representation": Case(
        "from IPython.display import display\nclass C:\n    def __repr__(self):\n        1/0\ndisplay(C())", 1
    ),
    "a handler of its own": Case(
        "get_ipython().set_custom_exc((ValueError,), lambda *_, **__: None)\nraise ValueError('x')", 1
    ),
    "exit code 0 within": Case("get_ipython().run_cell('import sys; sys.exit(0)')", 0),
    "exit code 1 within": Case("get_ipython().run_cell('import sys; sys.exit(1)')", 1),
    "KeyboardInterrupt": Case("raise KeyboardInterrupt", 1),
}


def write_files(folder: Path) -> None:
    """Write what the cells run."""
    (folder / "script.py").write_text("print('in script')\n1/0\n")
    (folder / "exits.py").write_text("import sys; sys.exit(0)\n")
    nbformat.write(new_notebook(cells=[new_code_cell("1/0")]), folder / "other.ipynb")
