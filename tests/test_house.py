"""The tree stays as easy to read as docs/design.md promises."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pauseflow_nb"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "migrations" not in path.parts
}
PANEL = sorted(path for path in (ROOT / "labextension" / "src").rglob("*") if path.suffix in {".ts", ".tsx"})

LONGEST = 450
SHORTEST = 40

#: Short files with one importer, or none, that stand alone for a reason.
SEAMS = {
    "pauseflow_nb.kernel.import_ahead": "fork servers and kernels that are started ahead import it by its name",
    "pauseflow_nb.__main__": "`python -m pauseflow_nb`",
    "pauseflow_nb.json_logs": "`pauseflow serve` gives Jupyter Server the name of its class",
    "pauseflow_nb.papermill": "the former place of compat.papermill",
    "pauseflow_nb.prefect": "the former place of compat.prefect",
    "pauseflow_nb.scheduler": "the former place of compat.scheduler",
}

#: Files that share a name and mean the same thing in two places.
SAME_NAME = {
    "__init__": "packages",
    "papermill": "the former place and the new one",
    "prefect": "the former place and the new one",
    "scheduler": "the former place and the new one",
}


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports, also for typing and inside functions."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found & MODULES.keys()


def lines_of(path: Path) -> int:
    return len(text_of(path).splitlines())


# Each test looks at all files and lists those that offend: a test for each file would be 1,500 tests that cost more than they do.
def test_no_file_has_more_than_450_lines() -> None:
    assert {shown(path): lines_of(path) for path in [*MODULES.values(), *PANEL] if lines_of(path) > LONGEST} == {}


def test_a_short_file_has_several_importers_or_a_reason() -> None:
    importers = defaultdict(set)
    for name, path in MODULES.items():
        for imported in imports_of(path) - {name}:
            importers[imported].add(name)
    short = {
        name
        for name, path in MODULES.items()
        if path.name != "__init__.py" and lines_of(path) < SHORTEST and len(importers[name]) <= 1
    }

    assert short == SEAMS.keys()


def test_no_two_files_share_a_name() -> None:
    stems = [path.stem for path in MODULES.values()]

    assert {stem for stem in stems if stems.count(stem) > 1} == SAME_NAME.keys()


#: Functions that look up the X of a Y, and read well as that; all others are verbs.
LOOKUPS = {"facts_of", "fields_of", "key_of", "kind_of", "library_of", "module_of", "name_of", "status_of", "type_of"}


def test_functions_are_verbs_unless_they_look_something_up() -> None:
    trees = map(tree_of, MODULES.values())
    functions = [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]

    assert {name for name in functions if re.fullmatch(r"\w+_of", name)} == LOOKUPS


def test_a_module_says_in_its_first_line_what_it_is_for() -> None:
    offending = {}
    for path in MODULES.values():
        first, *rest = (ast.get_docstring(tree_of(path)) or "").split("\n")
        if not first.endswith(".") or len(first) > 120 or (rest and rest[0] != ""):
            offending[shown(path)] = first

    assert offending == {}


def test_the_drawing_in_the_docs_shows_the_layers_that_are_checked() -> None:
    command = [sys.executable, str(ROOT / "docs" / "draw_layers.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 0, result.stderr


def test_the_ten_files_to_read_first_are_there_and_have_the_lines_that_matter() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\d+\. \[`(\S+)`\]\(\.\./pauseflow_nb/(\S+)\).*?\n\n   ```python\n(.*?)\n   ```",
        page,
        re.MULTILINE | re.DOTALL,
    )

    assert len(listed) == 10
    for name, path, line in listed:
        assert name == path
        assert line.strip() in text_of(PACKAGE / path), f"{path} has no line {line.strip()!r}"


#: A word that says nothing, or a synonym → the word of the glossary.
SYNONYMS = {
    "door": "way to answer, or the name of the page, panel, command or API",
    "doors": "ways to answer",
    "misfit": "error",
    "misfits": "errors",
    "told": "known, described, or the noun itself",
    "travel": "retry, fork, checkpoint",
    "webhook": "callback",
    "whoever": "the person who, anyone who",
    "workitem": "segment",
}
#: A word of a name that makes a reader ask what it is → what to write. In sentences these are ordinary words.
RIDDLES = {
    "asked": "the question, request or query",
    "kept": "what is kept: client, text, names",
    "mine": "own, or what it is",
    "said": "sentence, text, comment, fields",
}
#: A name that is nothing but such a word does not say what it holds.
BARE = {
    "at_rest": "what is switched off",
    "bound": "bound_names, kernel_variables",
    "given": "the parameter, answer or approval",
    "gone": "missing_file, removed_executions",
    "hands": "to_do",
    "held": "what is held",
    "judging": "authorization",
    "taken": "used_names, occupied, batch",
    "waking": "settlement, next_segments",
    "wanted": "least_bytes, chosen, names",
}
#: Names that Python gives: the bound of a `TypeVar`.
PYTHONS_OWN = {"pauseflow_nb.kernel.snapshot.pickling.types.builtin": {"bound"}}
#: Names in which such a word means what the glossary says.
NAMED_ELSEWHERE = {"kept_kernels": "a setting"}
#: Names that Python files give: functions, classes, parameters, variables, attributes, modules.
_WORD = re.compile(r"[A-Z]?[a-z]+")


@cache
def names_in(path: Path) -> set[str]:
    found = {path.stem}
    for node in ast.walk(tree_of(path)):
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.arg(arg=name)
            ):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def test_names_use_the_words_of_the_glossary() -> None:
    """Columns of the database are among them: they are strings in `store/tables.py`, which is read as text below."""
    better = SYNONYMS | RIDDLES
    offending: dict[tuple[str, str], str] = {}
    for path in MODULES.values():
        names = names_in(path) - NAMED_ELSEWHERE.keys()
        words = {word.lower() for each in names for word in _WORD.findall(each)}
        offending |= {(shown(path), word): better[word] for word in words & better.keys()}

    assert offending == {}


def test_a_name_is_more_than_a_participle() -> None:
    """The columns `segments.bound` and `suspensions.given` are older than this rule, see GLOSSARY.md."""
    found = {
        (module, name): BARE[name.strip("_")]
        for module, path in MODULES.items()
        for name in names_in(path) - PYTHONS_OWN.get(module, set())
        if name.strip("_") in BARE
    }

    assert found == {}


def test_names_in_tests_say_what_was_said() -> None:
    files = sorted((ROOT / "tests").rglob("*.py"))
    variables = {(file.name, each) for file in files for each in names_in(file) if not each.startswith("test_")}

    assert {each for each in variables if each[1].strip("_") in ("told", "said")} == set()


TEXTS = [
    PACKAGE / "store" / "tables.py",
    PACKAGE / "server" / "api" / "openapi.yaml",
    *sorted((PACKAGE / "server" / "public" / "templates").glob("*.html")),
    *PANEL,
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "README.md",
]


def test_texts_use_the_words_of_the_glossary() -> None:
    offending: dict[tuple[str, str], str] = {}
    for path in TEXTS:
        # `told` is also an ordinary word, and Mastra's and others' own terms may be quoted as code.
        text = re.sub(r"`[^`]*`", "", text_of(path))
        words = {word.lower() for word in re.findall(r"[A-Za-z]+", text)} - {"told", "webhook", "travel"}
        offending |= {(shown(path), word): SYNONYMS[word] for word in words & SYNONYMS.keys()}

    assert offending == {}


#: Phrases with one verb in the glossary, which the field uses as well.
PHRASES = {"goes on": "continues", "bring back": "restore", "brings back": "restores", "brought back": "restored"}


def test_texts_say_continue_and_restore() -> None:
    found = {
        (shown(path), phrase): better
        for path in (*MODULES.values(), *TEXTS)
        for phrase, better in PHRASES.items()
        if phrase in " ".join(text_of(path).split())
    }

    assert found == {}


def test_no_module_refers_to_a_specification_that_readers_do_not_have() -> None:
    assert [shown(path) for path in MODULES.values() if re.search(r"\bSPEC\b", text_of(path))] == []


def test_every_synonym_has_its_word_in_the_glossary_or_says_what_to_write() -> None:
    glossary = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")

    assert all(f"**{word}**" not in glossary for word in SYNONYMS)


def test_prose_is_wrapped_below_120_columns() -> None:
    """Code, tables, headings, pictures and HTML stay as long as they are."""
    offending = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        prose = re.sub(
            r"(?ms)^ *```.*?^ *```", lambda code: "\n" * code[0].count("\n"), path.read_text(encoding="utf-8")
        )
        for number, line in enumerate(prose.split("\n"), 1):
            if len(line) >= 120 and not line.lstrip().startswith(("|", "#", "<", "![")):
                offending.append(f"{shown(path)}:{number}")
    assert offending == []
