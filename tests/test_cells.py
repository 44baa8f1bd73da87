"""The first line of a cell: which words it may hold, and what is said about the others."""

import keyword
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb.cells import Header, StepOptions, find_steps, read_header
from pauseflow_nb.errors import InvalidStep

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name) and name != "trigger"
)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "x = 1",
        "%%time\nx",
        "# %%step a",
        "x = 1\n%%step a",
        "%step a",
        "%%steps a",
        "%%setup_all",
        "%% step a",
        "'%%step a'",
    ],
)
def test_a_plain_cell_has_no_header(source: str) -> None:
    assert read_header(source) is None


@pytest.mark.parametrize(
    "source",
    [
        "%%step train",
        "%%step train\nx = 1",
        "\n\n  %%step   train  \nx",
        "%%step\ttrain\r\nx = 1\r\n",
        '%%step "train"',
    ],
)
def test_a_step_has_a_name(source: str) -> None:
    assert read_header(source) == Header("step", "train")


@pytest.mark.parametrize("source", ["%%setup", "%%setup\nimport os", "\n %%setup  \r\n"])
def test_a_setup_has_none(source: str) -> None:
    assert read_header(source) == Header("setup")


@pytest.mark.parametrize("source", ["%%setup connection", "%%setup --timeout 1s"])
def test_a_setup_takes_nothing(source: str) -> None:
    with pytest.raises(InvalidStep, match="takes no name and no options"):
        read_header(source)


@given(names)
def test_every_identifier_is_a_name(name: str) -> None:
    assert read_header(f"%%step {name}\n1 + 1") == Header("step", name)


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("train-model", "train_model"),
        ("a.b", "a_b"),
        ("a,b", "a_b"),
        ("'a b'", "a_b"),
        ("train()", "train"),
        ("2nd", "approve_model"),
        ("class", "approve_model"),
        ("None", "approve_model"),
    ],
)
def test_other_names_are_refused_with_an_example(name: str, example: str) -> None:
    with pytest.raises(InvalidStep, match=f"must be a Python identifier, such as `{example}`"):
        read_header(f"%%step {name}")


def test_a_name_of_python_itself_is_refused() -> None:
    """`steps.__class__` would not be the step."""
    with pytest.raises(InvalidStep, match="reserved"):
        read_header("%%step __class__")


@pytest.mark.parametrize("source", ["# why\n%%step a\n1", "\n# one\n\n  # two\n%%step a", "#\n%%setup\n1"])
def test_a_header_below_comments_is_said_before_anything_runs(source: str) -> None:
    with pytest.raises(InvalidStep, match="must stand in the first line of its cell, above all comments"):
        read_header(source)


@pytest.mark.parametrize("source", ["# write %%step a", 'x = """\n%%step a"""', "# one\nx = 1\n# %%step a"])
def test_a_header_that_is_only_mentioned_is_none(source: str) -> None:
    assert read_header(source) is None


def test_trigger_is_reserved() -> None:
    with pytest.raises(InvalidStep, match=r"step 'trigger' \(cell 5\): this name is reserved"):
        read_header("%%step trigger", cell=4)


def test_a_name_is_spelled_as_python_spells_it() -> None:
    """Python normalises identifiers: `steps.ﬁt` asks for `fit`."""
    assert read_header("%%step ﬁt") == Header("step", "fit")


@pytest.mark.parametrize(
    "source", ["%%step", "%%step   ", "%%step\ntrain", "%%step --retries 3", "%%step --timeout 1m train"]
)
def test_a_step_without_a_name_is_told_what_to_write(source: str) -> None:
    with pytest.raises(InvalidStep, match="a step needs a name: write `%%step NAME`"):
        read_header(source)


def test_options_are_read() -> None:
    header = read_header("%%step fetch --timeout 10m --retries 3 --retry-delay=30s --backoff 2\nx")

    assert header is not None
    assert header.options == StepOptions(timedelta(minutes=10), 3, timedelta(seconds=30), 2.0)


def test_an_option_may_be_quoted() -> None:
    header = read_header('%%step fetch --timeout "1 h 30 m"')

    assert header is not None
    assert header.options.timeout == timedelta(minutes=90)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--timeout 10", "--timeout='10' must look like"),
        ("--timeout", "--timeout needs a value, such as --timeout 10m"),
        ("--timeout --retries 3", "--timeout needs a value"),
        ('--timeout ""', "--timeout='' must look like"),
        ("--timeout 0s", "must be between 1 ms and 1 year"),
        ("--retry-delay soon", "--retry-delay='soon' must look like"),
        ("--retries three", "--retries must be a whole number, 0 or more, not 'three'"),
        ("--retries -1", "--retries must be a whole number, 0 or more"),
        ("--retries 99999999999999999999", "--retries must be a whole number"),
        ("--backoff 0.5", "--backoff must be a number between 1 and 1000"),
        ("--backoff nan", "--backoff must be a number between 1 and 1000"),
        ("--backoff inf", "--backoff must be a number between 1 and 1000"),
        ("--retry 3", "there is no option --retry: did you mean --retries?"),
        ("--retry_delay 3s", "there is no option --retry_delay: did you mean --retry-delay?"),
        ("--Timeout=10m", "did you mean --timeout?"),
        ("--help", "there is no option --help; there are --timeout, --retries, --retry-delay, --backoff"),
        ("-r 3", "there is no option -r; there are"),
        ("another", "a name is one word: write `%%step fetch_another`"),
        ("the data --retries 3", "write `%%step fetch_the_data`"),
        ("7 -x", "write `%%step fetch_7`"),
        ("all-data", "a name is one word: write `%%step approve_model`"),
        ("timeout=10m", "options begin with two dashes: write --timeout=10m"),
        ("# why", "a comment must stand on a line of its own, below the first"),
        ('--timeout "10m', "cannot be read: No closing quotation"),
    ],
)
def test_other_options_are_refused_with_the_reason(options: str, complaint: str) -> None:
    with pytest.raises(InvalidStep) as caught:
        read_header(f"%%step fetch {options}", cell=0)

    assert complaint in str(caught.value)
    assert "(cell 1)" in str(caught.value)


def test_nothing_is_printed_and_nothing_exits(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse does both, left alone."""
    with pytest.raises(InvalidStep):
        read_header("%%step fetch --retries x")

    assert capsys.readouterr() == ("", "")


@given(st.text())
def test_any_line_is_read_or_refused_and_nothing_else(line: str) -> None:
    try:
        read_header(f"%%step {line}")
    except InvalidStep:
        return


def test_the_steps_of_a_notebook_are_found_by_cell() -> None:
    found = find_steps([(0, "x = 1"), (2, "%%setup"), (3, "%%step a"), (7, "%%step b\n1")])

    assert found == {2: Header("setup"), 3: Header("step", "a"), 7: Header("step", "b")}


def test_several_setups_are_fine() -> None:
    assert len(find_steps([(0, "%%setup"), (1, "%%setup")])) == 2


def test_a_name_twice_names_both_cells() -> None:
    with pytest.raises(InvalidStep, match=r"step 'a' \(cell 6\): cell 2 has this name already"):
        find_steps([(1, "%%step a"), (5, "%%step a")])


def test_spelled_differently_and_the_same_to_python_is_twice() -> None:
    with pytest.raises(InvalidStep, match="has this name already"):
        find_steps([(1, "%%step fit"), (5, "%%step ﬁt")])


def test_a_bad_cell_is_named_by_its_place() -> None:
    with pytest.raises(InvalidStep, match=r"\(cell 4\)"):
        find_steps([(0, "%%step a"), (3, "%%step 1")])
