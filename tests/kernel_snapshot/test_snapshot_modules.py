"""What the notebook changed in modules that lie beside it comes back, or is said, and nothing else of them is touched."""

from pathlib import Path
from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels, cell

HELPER = """
import os, threading, collections

count, names, seen = 0, [], collections.Counter()
LIMIT = int(os.environ.get('PF_LIMIT', '5'))
_lock = threading.Lock()

class Registry:
    items, total, made = {}, 0, 0

    def __init__(self):
        self.own = []
        type(self).made += 1
        self.__class__.last = self

    @classmethod
    def add(cls, name):
        cls.items[name] = name
        cls.total += 1

    def keep(self, thing):
        local = []
        local.append(thing)
        self.own.append(thing)

def kept(key):
    if key not in _kept: _kept[key] = object()
    return _kept[key]

_kept = {}

class Options:
    debug = False

OPTIONS, REGISTRY = Options(), Registry()

def bump():
    global count
    with _lock:
        count += 1
    names.append(f'name {count}')
    seen.update(['x'])
    REGISTRY.keep(count)
    return count
"""

CHANGE = "import sys; sys.path.insert(0, '.')\nimport pf_helper\nfrom pf_helper import names\npf_helper.bump(); pf_helper.Registry.add('a')"
CHANGED = (
    "import pf_helper\nassert pf_helper.bump() == 2 and pf_helper.names == ['name 1', 'name 2'] and names is pf_helper.names\n"
    "assert pf_helper.seen == {'x': 2} and pf_helper.Registry.items == {'a': 'a'} and pf_helper.Registry.total == 1"
)


@pytest.fixture
def helper(kernels: Kernels) -> Path:
    """A module beside the notebook."""
    path = kernels.directory / "pf_helper.py"
    path.write_text(HELPER)
    return path


def _back(kernels: Kernels, saved: dict[str, Any], *cells: str) -> tuple[list[str], list[str]]:
    """Restore in a new kernel; returns what it said, and the errors of the cells."""
    restore = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}
    restored, put_back, *ran = kernels.run(restore, {"do": "put_back", "bound_by_setup": []}, *map(cell, cells))
    return restored["notes"] + put_back["notes"], [answer["error"] for answer in ran if answer["error"]]


@pytest.mark.usefixtures("helper")
def test_what_functions_of_a_module_changed_in_it_comes_back(kernels: Kernels) -> None:
    saved = kernels.save(CHANGE)

    assert (saved["unsaved"], saved["notes"]) == ({}, [])
    assert _back(kernels, saved, CHANGED) == ([], [])


@pytest.mark.usefixtures("helper")
def test_what_a_module_keeps_is_the_same_object_that_a_variable_leads_to(kernels: Kernels) -> None:
    make = (
        "import sys; sys.path.insert(0, '.')\nfrom pf_helper import Registry, kept, bump\nmine = Registry(); thing = kept('a'); one = bump()\n"
        "items = Registry.items; items['x'] = thing"
    )
    saved = kernels.save(make)

    check = (
        "import pf_helper\nassert Registry.last is mine and Registry.made == 2 and kept('a') is thing and bump() == 2\n"
        "assert Registry.items is items and items['x'] is thing"
    )
    assert _back(kernels, saved, check) == ([], [])


@pytest.mark.usefixtures("helper")
def test_what_cells_changed_in_a_module_comes_back(kernels: Kernels) -> None:
    make = (
        "import sys; sys.path.insert(0, '.')\nimport pf_helper\npf_helper.names.append('mine'); pf_helper.Registry.items['b'] = 1\n"
        "pf_helper.OPTIONS.debug = True; pf_helper.LIMIT = 9; pf_helper.EXTRA = [1]"
    )
    saved = kernels.save(make)

    check = (
        "import pf_helper\nassert pf_helper.names == ['mine'] and pf_helper.Registry.items == {'b': 1} and pf_helper.OPTIONS.debug is True\n"
        "assert pf_helper.LIMIT == 9 and pf_helper.EXTRA == [1] and type(pf_helper.OPTIONS) is pf_helper.Options"
    )
    assert _back(kernels, saved, check) == ([], [])


def test_a_change_is_there_after_a_second_pause(helper: Path, kernels: Kernels) -> None:
    first = kernels.save(CHANGE)
    again = [{"do": "restore", "folder": kernels.folder, "ref": first["ref"]}, {"do": "put_back", "bound_by_setup": []}]
    second = kernels.run(*again, {"do": "save", "folder": kernels.folder})[-1]

    assert helper.exists()
    assert _back(kernels, second, CHANGED) == ([], [])


def test_what_a_module_reads_when_it_is_imported_is_the_new_kernels(
    helper: Path, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = kernels.save(CHANGE)
    monkeypatch.setenv("PF_LIMIT", "7")

    assert helper.exists()
    assert _back(kernels, saved, "import pf_helper\nassert pf_helper.LIMIT == 7") == ([], [])


def test_a_module_that_was_edited_meanwhile_is_as_its_file_makes_it_and_that_is_said(
    helper: Path, kernels: Kernels
) -> None:
    saved = kernels.save(CHANGE)
    helper.write_text(HELPER.replace("count, names, seen = 0,", "count, names, seen = 40,"))

    notes, errors = _back(kernels, saved, "import pf_helper\nassert pf_helper.count == 40")

    assert errors == []
    assert "pf_helper.count: the file of its module has changed, and now sets it" in notes
    assert any(note.startswith("module pf_helper: its file was changed during the pause") for note in notes)


@pytest.mark.usefixtures("helper")
def test_what_a_module_keeps_that_cannot_be_saved_is_said(kernels: Kernels) -> None:
    saved = kernels.save(
        "import sys, sqlite3; sys.path.insert(0, '.')\nimport pf_helper\npf_helper.names.append(sqlite3.connect(':memory:'))"
    )

    (note,) = saved["notes"]
    assert note.startswith("not saved: pf_helper.names, ")
    assert "a database connection" in note


def test_what_a_reload_left_in_a_module_is_said(kernels: Kernels) -> None:
    helper = kernels.directory / "pf_reloaded.py"
    helper.write_text("OLD = 1\nclass Gone: pass\ndef stays(): return 1")
    change = "open('pf_reloaded.py', 'w').write('def stays(): return 22\\n')"

    saved = kernels.save(
        "import sys; sys.path.insert(0, '.')\nimport importlib, pf_reloaded",
        f"{change}\nimportlib.reload(pf_reloaded); pf_reloaded.MINE = 3",
    )

    left = "which the file of its module no longer has; a new kernel imports the module without it"
    assert saved["notes"] == [f"not saved: pf_reloaded.{name}, {left}" for name in ("OLD", "Gone")]
    assert kernels.restore(saved, "assert pf_reloaded.MINE == 3 and pf_reloaded.stays() == 22")["notes"] == []


def test_a_module_whose_file_was_changed_after_its_import_is_said(kernels: Kernels) -> None:
    (kernels.directory / "pf_edited.py").write_text("def rate(): return 1")
    (kernels.directory / "pf_same.py").write_text("def rate(): return 1")

    saved = kernels.save(
        "import sys; sys.path.insert(0, '.')\nimport pf_edited, pf_same",
        "open('pf_edited.py', 'w').write('def rate(): return 22'); open('pf_same.py', 'w').write('def rate(): return 1\\n')",
    )

    edited = "its file was changed after that, and a new kernel imports it as it is then"
    assert saved["notes"] == [f"not saved: module pf_edited as it was imported: {edited}"]


def test_a_module_that_keeps_a_former_sys_path_is_said(kernels: Kernels) -> None:
    (kernels.directory / "pf_keeps.py").write_text("import sys\nPLACES = sys.path")
    make = "import sys; sys.path.insert(0, '.')\nimport pf_keeps"

    saved = kernels.save(make, "sys.path = [*sys.path, '/pf']")
    plain = kernels.save("import sys\nsys.path = [*sys.path, '/pf']")

    assert saved["notes"] == [
        "not saved: that pf_keeps.PLACES is the list that `sys.path` was before a cell replaced it; in a new kernel both are one"
    ]
    assert plain["notes"] == []
    kernels.restore(plain, "import sys\nassert sys.path[-1] == '/pf'")


def test_attributes_of_functions_and_context_variables_of_a_module_come_back(kernels: Kernels) -> None:
    (kernels.directory / "pf_functions.py").write_text(
        "import contextvars\nUSER = contextvars.ContextVar('USER', default='nobody')\ndef plain(a, b=1): return a, b\n"
        "def counted():\n    counted.calls += 1\n    return counted.calls\ncounted.calls = 0\n"
        "def kept(key):\n    kept.__dict__.setdefault('seen', []).append(key)\n    return kept.seen"
    )

    saved = kernels.save(
        "import sys; sys.path.insert(0, '.')\nimport pf_functions\nfrom pf_functions import counted as count, kept",
        "count(); count(); kept('a'); pf_functions.plain.note = notes = []; pf_functions.plain.__defaults__ = (9,); pf_functions.USER.set('ann')\nNone",
    )

    assert saved["notes"] == []
    restored = kernels.restore(
        saved,
        "assert count() == 3 and kept('b') == ['a', 'b'] and pf_functions.plain(1) == (1, 9)\n"
        "assert pf_functions.plain.note is notes and pf_functions.USER.get() == 'ann'",
    )
    assert restored["notes"] == []
