"""What cannot be a workflow, or is not safe to read, is refused with a sentence, and nothing is written."""

import json
import os
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pauseflow_nb.errors import InvalidImport
from pauseflow_nb.pipedream.read_source import MOST_FILES
from pauseflow_nb.pipedream.write_project import import_workflows

ONE = json.dumps({"id": "p_1", "name": "One", "steps": [{"namespace": "a", "lang": "python3.12", "code": "1"}]})
YAML = "schema: workflow/2022.04\nname: One\nsteps:\n- namespace: a\n  runtime: python3.12\n  uses: ./a/entry.py\n"


def refusal(source: Path, folder: Path) -> str:
    with pytest.raises(InvalidImport) as refused:
        import_workflows(source, folder / "made")
    assert not (folder / "made").exists()
    assert [path for path in folder.iterdir() if path.name.startswith(".made")] == []
    return str(refused.value)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def pack(folder: Path, *members: tuple[str | zipfile.ZipInfo, str | bytes]) -> Path:
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.json", "{", "a.json is not JSON"),
        ("a.json", "", "a.json is not JSON"),
        ("a.json", '{"x": 1}', "it contains no Pipedream workflow"),
        ("a.json", "[1, 2]", "it contains no Pipedream workflow"),
        ("a.json", '{"steps": [1]}', "are not a list of steps"),
        ("a.json", '{"steps": [{"namespace": "a", "configured_props_json": "{"}]}', "_props_json in a.json is not JSON"),
        ("a.json", "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a.json", '{"steps": [' + ",".join(["{}"] * 300_000) + "]}", "more than 200,000 values"),
        ("a.yaml", "steps: [", "is not YAML"),
        ("a.yaml", "- just\n- a list\n", "it contains no Pipedream workflow"),
        ("a.yaml", "steps:\n- !!python/object:os.system {}\n", "is not YAML"),
        ("a.yaml", "steps: &a [*a]\n", "more than 200,000 values"),
        ("a.yaml", "steps: " + "[" * 3000 + "]" * 3000, "nest"),
        ("workflow.yaml", YAML.replace("./a/entry.py", "../../etc/passwd"), "lies outside of it"),
        ("workflow.yaml", YAML.replace("./a/entry.py", "/etc/passwd"), "lies outside of it"),
        ("a.zip", "no archive", "it is not a ZIP archive"),
        ("notes.txt", "buy milk", "it contains no Pipedream workflow"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_workflow_is_refused(tmp_path: Path, name: str, text: str, part: str) -> None:
    assert part in refusal(write(tmp_path / "in", name, text), tmp_path)


def test_a_yaml_bomb_is_refused_before_it_is_built(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]

    refused = refusal(write(tmp_path, "workflow.yaml", "\n".join(lines)), tmp_path)
    assert refused.endswith("workflow.yaml holds more than 200,000 values, with its aliases written out")
    assert refused.count("cannot be imported") == 1


def test_yaml_with_a_few_aliases_is_read(tmp_path: Path) -> None:
    text = "name: One\nsteps:\n- namespace: a\n  code: '1'\n  lang: python3\n  props: &p {x: 2024-01-01}\n- namespace: b\n  code: '2'\n  lang: python3\n  props: *p\n"
    (made,) = import_workflows(write(tmp_path, "workflow.yaml", text), tmp_path / "made").made

    assert made.workflow.steps[1].props == {"x": "2024-01-01"}


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "..\\evil.json", "C:/evil.json", "\\evil.json"]
)
def test_a_path_that_leads_out_of_an_archive_is_refused(tmp_path: Path, name: str) -> None:
    member = zipfile.ZipInfo("x")
    member.filename = name

    assert "leads out of it" in refusal(pack(tmp_path, (member, ONE)), tmp_path)


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("one.json")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16

    assert "is a symbolic link" in refusal(pack(tmp_path, (member, "/etc/passwd")), tmp_path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    assert "is larger than 8 MB" in refusal(pack(tmp_path, ("one.json", b" " * (64 * 2**20))), tmp_path)


def test_many_large_files_in_an_archive_are_not_unpacked(tmp_path: Path) -> None:
    members = [(f"{n}.json", ONE + " " * (7 * 2**20)) for n in range(20)]

    assert "more than 128 MB" in refusal(pack(tmp_path, *members), tmp_path)


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path) -> None:
    members = [(f"{n}.txt", "") for n in range(MOST_FILES + 1)]

    assert "more than 10,000 files" in refusal(pack(tmp_path, *members), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_holds_a_file_twice_is_refused(tmp_path: Path) -> None:
    assert "it holds one.json twice" in refusal(pack(tmp_path, ("one.json", ONE), ("one.json", ONE)), tmp_path)


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: int) -> None:
    path = pack(tmp_path, ("one.json", ONE))
    content = bytearray(path.read_bytes())
    content[cut : cut + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)

    assert "cannot be imported" in refusal(path, tmp_path)


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path, ("one.json", ONE))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)

    assert "make an archive without a password" in refusal(path, tmp_path)


def test_there_must_be_something_to_import(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    assert "it contains no Pipedream workflow" in refusal(tmp_path / "empty", tmp_path)


def test_a_link_in_a_folder_is_not_followed_and_the_step_says_so(tmp_path: Path) -> None:
    write(tmp_path / "in", "workflow.yaml", YAML)
    (tmp_path / "in" / "a").mkdir()
    (tmp_path / "in" / "a" / "entry.py").symlink_to("/etc/passwd")
    (made,) = import_workflows(tmp_path / "in", tmp_path / "made").made

    assert "a symbolic link" in made.to_do[0]
    assert "root:" not in (tmp_path / "made" / made.path).read_text()


def test_a_folder_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    source = write(tmp_path, "one.json", ONE)
    kept = write(tmp_path / "made", "mine.txt", "mine")
    with pytest.raises(InvalidImport, match="exists already: name another folder with -o"):
        import_workflows(source, tmp_path / "made")

    assert kept.read_text() == "mine"
    assert len(list((tmp_path / "made").iterdir())) == 1


def test_an_empty_folder_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()

    assert import_workflows(write(tmp_path, "one.json", ONE), tmp_path / "made").folder == tmp_path / "made"
    assert (tmp_path / "made" / "README.md").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InvalidImport, match="cannot be written"):
        import_workflows(write(tmp_path, "one.json", ONE), tmp_path / "locked" / "made")


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: {"data": one}, lambda one: {"data": [one]}, lambda one: [one], lambda one: {"name": "One", "workflow": one}])  # fmt: skip
def test_a_workflow_may_be_wrapped(tmp_path: Path, wrap: Callable[[object], object]) -> None:
    source = write(tmp_path, "one.json", json.dumps(wrap(json.loads(ONE))))
    (made,) = import_workflows(source, tmp_path / "made").made

    assert made.workflow.name == "One"


def test_what_only_the_manifest_knows_and_what_is_no_workflow_is_reported(tmp_path: Path) -> None:
    manifest = {
        "workflows": [
            {"id": "p_1", "name": "One", "status": "exported"},
            {"id": "p_2", "name": "Two", "error": "too large"},
        ]
    }
    source = pack(tmp_path, ("manifest.json", json.dumps(manifest)), ("f/one.json", ONE), ("f/other.json", '{"x": 1}'))
    report = import_workflows(source, tmp_path / "made")

    assert report.left_out == {
        "f/other.json": "no workflow: it has neither steps nor triggers",
        "manifest.json, p_2": "Two: too large. It is in the manifest only",
    }
    assert "Two: too large" in (tmp_path / "made" / "README.md").read_text()
