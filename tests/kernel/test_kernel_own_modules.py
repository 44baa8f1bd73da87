"""Large variables of a remote store, and modules of the user's that look for them in the notebook themselves."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pauseflow_nb.kernel.snapshot.recovery.own_modules import may_read_notebook
from pauseflow_nb.protocol import Briefing

from .conftest import Kernel
from .gated_store import GatedStore
from .test_kernel_deferred import MAKE, begin, save

pytest.importorskip("numpy")

WAYS = {
    "main": "import __main__\ndef find():\n    return __main__.big[1]",
    "modules": "import sys\ndef find():\n    return getattr(sys.modules['__ma' + 'in__'], 'b' + 'ig')[1]",
    "caller": "import sys\ndef find():\n    return sys._getframe(1).f_globals['big'][1]",
    "stack": "import inspect\ndef find():\n    return inspect.stack()[1].frame.f_globals['big'][1]",
    "other": "import helper_inner\nfind = helper_inner.find",
}
INNER = "def find():\n    import __main__\n    return __main__.big[1]"


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "helper_inner.py").write_text(INNER)
    monkeypatch.syspath_prepend(str(tmp_path / "beside"))
    GatedStore.start_over()
    yield tmp_path / "beside"
    GatedStore.start_over()
    forget_modules()


def forget_modules() -> None:
    """Forget what a kernel imported: the next one of this process is a new one."""
    for name in [name for name in sys.modules if name.startswith("helper")]:
        del sys.modules[name]


@pytest.mark.every(5)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("made", ["", "\nimport helper", "\nfrom helper import find", "\nlook = lambda: helper.find()"])
def test_no_variable_is_missing_when_a_module_of_the_users_looks_for_it(
    modules: Path, new_kernel: Callable[[], Kernel], briefing: Callable[..., Briefing], way: str, made: str
) -> None:
    (modules / "helper.py").write_text(WAYS[way])
    ref = save(new_kernel(), briefing, MAKE + made)
    forget_modules()
    kernel = begin(new_kernel(), briefing, ref, is_open=True)

    ran = kernel.run("import helper\nvalue = helper.find()")

    assert ran.error is None
    assert kernel.names["value"] == 1


def test_an_object_of_such_a_module_finds_what_it_reads(
    modules: Path, new_kernel: Callable[[], Kernel], briefing: Callable[..., Briefing]
) -> None:
    (modules / "helper.py").write_text(f"{INNER}\nclass Finder:\n    def look(self):\n        return find()")
    ref = save(new_kernel(), briefing, MAKE, "import helper\nfinders = [helper.Finder()]")
    forget_modules()
    kernel = begin(new_kernel(), briefing, ref, is_open=True)

    ran = kernel.run("value = finders[0].look()")

    assert ran.error is None
    assert kernel.names["value"] == 1


def test_a_module_of_the_users_that_looks_for_nothing_does_not_wait(
    modules: Path, new_kernel: Callable[[], Kernel], briefing: Callable[..., Briefing]
) -> None:
    (modules / "helper.py").write_text(
        "import json\ndef add(n):\n    return n + 1\nif __name__ == '__main__':\n    add(1)"
    )
    ref = save(new_kernel(), briefing, MAKE + "\nimport helper")
    forget_modules()
    kernel = begin(new_kernel(), briefing, ref)

    ran = kernel.run("import helper\nimport json, numpy\nvalue = helper.add(1)")

    assert ran.error is None
    assert "big" not in kernel.names


@pytest.mark.parametrize(
    ("name", "expected"),
    [("json", False), ("numpy", False), ("pauseflow_nb", False), ("helper_inner", True), ("helper_unknown", True)],
)
def test_which_modules_may_look(name: str, expected: bool) -> None:
    assert may_read_notebook([name]) is expected
