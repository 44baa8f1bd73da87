"""Long chains of objects, pickled in C where that goes deep enough, and in Python elsewhere."""

import sys

import pytest
from kernel_snapshot.conftest import Kernels

MAKE = """
import collections
class Node:
    def __init__(self, to): self.to, self.near = to, collections.OrderedDict(to=[to])
    def __reduce__(self): return make, (len(self.near),), vars(self)
def make(count): return Node.__new__(Node)
ends = (1, 2.5, True, None, 'x', b'y', {3}, frozenset({4}), bytearray(b'z'), lambda: ends)
chain = both = [ends]
for _ in range(20_000): chain = Node({'to': (chain, chain)})
"""

CHECK = """
links, at = 0, chain
while isinstance(at, Node):
    links, (at, again), (near,) = links + 1, at.to['to'], at.near.values()
    assert at is again and near[0]['to'][0] is at
assert links == 20_000 and at is both and at[0] is ends and ends[:9] == (1, 2.5, True, None, 'x', b'y', {3}, {4}, b'z')
assert ends[2] is True and ends[9]() is ends
"""


@pytest.mark.every(2)
@pytest.mark.parametrize("pickler", ["DeepPickler", "SnapshotPickler"])
def test_what_is_linked_deeply_is_the_same_whichever_pickler_wrote_it(kernels: Kernels, pickler: str) -> None:
    if pickler == "SnapshotPickler" and sys.version_info >= (3, 12):
        pytest.skip("the C pickler gives up after some thousand links since Python 3.12")
    choose = (
        f"import pauseflow_nb.kernel.snapshot.pickling.recursion as deep; deep._any_depth = deep.{pickler}; del deep"
    )

    saved = kernels.save(choose, MAKE)

    assert saved["unsaved"] == {}
    kernels.restore(saved, CHECK)


def test_arrays_at_the_end_of_a_long_chain_are_stored_as_they_lie(kernels: Kernels) -> None:
    pytest.importorskip("numpy")
    choose = (
        "import pauseflow_nb.kernel.snapshot.pickling.recursion as deep; deep._any_depth = deep.DeepPickler; del deep"
    )

    saved = kernels.save(
        choose,
        "import numpy as np\na = np.ones(1_000_000); chain = [a, a[5:]]\nfor _ in range(20_000): chain = [chain]",
    )

    kernels.restore(
        saved, "while len(chain) == 1: chain = chain[0]\nchain[1][0] = 7; assert chain[0] is a and a[5] == 7"
    )
