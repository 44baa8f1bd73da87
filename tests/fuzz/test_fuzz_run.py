"""That a fuzz run finds faults of every sort, keeps their inputs, and goes on."""

import math
from pathlib import Path
from typing import Any

import pytest
from fuzz.campaign import Result, run_target
from fuzz.findings import Finding, Findings, read_input


def run(name: str, folder: Path, count: int = 200, **options: Any) -> Result:
    return run_target(name, count, 1, folder, module="fuzz.planted", restarts=1, **options)


def test_what_holds_is_tried_as_often_as_was_asked(tmp_path: Path) -> None:
    result = run("good", tmp_path / "findings")

    assert (result.tried, result.findings) == (200, {})
    assert not (tmp_path / "findings").exists()


def test_a_fault_is_found_counted_and_kept_with_its_input(tmp_path: Path) -> None:
    result = run("raises", tmp_path)

    ((kind, (times, file)),) = result.findings.items()
    assert kind.startswith("AssertionError fuzz/planted.py:")
    assert times > 1
    assert result.tried == 200
    name, given = read_input(Path(file))
    assert name == "raises"
    assert given == 0, "the smallest that it met"
    assert "a planted fault" in Path(file).read_text()


def test_faults_of_two_kinds_are_two_findings(tmp_path: Path) -> None:
    kinds = {kind.partition(" ")[0] for kind in run("raises two", tmp_path).findings}

    assert kinds == {"KeyError", "ValueError"}


@pytest.mark.slow
def test_an_input_that_hangs_is_found_and_the_run_goes_on(tmp_path: Path) -> None:
    result = run("hangs", tmp_path, hang_seconds=4)

    _times, file = result.findings["hang"]
    assert read_input(Path(file))[1] % 10 == 0
    assert "no end within 4 s" in Path(file).read_text()


def test_an_input_that_ends_the_process_is_found(tmp_path: Path) -> None:
    result = run("dies", tmp_path)

    _times, file = result.findings["the process ended with 7"]
    assert read_input(Path(file))[1] % 50 == 0


def test_an_input_that_takes_the_processor_for_itself_is_found(tmp_path: Path) -> None:
    result = run("loops", tmp_path, 12)

    assert [kind.partition(" ")[0] for kind in result.findings] == ["TooSlow"]


@pytest.mark.parametrize(
    "given",
    [b"\x00\xff'\"", "\ud800 ä\n# input = 1", {"a": [math.inf, -math.inf, 1e308], "b": (None, True)}, 10**400, ""],
)
def test_an_input_of_any_sort_comes_back_from_its_file(given: Any, tmp_path: Path) -> None:
    findings = Findings(tmp_path)
    findings.add(Finding("links", "ValueError x", given, "what it said:\ninput = 2"))

    (file,) = tmp_path.iterdir()
    assert read_input(file) == ("links", given)


def test_another_file_is_no_finding(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nothing")

    with pytest.raises(ValueError, match="holds no finding"):
        read_input(tmp_path / "x")
