"""A cell under `%%step` or `%%setup` shows what it would show as a plain cell."""

import re
from typing import Any

import pytest

CELLS = {
    "automagic": "pwd",
    "automagic with arguments": "ls -a",
    "automagic that moves": "cd ..",
    "automagic below a blank line": "\nls\n",
    "automagic with a comment": "pwd  # where",
    "automagic below a comment, which is none": "# c\npwd",
    "two lines, of which none is automagic": "x = 1\nwho",
    "a variable that is called like a magic": "ls = 3\nls",
    "autocall": ", print a b",
    "line magic": "%cd ..",
    "a magic's value": "x = %sx echo a\nx",
    "shell": "!echo hi",
    "the shell's lines": "x = !echo hi\nx",
    "shell with two marks": "!!echo hi",
    "a command over two lines": "!echo a \\\nb",
    "help": "len?",
    "help on a cell magic": "%%bash?",
    "cell magic": "%%bash\necho hi",
    "cell magic that captures": "%%capture out\nprint(1)",
    "await": "import asyncio\nawait asyncio.sleep(0)\n3",
    "silenced": "3;",
    "indented": "    x = 1\n    x",
    "with prompts": ">>> x = 1\n>>> x",
    "with IPython's prompts": "In [1]: x = 1\n   ...: x",
    "a warning of the compiler": "x = 1\nx is 1",
    "a warning of the parser": 'x = "\\d"\nx',
    "a warning in a function": "def f():\n    assert (1, 'x')",
}  # fmt: skip


def _shown(cell: Any) -> list[str]:
    varying = r"ipykernel_\d+/\d+|(?<=In\[)\d+|<>:\d+|\.py:\d+|pytest-\d+|test_\w+"
    return [
        f"{each.ename}: {each.evalue.split(' (')[0]}"
        if each.output_type == "error"
        else re.sub(varying, "…", str({name: value for name, value in each.items() if name != "execution_count"}))
        for each in cell.outputs
    ]


@pytest.mark.every(3)
@pytest.mark.parametrize("what", CELLS)
@pytest.mark.parametrize("header", ["%%step s", "%%setup"])
def test_a_cell_shows_what_it_shows_without_its_header(header: str, what: str, rehearse: Any) -> None:
    plain = rehearse(CELLS[what])
    plain.run()
    with_header = rehearse(f"{header}\n{CELLS[what]}")

    with_header.run()

    assert _shown(with_header.document.cells[0]) == _shown(plain.document.cells[0])


@pytest.mark.parametrize("cell", ["x = 1\nx is 1", "def f(): return 1 is 1"])
def test_a_warning_of_the_compiler_is_not_repeated_by_a_later_setup_or_pause(cell: str, rehearse: Any) -> None:
    rehearsal = rehearse("%%setup\nname = 1", cell, "%%step s\nlater = 2")
    rehearsal.run()

    assert rehearsal.text(1).count("SyntaxWarning") <= 3
    assert "<names>" not in rehearsal.text(1)
    assert rehearsal.text(2) == ""
