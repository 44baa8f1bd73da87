"""Check before a kernel starts that the secrets which its segment uses exist."""

from pauseflow_nb.errors import InvalidValue, MissingSecret
from pauseflow_nb.runner.cell_statuses import NOT_RUN
from pauseflow_nb.runner.document import Document
from pauseflow_nb.store.executions import Row
from pauseflow_nb.user_secrets.providers import Providers
from pauseflow_nb.user_secrets.references import find_names_in_cells, list_references


def find_secrets(execution: Row, segment: Row, document: Document, providers: Providers) -> list[str]:
    """Look up the secrets that coming cells and parameters name, and mask their values in the notebook.

    Returns:
        The names that were found.

    Raises:
        MissingSecret: If a secret is missing that the coming cells or the parameters certainly use.
    """
    first = segment.first_cell
    cells = enumerate(document.cells)
    code = [
        (index, cell)
        for index, cell in cells
        if cell.cell_type == "code" and not NOT_RUN & set(cell.metadata.get("tags", []))
    ]
    # Setups above run again.
    named = find_names_in_cells(
        (index, cell.source) for index, cell in code if index >= first or cell.source.lstrip().startswith("%%setup")
    )
    needed: dict[str, int | None] = dict(named.needed)
    references = _references_in(execution)
    if first == 0:
        needed |= dict.fromkeys(references - needed.keys())
    found = []
    for name in [*needed, *sorted((named.possible | references) - needed.keys())]:
        try:
            document.hide_secret(providers.find(name))
        except MissingSecret as problem:
            if name in needed:
                raise MissingSecret(name, problem.problem, needed[name]) from None
            continue
        found.append(name)
    return found


def _references_in(execution: Row) -> set[str]:
    try:
        return set(list_references(execution.parameters))
    except InvalidValue:
        # A default value in the notebook that only looks like a reference.
        return set()
