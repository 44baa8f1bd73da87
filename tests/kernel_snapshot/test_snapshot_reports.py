"""What is told about variables before and after a save."""

from collections.abc import Callable
from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels
from shells import new_shell

from pauseflow_nb.kernel import snapshot
from pauseflow_nb.kernel.snapshot import describe_saved, make_rows
from pauseflow_nb.kernel.snapshot.pickling.locate import find_place
from pauseflow_nb.kernel.snapshot.pickling.sharing import group_by_sharing
from pauseflow_nb.kernel.snapshot.report import VariableReport
from pauseflow_nb.protocol import SnapshotRef


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Any:
    import sys

    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return new_shell()


def test_the_largest_variable_comes_first_with_its_fate(shell: Any) -> None:
    shell.run_cell("import threading\nlock = threading.Lock()\nbig = 'x' * 100_000\nsmall = 1\nclient = object()")

    reports = snapshot.describe(shell, remade=frozenset({"client"}), coming={"3": "lock"})

    assert reports[0].name == "big"
    assert reports[0].size >= 100_000
    fates = {report.name: report.fate for report in reports}
    assert fates == {
        "big": "restored",
        "small": "restored",
        "threading": "restored",
        "client": "made again by %%setup",
        "lock": "lost",
    }
    assert next(report for report in reports if report.name == "lock").reason


def test_a_snapshot_tells_size_and_time_of_each_variable_largest_first(kernels: Kernels) -> None:
    saved = kernels.save("import numpy as np\na = np.zeros(400_000)\nb = list(range(50))\nc = [b, b]\nd = a[5:]\ne = 1")

    reports = describe_saved(kernels.folder, SnapshotRef(**saved["ref"]))

    assert [report.name for report in reports[:2]] == ["a", "d"]
    sizes = {report.name: report.size for report in reports}
    assert sizes["a"] > sizes["d"] > 3_100_000
    assert 0 < sizes["c"] < 10_000
    assert all(report.seconds > 0 for report in reports if report.size)
    assert make_rows(reports)[1][2] == "3.2 MB"


def test_places_read_as_a_user_would_write_them() -> None:
    class Holder:
        def __init__(self, inside: object) -> None:
            self.inside = inside

    wanted = object()

    assert find_place(wanted, {"a": Holder([0, wanted])}, "clients") == 'clients["a"].inside[1]'
    assert find_place(wanted, lambda: wanted, "f") == "f.<closure wanted>"
    assert find_place(wanted, [], "x") == "x"


@pytest.mark.parametrize("size", [10, 5000])
def test_variables_that_share_an_object_are_found_also_in_large_memos(size: int) -> None:
    import io
    import pickle

    shared = ["shared"]
    values = {"large": [[n] for n in range(size)] + [shared], "uses": {"k": shared}, "alone": [1]}
    picklers = {}
    for name, value in values.items():
        picklers[name] = pickle.Pickler(io.BytesIO(), 5)
        picklers[name].dump(value)

    groups = {frozenset(group) for group in group_by_sharing(picklers)}

    assert groups == {frozenset({"large", "uses"}), frozenset({"alone"})}


def test_options_of_pandas_come_back_where_warnings_are_errors(survives: Callable[[str, str], None]) -> None:
    """Merely reading some of them warns."""
    survives(
        "import warnings, pandas as pd\nwarnings.simplefilter('error')\npd.set_option('display.max_rows', 7)",
        "assert pd.get_option('display.max_rows') == 7\nassert warnings.filters[0][0] == 'error'",
    )


def test_names_that_are_no_identifiers_stay_in_their_line() -> None:
    _, (name, kind, *_) = make_rows([VariableReport("a\n\x1b[31mé", "odd\nkind", 1, 0.0, "restored")])

    assert (name, kind) == ("a\\n\\x1b[31mé", "odd\\nkind")
