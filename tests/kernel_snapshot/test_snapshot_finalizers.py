"""Objects that a save or a restore makes and drops do nothing when they go: they are not the notebook's."""

import pytest
from kernel_snapshot.conftest import Kernels, cell

#: Each drops its lines into a list, as another would remove a file or close a connection.
CLASSES = {
    "that is loaded on trial": "    def __getstate__(self): return {'x': 1}\n    def __setstate__(self, state): self.__dict__ = state",
    "that cannot be loaded": "    def __setstate__(self, state): raise ValueError('no')",
    "that is part of a circle": "    def __setstate__(self, state): self.me = self; raise ValueError('no')",
    "that makes itself": "    def __reduce__(self): return Gone, ()",
    "whose base has it": "    pass\nclass Gone(Gone):\n    def __setstate__(self, state): self.__dict__ = state",
}


@pytest.mark.parametrize("what", CLASSES)
def test_saving_finalizes_no_copy_of_an_object(what: str, kernels: Kernels) -> None:
    make = f"class Gone:\n    def __init__(self): self.x = 1\n    def __del__(self): open('gone.txt', 'a').write(str(self.x))\n{CLASSES[what]}\ngone = Gone()"
    save = {"do": "save", "folder": kernels.folder}

    *_, collected, ended = kernels.run(
        cell(make),
        save,
        save,
        cell("import gc, os; gc.collect()\nassert not os.path.exists('gone.txt'), open('gone.txt').read()"),
        cell("del gone; gc.collect()\nassert open('gone.txt').read() == '1'"),
    )

    assert collected["error"] is None, collected["error"]
    # What it does when the notebook drops it, it still does.
    assert ended["error"] is None, ended["error"]


def test_an_open_progress_bar_is_quiet(kernels: Kernels) -> None:
    pytest.importorskip("tqdm")
    kernels.run(
        cell("from tqdm import tqdm\nbar = tqdm(total=10); bar.update(3)\nclass Own(tqdm): pass\nother = Own(total=2)"),
        {"do": "save", "folder": kernels.folder},
        cell("import gc; gc.collect()"),
    )

    text = (kernels.directory / "answers-1.txt").read_text()
    assert "Exception ignored" not in text
    assert "RecursionError" not in text


def test_half_an_object_is_quiet_when_it_cannot_be_restored(kernels: Kernels) -> None:
    (kernels.directory / "pf_half.py").write_text(
        "class Half:\n    def __init__(self): self.x = 1\n    def __del__(self): print('dropped', self.x)\n"
        "    def __setstate__(self, state): self.me = self; self.__dict__.update(state)\n"
    )
    saved = kernels.save("import sys; sys.path.insert(0, '.')\nfrom pf_half import Half\nhalf = Half()\nkept = 5")
    source = (kernels.directory / "pf_half.py").read_text()
    (kernels.directory / "pf_half.py").write_text(
        source.replace("self.__dict__.update(state)", "raise ValueError('changed since it was saved')")
    )

    restored = kernels.restore(saved, "import gc; gc.collect()\nassert kept == 5")

    assert "ValueError: changed" in restored["unrestored"]["half"]["reason"]
    text = (kernels.directory / f"answers-{kernels.count}.txt").read_text()
    assert "Exception ignored" not in text
