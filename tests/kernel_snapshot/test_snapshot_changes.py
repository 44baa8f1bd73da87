"""Every way to change memory is noticed by the next save, whatever the operating system told about it."""

import pytest
from kernel_snapshot.conftest import Kernels, cell

from pauseflow_nb.kernel.snapshot.storage.packfile import CHUNK

MAKE = """
import numpy as np, random, hashlib
a = np.zeros(2_000_000); b = a[500_000:1_500_000]; c = np.zeros((1500, 1000), 'i4'); f = np.asfortranarray(np.ones((900, 900)))
ro = np.ones(500_000); ro.flags.writeable = False; keep = {'x': np.arange(300_000)}; made = None; r = random.Random(SEED)
def digest():
    parts = [a, b, c, f, ro, keep['x'], made]
    return hashlib.sha256(b''.join(np.ascontiguousarray(p).tobytes() for p in parts if p is not None)).hexdigest()
"""
CHANGES = """
what = r.randrange(9)
if what == 0: a[r.randrange(a.size)] += 1
elif what == 1: b[::97] += 1
elif what == 2: c[:, r.randrange(1000)] += 1
elif what == 3: np.add(f, 1, out=f)
elif what == 4: keep['x'] = keep['x'] + 1
elif what == 5: made = np.zeros(1_000_000)
elif what == 6: made = None
elif what == 7: memoryview(a).cast('B')[8 * r.randrange(a.size)] = 1
elif what == 8:
    import io
    io.BytesIO(bytes([r.randrange(256)]) * 4096).readinto(memoryview(c).cast('B')[40_960:45_056])
wanted = digest()
"""


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("seed", "turns"), [(1, 8), *[pytest.param(s, 60, marks=pytest.mark.slow) for s in range(2, 10)]]
)
def test_no_change_is_missed(kernels: Kernels, seed: int, turns: int) -> None:
    pytest.importorskip("numpy")
    save = {"do": "save", "folder": kernels.folder}
    changes = [action for _ in range(turns) for action in (cell(CHANGES), save)]
    saved = kernels.run(cell(MAKE.replace("SEED", str(seed))), *changes)[-1]

    # The second half happens in memory that was mapped from the first.
    restore = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}
    answers = kernels.run(restore, cell("assert digest() == wanted"), *changes)

    assert [answer["error"] for answer in answers if answer.get("error")] == []
    saves = [answer for answer in answers if "ref" in answer]
    for answer in (saved, saves[0], saves[turns // 2]):
        kernels.restore(answer, "assert digest() == wanted")
    kernels.restore(answers[-1], "assert digest() == wanted\nb[0] = -7\nassert a[500_000] == -7")


def test_an_array_whose_parts_repeat_comes_back_in_their_order(kernels: Kernels) -> None:
    """Each part is stored once, so that what follows it there is not what follows it in the array."""
    pytest.importorskip("numpy")
    make = (
        f"import numpy as np\npart = {CHUNK} // 8; order = [0, 1, 0, 2, 1, 0, 0, 3]\n"
        "a = np.empty((len(order), part)); a[:] = np.array(order, float)[:, None]; a += np.linspace(0, 0.5, part)"
    )
    saved = kernels.save(make)

    kernels.restore(saved, "assert (a == np.array(order, float)[:, None] + np.linspace(0, 0.5, part)).all()")


def test_memory_that_was_given_back_and_taken_again_is_written(kernels: Kernels) -> None:
    """A new array of zeros at the address of a saved one has pages that nobody ever wrote to."""
    pytest.importorskip("numpy")
    save = {"do": "save", "folder": kernels.folder}
    again = "where = a.ctypes.data\ndel a\na = np.zeros(4_000_000)\nsame = a.ctypes.data == where"

    _, first, _, second = kernels.run(cell("import numpy as np\na = np.ones(4_000_000)"), save, cell(again), save)

    kernels.restore(first, "assert a.all()")
    kernels.restore(second, "assert not a.any()")
    restore = {"do": "restore", "folder": kernels.folder, "ref": first["ref"]}
    *_, third = kernels.run(restore, cell("import numpy as np\n" + again), save)
    kernels.restore(third, "assert not a.any()")


def test_what_a_cell_added_to_a_list_of_a_package_comes_back_and_the_list_is_the_packages(kernels: Kernels) -> None:
    saved = kernels.save(
        "from pathlib import Path; import sys; site = Path('home/lib/site-packages'); site.mkdir(parents=True)\n"
        "(site / 'pf_installed.py').write_text('REGISTRY = [1]')\n"
        "sys.path.append(str(site.resolve())); from pf_installed import REGISTRY; REGISTRY.append(2)"
    )

    kernels.restore(saved, "import pf_installed; assert REGISTRY is pf_installed.REGISTRY == [1, 2]")
