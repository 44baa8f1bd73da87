"""The table of types in docs/reference/types.md is what the tests found; run with PAUSEFLOW_WRITE_DOCS=1 to write it anew."""

import os
from pathlib import Path

from kernel_snapshot.type_rows import LEFT_OUT, REFUSED, REPLAYED, ROWS, Row

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "types.md"
BEGIN, END = "<!-- table of types: begin -->\n", "<!-- table of types: end -->\n"


def test_the_page_has_the_table_that_is_tested() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{_table()}\n{END}{after}"
    if os.environ.get("PAUSEFLOW_WRITE_DOCS"):
        PAGE.write_text(wanted, encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == wanted, "run this test with PAUSEFLOW_WRITE_DOCS=1"


def test_of_what_can_come_back_all_does_and_the_rest_says_why_when_it_is_saved() -> None:
    """What cannot belongs to its process, or to a library that keeps it to itself; `test_type` runs every row."""
    kinds = [row for row in ROWS if row.outcome not in {REFUSED, REPLAYED, LEFT_OUT}]
    silent = [row.what for row in ROWS if row.outcome in {REFUSED, LEFT_OUT} and not row.check]

    assert len(kinds) >= 68
    # What IPython makes anew in every kernel.
    assert silent == ["IPython's own names: In, Out, _, where no later cell reads them"]


def _table() -> str:
    lines = ["| | after the pause |", "|---|---|"]
    group = ""
    for row in ROWS:
        if row.group != group:
            group = row.group
            lines.append(f"| **{group}** | |")
        lines.append(f"| {row.what} | {_outcome(row)} |")
    return "\n".join(lines) + "\n"


def _outcome(row: Row) -> str:
    if row.outcome != REFUSED:
        return row.outcome
    return f"not saved: “… {row.check} …”" if row.check else "made anew by IPython"
