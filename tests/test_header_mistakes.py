"""A cell in which a header was meant and is none is refused before anything runs, by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb.cells import find_mistake, refuse_mistakes
from pauseflow_nb.errors import InvalidStep

LATE = "must stand in the first line of its cell: put it into a cell of its own"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x=1\n%%step a", f"step 'a': `%%step` {LATE}"),
        ("x=1\n\n  %%step a --retries 3\n2", f"step 'a': `%%step` {LATE}"),
        ("x = '''text'''\n%%step a", LATE),
        ('x = "it\'s"\n%%step a', LATE),
        ("!echo it's\n%%step a", LATE),
        ("import numpy  # it's\n%%setup", f"`%%setup` {LATE}"),
        ("%%step a\nx = 1\n%%step b", f"step 'b': `%%step` {LATE}"),
        ("%%time\n%%step a", f"step 'a': `%%step` {LATE}"),
        ("%%capture out\n%%step a", f"step 'a': `%%step` {LATE}"),
        ("%matplotlib inline\n%%step a", LATE),
        ("%step a", "step 'a': `%step` needs two percent signs and the first line of its cell: write `%%step`"),
        ("x = 1\n%step a\n", "step 'a': `%step` needs two percent signs"),
        ("%setup", "`%setup` needs two percent signs"),
        ("%% step a", "step 'a': write `%%step` without a space after the percent signs"),
        ("%%steps a", "there is no cell magic `%%steps`: did you mean `%%step NAME` or `%%setup`?"),
        ("%%Step a\n1", "there is no cell magic `%%Step`: did you mean"),
        ("%%stpe a", "did you mean"),
        ("%%set_up", "did you mean"),
    ],
)
def test_what_was_meant_as_a_header_is_named(source: str, sentence: str) -> None:
    mistake = find_mistake(source)

    assert mistake is not None
    assert sentence in str(mistake)
    with pytest.raises(InvalidStep, match=r"cell 3"):
        refuse_mistakes([(0, "1"), (2, source)])


@pytest.mark.parametrize(
    "source",
    [
        'x = """\n%%step a\n"""',
        "x = '''\n%step a",
        "%%writefile notes.txt\n%%step a\n%step b",
        "%%bash\n%%step a",
        "# a comment\n# %%step a",
        "%step?",
        "%%step?",
        "%%steps?",
        "%%stop",
        "%%time\n1",
        "x = 7 %step",
        "print('''a''' + \"%%step a\")",
        "%stepper 3",
        "%%step a\nx = 1",
        "",
    ],
)
def test_what_only_looks_like_a_header_is_left_alone(source: str) -> None:
    assert find_mistake(source) is None


def test_a_magic_that_there_is_is_no_mistake() -> None:
    assert find_mistake("%%steps a", is_known=lambda word: word == "steps") is None


@given(st.text(alphabet="%step a\n\"'#=\\"))
def test_any_cell_is_read(source: str) -> None:
    find_mistake(source * 50)
