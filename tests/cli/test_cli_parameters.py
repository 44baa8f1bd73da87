"""Parameters are read as papermill reads them; what does not parse is named."""

import base64
from pathlib import Path

import nbformat
import pytest

from pauseflow_nb.cli.parameter_flags import resolve_parameters
from pauseflow_nb.errors import InvalidParameter
from pauseflow_nb.launching import fill_path
from pauseflow_nb.runner.notebook import freeze


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.6", 0.6),
        ("3", 3),
        ("True", True),
        ("False", False),
        ("None", None),
        ("true", "true"),
        ("a b", "a b"),
        ("", ""),
    ],
)
def test_a_typed_parameter_is_recognised_as_papermill_does(text: str, value: object) -> None:
    found = resolve_parameters(typed=[("x", text)])["x"]

    assert found == value
    assert type(found) is type(value)


def test_a_raw_parameter_stays_text() -> None:
    assert resolve_parameters(raw=[("x", "3")]) == {"x": "3"}


def test_nested_yaml_stays_nested_and_dates_stay_text() -> None:
    assert resolve_parameters(yaml=["{a: {b: [1, 2]}, day: 2026-11-20}"]) == {"a": {"b": [1, 2]}, "day": "2026-11-20"}


def test_yaml_whose_aliases_become_endless_text_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]

    with pytest.raises(InvalidParameter, match="more than 1000000 values"):
        resolve_parameters(yaml=["\n".join(lines)])


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", f"a: 0x{'f' * 6000}"])
def test_yaml_that_cannot_be_written_as_code_is_refused(tmp_path: Path, text: str) -> None:
    notebook = tmp_path / "in.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), notebook)

    with pytest.raises(InvalidParameter, match="cannot be written"):
        freeze(str(notebook), resolve_parameters(yaml=[text]))


def test_later_forms_win_in_papermills_order(tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text("x: file\ny: file\nz: file\n")
    encoded = base64.b64encode(b"x: base64\nw: base64").decode()

    found = resolve_parameters(
        base64_yaml=[encoded], files=[str(file)], yaml=["{y: yaml}"], typed=[("z", "typed")], raw=[("r", "raw")]
    )

    assert found == {"w": "base64", "x": "file", "y": "yaml", "z": "typed", "r": "raw"}


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"yaml": ["{a: ["]}, "-y"),
        ({"yaml": ["[1, 2]"]}, "-y"),
        ({"yaml": ["{1: a}"]}, "the name 1, which must be text"),
        ({"yaml": ["[" * 5000]}, "-y"),
        ({"yaml": ["a: " + "9" * 5000]}, "-y"),
        ({"yaml": ["a: !!bool x"]}, "-y"),
        ({"yaml": ["a: !!timestamp 2026-13-45"]}, "-y"),
        ({"base64_yaml": ["***"]}, "-b"),
        ({"base64_yaml": ["ä"]}, "-b"),
        ({"files": ["/no/such/file.yaml"]}, "/no/such/file.yaml"),
        ({"typed": [("not a name", "1")]}, "not a name"),
    ],
)
def test_a_parameter_that_does_not_parse_is_named(flags: dict[str, list[object]], named: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        resolve_parameters(**flags)  # type: ignore[arg-type]

    assert named in str(caught.value)


@pytest.mark.parametrize(
    "path", ["{x}", "{x.y}", "{x[0]}", "{a[y]}", "{a.y}", "{a!y}", "{", "{}", "{" + "a" * 300, "{\0"]
)
def test_a_path_that_parameters_cannot_be_filled_into_is_refused(path: str) -> None:
    with pytest.raises(InvalidParameter, match="the path names"):
        fill_path(path, {"a": 1})
