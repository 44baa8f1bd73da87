"""Cells that say too much, ask for what nobody can give, or take all memory."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pauseflow_nb.errors import KernelDied
from pauseflow_nb.runner.cell_statuses import status_of
from pauseflow_nb.runner.output_file import OutputFile


def test_input_is_refused_with_an_error_that_says_so(rehearse: Any) -> None:
    rehearsal = rehearse("name = input('name: ')")
    end = rehearsal.run()

    assert (end.kind, end.failure.type) == ("failed", "StdinNotImplementedError")
    assert "a headless run cannot answer: use a parameter" in end.failure.message


@pytest.mark.slow
def test_a_hundred_megabytes_of_text_arrive_whole(rehearse: Any, tmp_path: Path) -> None:
    rehearsal = rehearse("line = 'x' * 99\nfor n in range(1_000_000):\n    print(line)", "'after'")
    end = rehearsal.run(output=OutputFile(str(tmp_path / "out.ipynb"), execution="e1", is_first=True))

    assert end.kind == "completed"
    assert len(rehearsal.text(0)) == 100_000_000
    assert rehearsal.text(1) == "'after'"


@pytest.mark.slow
def test_many_small_outputs_arrive_whole_and_in_order(rehearse: Any) -> None:
    rehearsal = rehearse("for n in range(5_000):\n    print(n)\n    display(n)")
    rehearsal.run()

    outputs = rehearsal.document.cells[0].outputs
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "display_data"]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert shown == [str(n) for n in range(5_000)]
    assert printed.split() == shown


@pytest.mark.thorough
def test_an_image_of_fifty_megabytes(rehearse: Any, tmp_path: Path) -> None:
    rehearsal = rehearse(
        "from IPython.display import display\nimport base64\n"
        "display({'image/png': base64.b64encode(b'x' * 37_500_000).decode()}, raw=True)"
    )
    out = tmp_path / "out.ipynb"
    rehearsal.run(output=OutputFile(str(out), execution="e1", is_first=True))

    assert out.stat().st_size > 50_000_000
    assert len(rehearsal.document.cells[0].outputs[0].data["image/png"]) == 50_000_000


def test_a_kernel_that_takes_all_memory_is_reported_as_killed(rehearse: Any) -> None:
    # What the kernel of the machine does to a process that has taken all memory.
    rehearsal = rehearse("import os\nprint('big', flush=True)\nos.kill(os.getpid(), 9)")
    with pytest.raises(KernelDied, match="often: out of memory"):
        rehearsal.run()

    assert status_of(rehearsal.document.cells[0]) == "interrupted"


def test_a_folder_that_is_removed_while_cells_run_is_made_again(rehearse: Any, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    rehearsal = rehearse("print('one')", "print('two')")
    output = OutputFile(str(folder / "out.ipynb"), execution="e1", is_first=True)
    rehearsal.log.when_output = lambda cell, _output: shutil.rmtree(folder, ignore_errors=True) if cell == 0 else None
    end = rehearsal.run(output=output)

    assert end.kind == "completed"
    assert '"two\\n"' in (folder / "out.ipynb").read_text()
