"""Findings of a fuzz run: each kind once, its smallest input in a file from which it can be tried again."""

import ast
import math
import re
import traceback
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

__all__ = ["Finding", "Findings", "finding_of", "read_input"]

_INPUT = "input = "


@dataclass
class Finding:
    """What went wrong, and with which input."""

    target: str
    #: What makes two of them the same: the error's type and where it was raised.
    kind: str
    input: Any
    text: str
    count: int = 1


def finding_of(target: str, given: Any, problem: BaseException) -> Finding:
    """Describe what a check raised."""
    frames = traceback.extract_tb(problem.__traceback__)
    ours = [frame for frame in frames if "pauseflow_nb" in frame.filename or Path(frame.filename).parent.name == "fuzz"]
    at = next(reversed(ours or list(frames)), None)
    where = "?" if at is None else f"{Path(at.filename).parent.name}/{Path(at.filename).name}:{at.lineno}"
    # Where it says which status or state there was, that is another fault.
    numbers = re.findall(r"^\w* ?[45]\d\d\b|left \w+", str(problem)) if isinstance(problem, AssertionError) else []
    kind = " ".join([type(problem).__name__, where, *numbers])
    text = "".join(traceback.format_exception(problem, limit=-25))
    return Finding(target, kind, given, text)


class Findings:
    """Collects findings in a folder, the smallest input of each kind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.found: dict[tuple[str, str], Finding] = {}

    def add(self, finding: Finding) -> None:
        """Take one more; the file is written anew when its input is smaller than the one before."""
        key = (finding.target, finding.kind)
        before = self.found.get(key)
        if before is not None:
            before.count += 1
            if len(repr(finding.input)) >= len(repr(before.input)):
                return
            finding.count = before.count
        self.found[key] = finding
        self._folder.mkdir(parents=True, exist_ok=True)
        self.file_of(finding).write_text(_written(finding), encoding="utf-8")

    def file_of(self, finding: Finding) -> Path:
        """Where a finding is kept."""
        name = sha256(f"{finding.target} {finding.kind}".encode()).hexdigest()[:8]
        return self._folder / f"{finding.target.replace(' ', '-')}-{name}.txt"


def read_input(file: Path) -> tuple[str, Any]:
    """Read the target's name and the input of a finding.

    Raises:
        ValueError: If the file is none of ours.
    """
    lines = file.read_text(encoding="utf-8").split("\n")
    target = lines[0].removeprefix("# target: ")
    written = [line for line in lines if line.startswith(_INPUT)]
    if target == lines[0] or not written:
        raise ValueError(f"{file} holds no finding")
    return target, _evaluated(written[-1].removeprefix(_INPUT))


def _written(finding: Finding) -> str:
    problem = "\n".join(f"# {line}" for line in finding.text.encode("utf-8", "backslashreplace").decode().splitlines())
    return f"# target: {finding.target}\n# {finding.kind}\n#\n{problem}\n\n{_INPUT}{finding.input!a}\n"


def _evaluated(text: str) -> Any:
    """Read a Python literal in which infinity and NaN may stand by name."""
    tree = ast.parse(text, mode="eval")

    class Named(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.copy_location(ast.Constant({"inf": math.inf, "nan": math.nan}[node.id]), node)

    return ast.literal_eval(ast.fix_missing_locations(Named().visit(tree)))
