"""Name the module to somebody who imports this one: the command is `pauseflow`, and the module `pauseflow_nb`."""

raise ModuleNotFoundError(
    "No module named 'pauseflow': the module is `pauseflow_nb`: write `from pauseflow_nb import flow, steps`",
    name="pauseflow",
)
