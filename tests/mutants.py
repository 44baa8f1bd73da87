"""Change one place of an important module at a time, and report the changes that no test notices.

A test suite can be believed as far as it fails when the code is wrong. This script makes the code wrong on purpose: it
turns a comparison round, leaves out a call, swaps `and` and `or`, returns nothing. Each such mutant is a copy of the
package with one change. A mutant that *lives* shows a line that no test holds; some change nothing that anybody could
see, and then the code may be simpler than it is.

First the tests of a module run once without any change, to learn which of them run which line, and how long each takes.
Then those that run the changed line are tried, quickest first, until one fails; and if none does, the others, which may run
the line in another process. What was noticed once is written to `build/mutants.txt` and not tried again, so a run
that was stopped goes on where it was, and after new tests only those are tried that lived.

    python tests/mutants.py [--most 12] [--seed 1] [--module settling] [--jobs 2] [--again]
"""

import argparse
import ast
import compileall
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
        "tests/server/test_server_send_back.py",
        "tests/engine/test_engine_clock.py",
        "tests/engine/test_engine_bodies.py",
        "tests/engine/test_engine_nested.py",
        "tests/engine/test_engine_keys.py",
    ],
    "engine/authorization.py": [
        "tests/engine/test_engine_judging.py",
        "tests/engine/test_engine_checking.py",
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
        "tests/kernel_snapshot/test_snapshot_order.py",
        "tests/kernel_snapshot/test_snapshot_types.py",
        "tests/kernel_snapshot/test_snapshot_finalizers.py",
        "tests/kernel/test_kernel_deferred.py",
        "tests/kernel/test_kernel_own_modules.py",
    ],
    "engine/recording.py": [
        "tests/engine/test_engine_recording.py",
        "tests/engine/test_engine_segments.py",
        "tests/engine/test_engine_reopening.py",
        "tests/engine/test_engine_nested.py",
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
        ' + [Loss("", "", note) for note in notes]\n        self._loader',
        "\n        self._loader",
        [
            "tests/kernel_snapshot/test_snapshot_settings.py",
            "tests/runner/test_settings.py",
            "tests/roads/test_losses.py",
        ],
    ),
}

#: How many times as long as without a change the tests of one mutant may take: one that takes longer hangs, which is noticed too.
PATIENCE = 5

#: Seconds that the tests of a mutant that has a name may take.
_LONGEST = 600.0

#: What is quick and in few processes.
_MARKS = ["-m", "not slow and not hub and not browser and not postgresql"]

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
        # Nobody could tell `False` from `None` where a bool is asked for.
        case ast.Return(value=value) if value is not None and not (
            isinstance(value, ast.Constant) and value.value in (None, False)
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


@dataclass(frozen=True)
class Coverage:
    """Which tests of a module run which of its lines in their own process, and how long each takes."""

    seconds: dict[str, float]
    lines: dict[int, list[str]]

    def order(self, line: int) -> tuple[list[str], list[str]]:
        """Give the tests that run a line, and the others; each with the quickest first."""
        direct = set(self.lines.get(line, ()))
        tests = sorted(self.seconds, key=self.seconds.__getitem__)
        return [test for test in tests if test in direct], [test for test in tests if test not in direct]


@dataclass(frozen=True)
class Copy:
    """A copy of the package, in which one module at a time is changed."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Copy":
        shutil.copytree(ROOT / "pauseflow_nb", folder / "pauseflow_nb")
        # Once, and not in each process that the tests start.
        compileall.compile_dir(folder / "pauseflow_nb", quiet=1)
        return cls(folder)

    def notices(self, mutant: Mutant, tests: list[str], seconds: float) -> bool:
        """Whether a test fails with a mutant in the package's place, or all together take longer than this."""
        path = self.folder / "pauseflow_nb" / mutant.module
        original = path.read_text(encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()
        path.write_text(mutant.source, encoding="utf-8")
        try:
            return self.run(["-x", *_MARKS, *tests], seconds) != 0
        except subprocess.TimeoutExpired:
            return True
        finally:
            path.write_text(original, encoding="utf-8")

    def learn(self, module: str, tests: list[str]) -> Coverage | None:
        """Run the tests of a module without a change; None if one fails."""
        result = self.folder / "lines.json"
        watched = self.folder / "pauseflow_nb" / module
        record = ["--record-lines", str(watched), "--record-to", str(result)]
        if self.run([*_MARKS, *record, *tests], None) != 0:
            return None
        learned = json.loads(result.read_text(encoding="utf-8"))
        return Coverage(learned["seconds"], {int(line): tests for line, tests in learned["lines"].items()})

    def run(self, arguments: list[str], seconds: float | None) -> int:
        """Run pytest with this copy in the package's place; its exit code."""
        listed = self.folder / "arguments"
        listed.write_text("\n".join(arguments), encoding="utf-8")
        # The script, because `python -m pytest` puts the working directory first on the path.
        command = [
            str(Path(sys.executable).with_name("pytest")),
            "-q",
            "-n",
            "0",
            "-p",
            "no:randomly",
            "-p",
            "no:schemathesis",  # takes half the time that pytest needs to start
            "-p",
            "line_recorder",
        ]
        with subprocess.Popen(
            [*command, "-p", "no:cacheprovider", f"@{listed}"],
            cwd=ROOT,
            # First on the path: the tests, and each process that they start, import the copy.
            env={**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise


class Memory:
    """The mutants that were noticed, in this run and in those before."""

    def __init__(self, path: Path, *, is_empty: bool) -> None:
        path.parent.mkdir(exist_ok=True)
        if is_empty:
            path.unlink(missing_ok=True)
        self._path = path
        self._noticed = set(path.read_text(encoding="utf-8").split()) if path.exists() else set()

    def holds(self, mutant: Mutant) -> bool:
        return self._digest(mutant) in self._noticed

    def add(self, mutant: Mutant) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{self._digest(mutant)}\n")

    @staticmethod
    def _digest(mutant: Mutant) -> str:
        return hashlib.sha256(f"{mutant.module}\n{mutant.source}".encode()).hexdigest()


@dataclass
class Campaign:
    """Tries mutants, several side by side, each in a copy of its own."""

    copies: SimpleQueue[Copy]
    jobs: int
    memory: Memory

    def try_chosen(self) -> None:
        """Try the mutants that have a name."""
        for name, mutant, tests in chosen_mutants():
            with self._copy() as copy:
                is_noticed = self.memory.holds(mutant) or copy.notices(mutant, tests, _LONGEST)
            if is_noticed:
                self.memory.add(mutant)
            print(f"{'noticed' if is_noticed else 'LIVES'}: {name}", flush=True)

    def try_module(self, module: str, tests: list[str], most: int, seed: int) -> tuple[int, int] | None:
        """Try mutants of one module; return how many were noticed and tried, or None if its tests fail without a change."""
        found = list(mutants_in(module, (ROOT / "pauseflow_nb" / module).read_text(encoding="utf-8")))
        chosen = random.Random(seed).sample(found, min(most or len(found), len(found)))
        new = [mutant for mutant in chosen if not self.memory.holds(mutant)]
        living: list[Mutant] = []
        if new:
            with self._copy() as copy:
                learned = copy.learn(module, tests)
            if learned is None:
                print(f"{module}: its tests fail without any change; see `pytest {' '.join(tests)}`")
                return None
            with ThreadPoolExecutor(self.jobs) as pool:
                results = list(pool.map(lambda mutant: self._try(mutant, learned), new))
            living = [mutant for mutant, is_noticed in zip(new, results, strict=True) if not is_noticed]
        print(f"{module}: {len(chosen) - len(living)} of {len(chosen)} noticed ({len(found)} can be made)", flush=True)
        return len(chosen) - len(living), len(chosen)

    def _try(self, mutant: Mutant, learned: Coverage) -> bool:
        with self._copy() as copy:
            for tests in learned.order(mutant.line):
                # Beside each other they take longer than alone.
                seconds = 30 + PATIENCE * self.jobs * sum(learned.seconds[test] for test in tests)
                if tests and copy.notices(mutant, tests, seconds):
                    self.memory.add(mutant)
                    return True
        print(f"  lives: {mutant}", flush=True)
        return False

    @contextmanager
    def _copy(self) -> Iterator[Copy]:
        copy = self.copies.get()
        try:
            yield copy
        finally:
            self.copies.put(copy)


def main() -> int:
    """Run it; 0 if the tests pass without any change, whatever lives."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=0, help="how many mutants of each module, chosen at random; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="for the choice")
    parser.add_argument("--module", default="", help="only modules whose path has this in it")
    parser.add_argument("--jobs", type=int, default=2, help="how many run side by side")
    parser.add_argument("--again", action="store_true", help="try those too that were noticed in a run before")
    options = parser.parse_args()
    noticed = tried = 0
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(options.jobs):
            copies.put(Copy.make(Path(folder, str(number))))
        campaign = Campaign(copies, options.jobs, Memory(ROOT / "build" / "mutants.txt", is_empty=options.again))
        if not options.module:
            campaign.try_chosen()
        for module in (module for module in MODULES if options.module in module):
            counts = campaign.try_module(module, MODULES[module], options.most, options.seed)
            if counts is None:
                return 1
            noticed, tried = noticed + counts[0], tried + counts[1]
    print(f"{noticed} of {tried} mutants were noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
