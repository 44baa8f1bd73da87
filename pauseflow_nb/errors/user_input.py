"""Errors in what a user wrote: a notebook, a step, a value, a parameter, a setting."""

import errno

from pauseflow_nb.errors.root import PauseflowError


class NotInStep(PauseflowError, RuntimeError):
    """A call that works only inside a running step."""

    def __init__(self, call: str) -> None:
        super().__init__(call)
        self.call = call

    def __str__(self) -> str:
        return f"{self.call} works only inside a step: put `%%step NAME` on the first line of the cell"


class InvalidStep(PauseflowError, ValueError):
    """A `%%step`, `%%fresh` or `%%setup` line that cannot be used; its `kind` says which."""

    def __init__(self, step: str, problem: str, cell: int | None = None, kind: str = "step") -> None:
        super().__init__(step, problem, cell, kind)
        self.step, self.problem, self.cell, self.kind = step, problem, cell, kind

    def __str__(self) -> str:
        cell = "" if self.cell is None else f"cell {self.cell + 1}"
        if not self.step:
            return f"{cell}: {self.problem}" if cell else self.problem
        what = "fresh cell" if self.kind == "fresh" else "step"
        return f"{what} {self.step!r}{f' ({cell})' if cell else ''}: {self.problem}"


class InvalidDuration(PauseflowError, ValueError):
    """A span of time that cannot be read."""

    def __init__(self, what: str, value: object, problem: str) -> None:
        super().__init__(what, value, problem)
        self.what, self.value, self.problem = what, value, problem

    def __str__(self) -> str:
        return f"{self.what}={self.value!r} {self.problem}"


class InvalidValue(PauseflowError, ValueError):
    """An argument whose value is not allowed."""

    def __init__(self, what: str, value: object, problem: str) -> None:
        super().__init__(what, value, problem)
        self.what, self.value, self.problem = what, value, problem

    def __str__(self) -> str:
        return f"{self.what}={self.value!r} {self.problem}"


class NotJSON(PauseflowError, TypeError):
    """A value that must be JSON and is not; the error names the place inside the value, and the type there."""

    def __init__(self, what: str, key: str, type_name: str) -> None:
        super().__init__(what, key, type_name)
        self.what, self.key, self.type_name = what, key, type_name

    def __str__(self) -> str:
        at = f" at {self.key}" if self.key else ""
        return (
            f"{self.what} must be JSON, but holds {_with_article(self.type_name)}{at}: "
            "use text, numbers, booleans, None, lists and dicts with text keys, or keep it as a variable"
        )


class NotComparable(PauseflowError, TypeError):
    """A value of a fresh cell that cannot be compared with a later one."""

    def __init__(self, name: str, type_name: str) -> None:
        super().__init__(name, type_name)
        self.name, self.type_name = name, type_name

    def __str__(self) -> str:
        return (
            f"fresh cell {self.name!r}: {_with_article(self.type_name)} cannot be compared with a later one: "
            "end the cell with a number, a text, an array, a frame, or lists and dicts of them"
        )


class InvalidNotebook(PauseflowError, ValueError):
    """A file that is not a notebook, or one that cannot run."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{self.path} cannot be used as a notebook: {self.problem}"


class NotebookNotFound(PauseflowError, FileNotFoundError):
    """There is no notebook at this path."""

    def __init__(self, path: str, hint: str = "check the path and the working directory") -> None:
        super().__init__(path, hint)
        self.path = self.filename = path
        self.hint = hint
        self.errno = errno.ENOENT

    def __str__(self) -> str:
        return f"no notebook at {self.path}: {self.hint}"

    def __reduce__(self) -> tuple[type["NotebookNotFound"], tuple[str, str], dict[str, object]]:
        # OSError's own would add the file's name as a third argument.
        return type(self), (self.path, self.hint), vars(self)


class InvalidImport(PauseflowError, ValueError):
    """A file or folder that is not a workflow, or a folder into which the notebooks cannot be written."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source, self.problem = source, problem

    def __str__(self) -> str:
        return f"{self.source} cannot be imported: {self.problem}"


class InvalidParameter(PauseflowError, ValueError):
    """A parameter that does not parse."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name, self.problem = name, problem

    def __str__(self) -> str:
        return f"parameter {self.name}: {self.problem}"


class InvalidOutput(InvalidParameter):
    """An output notebook, or another file that a command writes, that cannot be written."""

    def __init__(self, path: str, problem: str) -> None:
        PauseflowError.__init__(self, path, problem)
        self.name, self.path, self.problem = "output", path, problem

    def __str__(self) -> str:
        return f"the output {self.path} {self.problem}"


class InvalidSetting(PauseflowError, ValueError):
    """A setting whose value cannot be used; the error says where the value came from."""

    def __init__(self, name: str, value: object, origin: str, problem: str) -> None:
        super().__init__(name, value, origin, problem)
        self.name, self.value, self.origin, self.problem = name, value, origin, problem

    def __str__(self) -> str:
        if self.value == self.origin:
            # The whole file is wrong, not one setting.
            return f"{self.origin} {self.problem}"
        return f"setting {self.name}={self.value!r} (from {self.origin}): {self.problem}"


class MissingSecret(PauseflowError, LookupError):
    """A secret that no provider has, or whose value cannot be used."""

    def __init__(self, name: str, problem: str, cell: int | None = None) -> None:
        super().__init__(name, problem, cell)
        self.name, self.problem, self.cell = name, problem, cell

    def __str__(self) -> str:
        used = "" if self.cell is None else f" (cell {self.cell + 1} uses it)"
        return f"secret {self.name}{used}: {self.problem}"


def _with_article(name: str) -> str:
    if name in ("nan", "inf", "-inf"):
        return name
    return f"an {name}" if name[:1].lower() in "aeio" else f"a {name}"
