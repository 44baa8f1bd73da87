"""Draw the package's layers for docs/design.md from import-linter's contract in pyproject.toml.

python docs/draw_layers.py            writes the drawing into docs/design.md
python docs/draw_layers.py --check    says whether the drawing there is up to date
"""

import ast
import sys
import textwrap
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "design.md"
BEGIN, END = "<!-- layers: made by docs/draw_layers.py -->\n", "<!-- end of layers -->"
WIDTH, LEFT = 112, 34


def read_layers() -> list[list[str]]:
    """Read the layers, the highest first; modules of one layer do not import each other.

    Returns:
        Names of modules within the package, such as `"engine.queue"`.
    """
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    package = config["tool"]["importlinter"]["root_package"]
    (contract,) = [each for each in contracts if each.get("containers") == [package] and each["type"] == "layers"]
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def describe(module: str) -> str:
    """Give the first line of a module's or a package's docstring."""
    path = ROOT / "pauseflow_nb" / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def draw() -> str:
    """Draw one box for each layer; each imports only from the boxes below it."""
    edge = "─" * (WIDTH - 2)
    lines = []
    for layer in read_layers():
        lines.append(f"├{edge}┤" if lines else f"┌{edge}┐")
        for module in layer:
            text = textwrap.wrap(describe(module), WIDTH - LEFT - 4) or [""]
            for name, part in zip([module, *[""] * (len(text) - 1)], text, strict=True):
                lines.append(f"│ {name:<{LEFT - 1}}{part:<{WIDTH - LEFT - 3}} │")
    return "\n".join([*lines, f"└{edge}┘"])


def page_with_drawing() -> str:
    """Give the page as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE.name} has no place for the drawing: {BEGIN.strip()} … {END}")
    return f"{before}{BEGIN}\n```text\n{draw()}\n```\n\n{END}{after}"


if __name__ == "__main__":
    new = page_with_drawing()
    if "--check" in sys.argv[1:]:
        sys.exit(new != PAGE.read_text(encoding="utf-8") and "docs/design.md: run python docs/draw_layers.py")
    PAGE.write_text(new, encoding="utf-8")
