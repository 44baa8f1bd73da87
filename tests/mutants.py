"""Change one place of an important module at a time, and report the changes that no test notices.

A test suite can be believed as far as it fails when the code is wrong. This script makes the code wrong on purpose: it
turns a comparison round, leaves out a call, swaps `and` and `or`, returns nothing. Each such mutant is a copy of the
package with one change, against which the tests of that module run until one fails. A mutant that *lives* shows a line
that no test holds; some change nothing that anybody could see, and then the code may be simpler than it is.

    python tests/mutants.py [--most 12] [--seed 1] [--module settling] [--jobs 2]
"""

import argparse
import ast
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parent.parent

#: What must hold, and the tests that say so: settling, authorization, links, restoring, recording. The quick and near ones
#: come first, as the first that fails ends the run.
MODULES = {
    "engine/settling.py": [
        "tests/engine/test_engine_settling.py",
        "tests/engine/test_engine_answers.py",
        "tests/server/test_server_links.py",
        "tests/engine/test_engine_clock.py",
        "tests/engine/test_engine_bodies.py",
        "tests/engine/test_engine_nested.py",
        "tests/engine/test_engine_keys.py",
    ],
    "engine/judging.py": [
        "tests/engine/test_engine_judging.py",
        "tests/engine/test_engine_answers.py",
        "tests/engine/test_engine_identity.py",
        "tests/server/test_server_answers.py",
        "tests/server/test_server_links.py",
        "tests/acceptance/test_approvals.py",
    ],
    "links.py": ["tests/test_links.py", "tests/server/test_server_links.py"],
    "kernel/snapshot/restoring.py": [
        "tests/kernel_snapshot/test_snapshot_fates.py",
        "tests/kernel_snapshot/test_snapshot_reports.py",
        "tests/kernel_snapshot/test_snapshot_safety.py",
        "tests/kernel_snapshot/test_snapshot_settings.py",
    ],
    "engine/recording.py": [
        "tests/engine/test_engine_segments.py",
        "tests/engine/test_engine_settling.py",
        "tests/roads/test_record.py",
        "tests/engine/test_engine_nested.py",
        "tests/engine/test_engine_bound.py",
        "tests/roads/test_losses.py",
        "tests/roads/test_messages.py",
        "tests/roads/test_pause.py",
    ],
}

#: Changes that once lived, by their names: the module, the text in it, what takes its place, and the tests that notice it.
CHOSEN = {
    "the worker beside the server is started again without a longer and longer pause": (
        "server/worker_process.py",
        "pause = min(2 * pause, LONGEST_PAUSE)",
        "pause = FIRST_PAUSE",
        ["tests/server/test_server_worker_process.py"],
    ),
    "what a kernel could not restore is dropped": (
        "kernel/execution_mode.py",
        "self.send(Ready(losses=named))",
        "self.send(Ready(losses=[]))",
        ["tests/roads/test_losses.py"],
    ),
    "a name that pickles hold is renamed": (
        "kernel/snapshot/reconstruct.py",
        "for _name in __all__:",
        "make_jar = globals().pop('make_cell')\n__all__[__all__.index('make_cell')] = 'make_jar'\nfor _name in __all__:",
        ["tests/kernel_snapshot/test_snapshot_contract.py"],
    ),
    "what could not be set again is dropped": (
        "kernel/snapshot/restoring.py",
        ' + [Loss("", "", note) for note in notes]\n        return Restored',
        "\n        return Restored",
        [
            "tests/kernel_snapshot/test_snapshot_settings.py",
            "tests/runner/test_settings.py",
            "tests/roads/test_losses.py",
        ],
    ),
}

#: How many times as long as without a change the tests of one mutant may take: one that takes longer hangs, which is noticed too.
PATIENCE = 5

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    line: int
    before: str
    after: str
    #: The whole changed module.
    source: str

    def __str__(self) -> str:
        return f"pauseflow_nb/{self.module}:{self.line}: `{_short(self.before)}` became `{_short(self.after)}`"


def mutants_in(module: str, source: str) -> Iterator[Mutant]:
    """Make every mutant of a module."""
    tree = ast.parse(source)
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and _is_text(node.value)}
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.expr | ast.stmt) and id(node) not in documented)
    for node in nodes:
        before = ast.get_source_segment(source, node)
        assert before is not None
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = _offset(source, node.lineno, node.col_offset)
        end = _offset(source, node.end_lineno, node.end_col_offset)
        for after in _changes(node, source):
            yield Mutant(module, node.lineno, before, after, source[:start] + after + source[end:])


def chosen_mutants() -> Iterator[tuple[str, Mutant, list[str]]]:
    """Make the mutants that have a name."""
    for name, (module, before, after, tests) in CHOSEN.items():
        source = (ROOT / "pauseflow_nb" / module).read_text(encoding="utf-8")
        assert source.count(before) == 1, f"{name}: `{before}` is not in {module}, or more than once"
        line = source[: source.index(before)].count("\n") + 1
        yield name, Mutant(module, line, before, after, source.replace(before, after)), tests


def _changes(node: ast.AST, source: str) -> Iterator[str]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            yield f"{_text(left, source)} {_COMPARISONS[type(operator)]} {_text(right, source)}"
        case ast.BoolOp(op=operator, values=values):
            other = " or " if isinstance(operator, ast.And) else " and "
            yield f"({other.join(_text(value, source) for value in values)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"bool({_text(operand, source)})"
        case ast.IfExp(test=test, body=body, orelse=other):
            yield f"({_text(other, source)} if {_text(test, source)} else {_text(body, source)})"
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            yield str(value + 1)
        case ast.Expr(value=ast.Call()):
            yield "pass"
        case ast.Return(value=value) if value is not None and not (
            isinstance(value, ast.Constant) and value.value is None
        ):
            yield "return None"


def _text(node: ast.AST, source: str) -> str:
    return f"({ast.get_source_segment(source, node)})"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _offset(source: str, line: int, column: int) -> int:
    lines = source.splitlines(keepends=True)
    # Columns count bytes.
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


def _short(code: str) -> str:
    code = " ".join(code.split())
    return code if len(code) < 70 else code[:67] + "..."


def is_noticed(mutant: Mutant | None, tests: list[str], copy: Path, seconds: float | None = None) -> bool:
    """Whether a test fails with a mutant in the package's place, or all take longer than this; None: with the package as it is."""
    path = copy / "pauseflow_nb" / ("__init__.py" if mutant is None else mutant.module)
    original = path.read_text(encoding="utf-8")
    try:
        if mutant is not None:
            path.write_text(mutant.source, encoding="utf-8")
        # The script, because `python -m pytest` puts the working directory first on the path.
        command = [
            str(Path(sys.executable).with_name("pytest")),
            "-q",
            "-x",
            "-n",
            "0",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
        ]
        selected = ["-m", "not slow and not hub and not browser and not postgresql", *tests]
        ended = subprocess.run(
            [*command, *selected],
            cwd=ROOT,
            # First on the path: the tests, and each process that they start, import the copy.
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(original, encoding="utf-8")
    return ended.returncode != 0


def main() -> int:
    """Run it; 0 if the tests pass without any change, whatever lives."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=12, help="how many mutants of each module, chosen at random")
    parser.add_argument("--seed", type=int, default=1, help="for the choice")
    parser.add_argument("--module", default="", help="only modules whose path has this in it")
    parser.add_argument("--jobs", type=int, default=2, help="how many run side by side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            copy = Path(folder, str(number))
            shutil.copytree(ROOT / "pauseflow_nb", copy / "pauseflow_nb", ignore=shutil.ignore_patterns("__pycache__"))
            copies.put(copy)

        def try_one(mutant: Mutant | None, tests: list[str], seconds: float | None = None) -> bool:
            copy = copies.get()
            try:
                return is_noticed(mutant, tests, copy, seconds)
            finally:
                copies.put(copy)

        if not options.module:
            for name, mutant, tests in chosen_mutants():
                print(f"{'noticed' if try_one(mutant, tests) else 'LIVES'}: {name}", flush=True)
        modules = {name: tests for name, tests in MODULES.items() if options.module in name}
        noticed = tried = 0
        with ThreadPoolExecutor(options.jobs) as pool:
            for module, tests in modules.items():
                began = time.monotonic()
                if try_one(None, tests):
                    print(f"{module}: its tests fail without any change; see `pytest {' '.join(tests)}`")
                    return 1
                found = list(mutants_in(module, (ROOT / "pauseflow_nb" / module).read_text(encoding="utf-8")))
                chosen = random.Random(options.seed).sample(found, min(options.most, len(found)))
                # Beside each other they take longer than alone.
                seconds = PATIENCE * options.jobs * (time.monotonic() - began)
                results = list(pool.map(functools.partial(try_one, tests=tests, seconds=seconds), chosen))
                noticed, tried = noticed + sum(results), tried + len(results)
                print(
                    f"{module}: {sum(results)} of {len(results)} noticed (of {len(found)} that can be made)", flush=True
                )
                for mutant, is_dead in zip(chosen, results, strict=True):
                    if not is_dead:
                        print(f"  lives: {mutant}", flush=True)
    print(f"{noticed} of {tried} mutants were noticed, with seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
