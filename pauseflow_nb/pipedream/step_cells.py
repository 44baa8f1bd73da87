"""Make the cells of one step: code that runs, or what a person needs to write it."""

import json
import re
from dataclasses import dataclass, field

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

from pauseflow_nb.pipedream.account_props import Accounts, PropsOfStep, convert_props, replace_secrets
from pauseflow_nb.pipedream.code_scan import find_npm_packages, find_python_packages
from pauseflow_nb.pipedream.markdown_text import code_block, code_span, one_line, plain
from pauseflow_nb.pipedream.registry_actions import find_replacement
from pauseflow_nb.pipedream.workflow import Step

_SCRIPT_HELPERS = re.compile(
    r"^from pipedream\.script_helpers import \(?([\w\s,]{1,300}?)\)?[ \t]{0,20}$", re.MULTILINE
)
_FENCES = {"python": "python", "node": "javascript", "bash": "bash", "go": "go"}
_LANGUAGES = {"bash": "Bash", "go": "Go", "unknown": "an unknown language"}


@dataclass
class StepCells:
    """The cells of a step, and what the project needs for them."""

    cells: list[NotebookNode] = field(default_factory=list)
    props: PropsOfStep = field(default_factory=PropsOfStep)
    #: Lines of `requirements.txt`.
    pip: list[str] = field(default_factory=list)
    npm: dict[str, str] = field(default_factory=dict)
    #: Sentences about what needs to_do.
    to_do: list[str] = field(default_factory=list)
    #: Sentences about what was changed.
    notes: list[str] = field(default_factory=list)


def make_cells(step: Step, accounts: Accounts) -> StepCells:
    """Make the cells of a step."""
    made = StepCells()
    if step.name != step.former_name:
        made.to_do.append(
            f"the step {code_span(step.former_name)} is now called `{step.name}`: change the code that uses its name"
        )
    if step.notes:
        made.cells.append(_markdown(step.notes))
    if step.is_disabled:
        _add_disabled(step, made, accounts)
    elif step.code is not None and step.kind in ("python", "node"):
        _add_code(step, made, accounts)
    elif step.kind == "action" and (code := find_replacement(step.action or "")) is not None:
        step.code = code
        _add_code(step, made, accounts)
        made.notes.append(f"the action {code_span(step.action)} was replaced by code: check that it does what you need")
    else:
        _add_placeholder(step, made, accounts)
    metadata = {"step": step.former_name, "action": step.action, "fields": replace_secrets(step.other)}
    its_own = next((cell for cell in made.cells if cell.cell_type == "code"), made.cells[-1])
    its_own.metadata["pipedream"] = {name: value for name, value in metadata.items() if value}
    return made


def _add_code(step: Step, made: StepCells, accounts: Accounts) -> None:
    code = (step.code or "").rstrip("\n")
    if step.kind == "python":
        code = _replace_script_helpers(step, code, made)
        try:
            made.pip, refused = find_python_packages(code)
        except (SyntaxError, ValueError) as error:
            problem = error.msg if isinstance(error, SyntaxError) else str(error)
            made.to_do.append(f"Python cannot read the code of `{step.name}`: {one_line(problem)}. Correct it")
        else:
            made.to_do += [
                f"`{step.name}` asks for {code_span(each)}, which is not a plain package name: install it yourself"
                for each in refused
            ]
    else:
        made.npm, files = find_npm_packages(code)
        if files:
            made.to_do.append(f"`{step.name}` imports {', '.join(map(code_span, files))}: put them beside it")
        if not re.search(r"\bexport\s+default\b|\bmodule\.exports\b|\bexport\s*\{", code):
            made.to_do.append(f"`{step.name}` exports no component: write `export default defineComponent({{ … }})`")
    made.props = convert_props(step, accounts)
    made.to_do += [f"`{step.name}`: {sentence}" for sentence in made.props.to_do]
    if made.to_do:
        made.cells.append(_markdown("**To do by hand.**\n\n" + "\n".join(f"- {each}" for each in made.to_do)))
    header = f"%%step {step.name}\n" if step.kind == "python" else f"%%step {step.name}\n%%node\n"
    made.cells.append(new_code_cell(header + code))


def _replace_script_helpers(step: Step, code: str, made: StepCells) -> str:
    """Write Pipedream's first way to reach `steps` and `export`, which has no function `handler`, as it is here."""
    match = _SCRIPT_HELPERS.search(code)
    if match is None:
        return code
    names = {name.strip() for name in match[1].split(",")}
    lines = ["from pauseflow_nb import flow, steps", *(["export = flow.export"] if "export" in names else [])]
    made.notes.append(f"`{step.name}`: the import of `pipedream.script_helpers` was replaced")
    return code[: match.start()] + "\n".join(lines) + code[match.end() :]


def _add_disabled(step: Step, made: StepCells, accounts: Accounts) -> None:
    made.cells.append(
        _markdown(f"**Step `{step.name}` was disabled.** It does not run here either.\n\n{_show(step, accounts)}")
    )
    made.notes.append(f"the step `{step.name}` was disabled: its code is in a text cell")


def _add_placeholder(step: Step, made: StepCells, accounts: Accounts) -> None:
    """Show what stood there, and stop a run at it, so that nothing is left out unseen."""
    what, advice = _explain(step)
    made.to_do.append(f"`{step.name}` is {what}: {advice}")
    made.cells.append(
        _markdown(f"**To do by hand.** Step `{step.name}` is {what}: {advice}.\n\n{_show(step, accounts)}".rstrip())
    )
    sentence = f"step {step.name} is {what.replace('`', '')}: write it, as the cell above explains"
    made.cells.append(new_code_cell(f"%%step {step.name}\nraise NotImplementedError({_quote(sentence)})"))
    for branch in step.branches:
        made.cells.append(_markdown(f"Path of the branch `{step.name}`: {plain(branch.title)}"))
        for inner in branch.steps:
            _add_branch_step(inner, made, accounts)


def _add_branch_step(step: Step, made: StepCells, accounts: Accounts) -> None:
    """Add a step that is run in some cases only: its code cell is a raw cell until a person says when."""
    inner = make_cells(step, accounts)
    made.cells += [
        new_raw_cell(cell.source, metadata=cell.metadata) if cell.cell_type == "code" else cell for cell in inner.cells
    ]
    made.pip += inner.pip
    made.npm |= inner.npm
    made.to_do += inner.to_do
    made.notes += inner.notes
    made.props.values |= {f"{step.name}": inner.props.values} if inner.props.values else {}
    made.props.secrets |= inner.props.secrets


def _explain(step: Step) -> tuple[str, str]:
    if step.kind == "branch":
        return (
            "a branch",
            "the cells below are raw cells. Turn those that you need into code cells, with an `if` around their code",
        )
    if step.problem:
        return "a step without code", f"{step.problem}. Write it"
    if step.kind == "action":
        return (
            f"the action {code_span(step.action)} from Pipedream's registry",
            "write the same in Python, or below `%%node`",
        )
    if step.code is None:
        return "a step without code", "the source does not contain the code. Write it"
    return f"written in {_LANGUAGES.get(step.kind, step.kind)}", "write it in Python or below `%%node`"


def _quote(text: str) -> str:
    """Write a text as Python does, in the quotes that people use here."""
    return json.dumps(text, ensure_ascii=False)


def _show(step: Step, accounts: Accounts) -> str:
    parts: list[str] = []
    if step.code is not None:
        parts.append(code_block(step.code, _FENCES.get(step.kind, "")))
    if step.action:
        parts.append(f"Action: {code_span(step.action)}")
    if step.branches and step.other:
        parts.append(f"Its fields:\n\n{code_block(replace_secrets(step.other), 'json')}")
    if step.props:
        parts.append(f"Props:\n\n{code_block(convert_props(step, accounts).values, 'json')}")
    return "\n\n".join(parts)


def _markdown(text: str) -> NotebookNode:
    cell: NotebookNode = new_markdown_cell(text)
    return cell
