"""Whatever stands in an imported file stays data: no name, value or comment of it becomes code, a command or markup."""

import ast
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pauseflow_nb.cells import refuse_mistakes
from pauseflow_nb.errors import InvalidImport
from pauseflow_nb.pipedream.account_props import Accounts, convert_props
from pauseflow_nb.pipedream.code_scan import (
    find_account_fields,
    find_environment,
    find_npm_packages,
    find_python_packages,
)
from pauseflow_nb.pipedream.read_steps import MOST_CHARACTERS, MOST_STEPS
from pauseflow_nb.pipedream.workflow import Step
from pauseflow_nb.pipedream.workflow_shapes import MOST_WORKFLOWS
from pauseflow_nb.pipedream.write_project import Report, import_workflows

#: In Python, a shell, Markdown, HTML, `.env` and a terminal at once.
EVIL = (
    'x"\'); __import__("os").system("touch pwned") #\ntouch pwned\n```\ntouch pwned\n# Evil\n'
    "$(touch pwned) `touch pwned` ; touch pwned\r\n%%bash\ntouch pwned\n<script>alert(1)</script> [a](javascript:1)"
    "\x1b[2J\u202e\u2028touch pwned"
)


def step(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"namespace": name, "lang": "python3.12", "code": "1", **fields}


def make(folder: Path, *workflows: dict[str, Any], name: str = "export.json") -> Report:
    source = folder / name
    source.write_text(json.dumps({"workflows": workflows}), encoding="utf-8")
    return import_workflows(source, folder / "made")


def commands_in(text: str) -> list[str]:
    return re.findall(r"^```shell\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_in_shell(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in which only `touch` does anything."""
    harmless = "".join(f"{name}() {{ :; }}\n" for name in ("pauseflow", "pip", "npm", "cp"))
    shell = shutil.which("sh")
    if shell is None:
        pytest.skip("there is no sh")
    return subprocess.run([shell, "-c", harmless + script], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """Import what has an attack in each of its texts."""
    names = [
        EVIL,
        "a\n%%bash\ntouch pwned",
        "__import__('os')",
        "trigger",
        "class",
        "ﬁ",
        "fi",
        "é",
        "1st",
        "a b",
        "a-b",
        "",
    ]
    steps = [step(each, notes=None, props={EVIL: EVIL, "list": [EVIL, {EVIL: EVIL}]}) for each in names]
    steps += [
        step("account", props={"app": {"authProvisionId": EVIL}}, configurable_props=[{"name": "app", "type": "app", "app": EVIL}]),
        step("store", props={"db": {"storeId": EVIL}}),
        step("action", code=None, lang=None, component_key=EVIL, props={EVIL: EVIL}),
        step("shell", lang="bash", code=EVIL),
        step("off", disabled=True, code=EVIL),
        step("node", lang="nodejs20.x", code=f"import a from '{EVIL[:12]}';\nimport b from './$(touch pwned)`id`';"),
        step("packages", code="# pipedream add-package --index-url=http://evil.test\nimport x\nimport Ünicode\n"),
        step("broken", code=f"def (:\n{EVIL}"),
        step("lost", code=None, lang=None, uses="./$(touch pwned)`id`.py"),
        step("ways", code=None, lang=None, branches=[{"name": EVIL, "condition": EVIL, "steps": [step("inner", code=EVIL)]}]),
    ]  # fmt: skip
    triggers = [
        {"id": "ti_1", "cron": f"0 8 * * * {EVIL}", "timezone": EVIL},
        {"id": "ti_2", "cron": '0 8 * * *"; touch pwned; "', "timezone": "UTC"},
        {"id": "ti_3", "cron": "0 8 * * $(touch pwned)"},
        {"id": "ti_4", "cron": "0 8 * * *", "timezone": "$(touch pwned)"},
        {"id": EVIL, "type": EVIL, "name": EVIL},
        {"id": "dc_1", "name": EVIL, "props": {EVIL: EVIL}},
        EVIL,
    ]
    whole = {"id": EVIL, "name": EVIL, "steps": steps, "triggers": triggers, "settings": {EVIL: EVIL}, EVIL: EVIL}
    make(tmp_path, whole, {**whole, "name": "../../etc/passwd"}, {**whole, "name": "con"}, name="evil `id`.json")
    return tmp_path / "made"


def test_no_text_becomes_code_of_a_cell(evil: Path) -> None:
    for path in evil.rglob("*.ipynb"):
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        refuse_mistakes(enumerate(sources))
        for source in sources:
            head, _, body = source.partition("\n")
            if head == "%%step broken" or body.startswith("%%node\n"):
                continue
            assert re.fullmatch(r"%%setup|%%step \w+|from pauseflow_nb import flow, steps", head)
            for node in ast.walk(ast.parse(body)):
                assert not isinstance(node, ast.Call) or ast.unparse(node.func) in {
                    "flow.secret",
                    "NotImplementedError",
                }


def test_the_props_are_what_they_were(evil: Path) -> None:
    notebook = nbformat.read(next(evil.rglob("*.ipynb")), 4)
    setup = next(cell.source for cell in notebook.cells if cell.source.startswith("%%setup"))
    made = ast.parse(setup.partition("\n")[2]).body[-1]
    assert isinstance(made, ast.Assign)
    assert isinstance(made.value, ast.Dict)
    props = dict(zip(map(ast.literal_eval, filter(None, made.value.keys)), made.value.values, strict=True))

    assert ast.literal_eval(props["step_class"]) == {EVIL: EVIL, "list": [EVIL, {EVIL: EVIL}]}


def test_no_text_becomes_a_command_that_people_copy(evil: Path) -> None:
    texts = [(evil / "README.md").read_text(encoding="utf-8")]
    for path in evil.rglob("*.ipynb"):
        texts += [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    scripts = [script for text in texts for script in commands_in(text)]
    assert any("trigger add" in script for script in scripts)
    for script in scripts:
        run_in_shell(evil, script)

    assert not list(evil.rglob("pwned"))


def test_the_example_of_the_environment_only_sets_variables(evil: Path) -> None:
    ended = run_in_shell(evil, "set -a; . ./.env.example")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert not list(evil.rglob("pwned"))
    for line in (evil / ".env.example").read_text(encoding="utf-8").split("\n"):
        assert re.fullmatch(r"#.*|[A-Za-z_][A-Za-z0-9_]*=|", line)


def test_requirements_hold_only_names_of_packages(evil: Path) -> None:
    assert (evil / "requirements.txt").read_text(encoding="utf-8").split() == ["pauseflow-nb[node]"]
    assert "is not a plain package name" in (evil / "README.md").read_text(encoding="utf-8")


def test_no_text_becomes_a_heading_html_or_a_sequence_for_the_terminal(evil: Path) -> None:
    readme = (evil / "README.md").read_text(encoding="utf-8")
    outside_code = re.sub(r"(`+).*?\1", "", readme)

    assert len(re.findall(r"^#", readme, re.MULTILINE)) == 1 + 1 + 3
    assert re.search(r"(?<!\\)<|(?<!\\)\[(?!.*\.ipynb\])", outside_code) is None
    assert not re.search("[\x1b\u202e\u2028\r]", readme)


def test_folders_have_plain_names_inside_of_the_project(evil: Path) -> None:
    assert sorted(path.name for path in evil.parent.iterdir()) == ["evil `id`.json", "made"]
    for path in evil.iterdir():
        assert path.is_file() or re.fullmatch(r"[\w-]{1,70}", path.name)
        assert path.name != "con"


@pytest.mark.parametrize(
    ("props", "hidden"),
    [
        ({"apiKey": "s3cr3t"}, 1),
        ({"auth": {"type": "bearer", "token": "s3cr3t"}}, 1),
        ({"headers": [{"name": "Authorization", "value": "Bearer s3cr3t"}, {"name": "Accept", "value": "*/*"}]}, 1),
        ({"headers": [{"name": "X-Api-Key", "value": "s3cr3t"}, {"name": "Cookie", "value": "s3cr3t"}]}, 2),
        ({"deep": {"er": [{"password": "s3cr3t"}, {"password": "s3cr3t-2"}]}}, 2),
        ({"token": ["s3cr3t"]}, 1),
    ],
)
def test_a_secret_value_is_not_copied_wherever_it_stands(tmp_path: Path, props: dict[str, Any], hidden: int) -> None:
    source = tmp_path / "one.json"
    fields = {"settings": props, "triggers": [{"id": "hi_1", "props": props, "more": props}], "extra": props}
    one = {
        "name": "One",
        "steps": [step("a", props=props, other=props), step("b", disabled=True, props=props)],
        **fields,
    }
    source.write_text(json.dumps(one))
    (made,) = import_workflows(source, tmp_path / "made").made

    assert len(made.secrets) == hidden
    assert "s3cr3t" not in "".join(path.read_text() for path in (tmp_path / "made").rglob("*") if path.is_file())


def test_templates_in_secret_props_stay() -> None:
    made = convert_props(Step("a", "node", "a", props={"token": "{{process.env.TOKEN}}"}), Accounts())

    assert made.values == {"token": "{{process.env.TOKEN}}"}
    assert made.secrets == {}


def test_two_accounts_of_one_app_are_two_secrets(tmp_path: Path) -> None:
    code = "def handler(pd):\n    return pd.inputs['slack']['$auth']['oauth_access_token']\n"
    named = {"configurable_props": [{"name": "slack", "type": "app", "app": "slack"}]}
    mine, theirs = ({"slack": {"authProvisionId": each}} for each in ("apn_1", "apn_2"))
    report = make(
        tmp_path,
        {
            "name": "One",
            "steps": [step("a", code=code, props=mine, **named), step("b", code=code, props=theirs, **named)],
        },
        {"name": "Two", "steps": [step("c", code=code, props=theirs, **named)]},
    )

    assert [list(each.secrets) for each in report.made] == [
        ["SLACK_OAUTH_ACCESS_TOKEN", "SLACK_2_OAUTH_ACCESS_TOKEN"],
        ["SLACK_2_OAUTH_ACCESS_TOKEN"],
    ]


LONG = MOST_CHARACTERS // 4


@pytest.mark.every(3)
@pytest.mark.parametrize(
    "code",
    [
        "/*" * (LONG // 2),
        "import " * (LONG // 8),
        "import {" + "a, " * (LONG // 4),
        "export {a} " * (LONG // 16) + "from",
        "import" + " " * LONG,
        "require(" * (LONG // 8),
        "from '" * (LONG // 8),
        "import a from 'b';" * (LONG // 20),
        "{ " * (LONG // 2) + "} = this.",
        "inputs[" * (LONG // 8),
        "process.env[" * (LONG // 16),
        "//" * (LONG // 2),
        "from pipedream.script_helpers import " + " " * LONG + "!",
        "# /// script\n" * (LONG // 16),
        "\n" * LONG,
        " " * LONG + "x",
        "# pipedream add-package a\n" * (LONG // 64) + "import a\n" * (LONG // 64),
    ],
    ids=lambda code: f"{code[:12]!r}",
)
def test_code_that_is_made_to_be_slow_is_read_at_once(tmp_path: Path, code: str) -> None:
    """A search that goes back would take hours for each of these, and the test would be ended."""
    find_npm_packages(code)
    find_environment(code)
    find_account_fields(code)
    make(tmp_path, {"name": "One", "steps": [step("py", code=code), step("js", code=code, lang=None)]})


@pytest.mark.parametrize("code", ["-" * 100_000 + "1", "a" + ".b" * 100_000, "[" * 5000, "1" + "+1" * 100_000, "\0"])
def test_code_that_python_cannot_parse_is_left_to_hands(tmp_path: Path, code: str) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        find_python_packages(code)
    report = make(tmp_path, {"name": "One", "steps": [step(code=code)]})

    assert "Python cannot read the code of `a`" in report.made[0].to_do[0]


@pytest.mark.parametrize(
    ("workflows", "part"),
    [
        ([{"name": "One", "steps": [step(code="x" * (MOST_CHARACTERS + 1))]}], "the code of step 'a' in export.json is larger"),
        ([{"name": "One", "steps": [step()] * (MOST_STEPS + 1)}], "more than 1,000 steps"),
        ([{"name": "One", "steps": []}] * (MOST_WORKFLOWS + 1), "more than 2,000 workflows"),
        ([{"name": "One", "steps": [step(props={"a": float("nan")})]}], "NaN is not a value of JSON"),
        ([{"name": "One", "steps": [step(props={"a": float("inf")})]}], "Infinity is not a value of JSON"),
        ([{"name": "half \ud83d", "steps": []}], "half of a character"),
        ([{"name": "One", "steps": [step(props={"half \ud83d": 1})]}], "half of a character"),
        ([{"name": "One", "steps": [step(code=None, lang=None, uses="//etc/passwd")]}], "lies outside of it"),
        ([{"name": "One", "steps": [step(code=None, lang=None, uses="./a/../../b.py")]}], "lies outside of it"),
    ],
)  # fmt: skip
def test_what_is_too_large_or_no_json_is_refused(tmp_path: Path, workflows: list[dict[str, Any]], part: str) -> None:
    with pytest.raises(InvalidImport, match=re.escape(part)):
        make(tmp_path, *workflows)

    assert not (tmp_path / "made").exists()


def test_a_broken_file_among_others_is_left_out_and_listed(tmp_path: Path) -> None:
    for name, text in {
        "a/workflow.yaml": "steps: [",
        "b/workflow.yaml": "name: B\nsteps: []\n",
        "tsconfig.json": "{ // no",
    }.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    report = import_workflows(tmp_path / "in", tmp_path / "made")

    assert [each.workflow.name for each in report.made] == ["B"]
    assert set(report.left_out) == {"a/workflow.yaml", "tsconfig.json"}


def test_a_definition_alone_reads_only_the_files_that_its_steps_name(tmp_path: Path) -> None:
    text = "name: One\nsteps:\n- {namespace: a, runtime: python3, uses: ./a.py}\n- {namespace: b, runtime: python3, uses: ./b.py}\n"
    (tmp_path / "workflow.yaml").write_text(text)
    (tmp_path / "a.py").write_text("1 + 1")
    (tmp_path / "b.py").symlink_to("/etc/passwd")
    (tmp_path / "other.json").write_text("{")
    for number in range(50):
        (tmp_path / f"{number}.txt").touch()
    report = import_workflows(tmp_path / "workflow.yaml", tmp_path / "made")

    assert [each.code for each in report.made[0].workflow.steps] == ["1 + 1", None]
    assert "a symbolic link" in report.made[0].to_do[0]
    assert report.left_out == {}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text("{}")
    (tmp_path / "one.json").chmod(0)
    with pytest.raises(InvalidImport, match="cannot be read: Permission denied"):
        import_workflows(tmp_path / "one.json", tmp_path / "made")


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_compressed_in_an_unusual_way_is_refused(tmp_path: Path, kind: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", kind) as archive:
        archive.writestr("one.json", "{}")
    with pytest.raises(InvalidImport, match="make an ordinary ZIP archive"):
        import_workflows(tmp_path / "a.zip", tmp_path / "made")


def test_damage_of_any_kind_ends_in_one_sentence(tmp_path: Path) -> None:
    """An archive with some bytes changed or cut off is refused, or read; no other error comes out of it."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("manifest.json", "a.json", "b/workflow.yaml"):
            archive.writestr(name, json.dumps({"name": name, "steps": [step()]}))
    whole = path.read_bytes()
    chance = random.Random(20)
    for number in range(150):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.randrange(len(content))] if chance.random() < 0.2 else content)
        with contextlib.suppress(InvalidImport):
            import_workflows(path, tmp_path / f"made-{number}")
