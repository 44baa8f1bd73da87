"""Follow the cells of one kernel and run its steps, as `shell.pauseflow`.

The runner calls `begin`, `begin_next`, `settle_names` and `suspend`; the code that `cell_transform` makes of a cell calls
`runs_now`, `begin_attempt`, `show`, `take_value` and `open_setup`; IPython's events call the rest.
"""

import sys
from typing import TYPE_CHECKING, Any

from pauseflow_nb.cells import NO_VALUE, Header, read_header
from pauseflow_nb.errors import InvalidStep, NotComparable, NotJSON, PauseflowError
from pauseflow_nb.kernel.attempt import Attempt
from pauseflow_nb.kernel.cell_transform import find_stored_names
from pauseflow_nb.kernel.control_flow import Paused, Stop
from pauseflow_nb.kernel.current import get_session, set_session
from pauseflow_nb.kernel.display import Card, render_card, show_sentences
from pauseflow_nb.kernel.execution_mode import ExecutionMode
from pauseflow_nb.kernel.exports import as_json
from pauseflow_nb.kernel.issued_links import IssuedLinks, spend
from pauseflow_nb.kernel.mode import Mode
from pauseflow_nb.kernel.pipedream_step import StepArgument
from pauseflow_nb.kernel.question_card import Ending, write_ending
from pauseflow_nb.kernel.setup_names import Bindings
from pauseflow_nb.kernel.step_run import StepRun
from pauseflow_nb.kernel.test_mode import TestMode
from pauseflow_nb.kernel.timeout import TimeLimit
from pauseflow_nb.kernel.tracebacks import hide_traceback
from pauseflow_nb.protocol import RETURN_VALUE, STORAGE_FAILED, Briefing

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

    from pauseflow_nb.kernel.snapshot.deferred import Deferred

_NO_BUTTONS = "Buttons need ipywidgets 8.1 or newer: run `%pip install -U ipywidgets`, and restart the kernel."


class Session:
    """The steps of one kernel: in test mode, and in an execution from `begin` on."""

    def __init__(self, shell: "InteractiveShell") -> None:
        """Start in test mode."""
        self.shell = shell
        self.mode: Mode = TestMode(shell)
        #: The step that is running now.
        self.run: StepRun | None = None
        self.bindings = Bindings(shell.user_ns)
        #: The argument of handlers.
        self.pd = StepArgument()
        #: Id of a cell from the front end → its source when it last ran.
        self.ran: dict[str, str] = {}
        self._attempt: Attempt | None = None
        self._refusal: str | None = None
        self._cells: list[ExecutionInfo] = []
        #: The cell of the running step; cells that are run inside it do not replace it.
        self._step_cell: ExecutionInfo | None = None

    @property
    def test_mode(self) -> TestMode | None:
        """Return the mode if cells are run by hand, else None."""
        return self.mode if isinstance(self.mode, TestMode) else None

    @property
    def deferred(self) -> "Deferred | None":
        """Return the variables that are restored when code mentions them; None in test mode or without any."""
        return self.mode.deferred if isinstance(self.mode, ExecutionMode) else None

    # The runner's entry points, in silent executions.

    def begin(self, briefing: str) -> None:
        """Take the briefing, as JSON, and restore the variables; the reply's payload is a `Ready`."""
        self.mode = mode = ExecutionMode(self.shell, self.bindings, Briefing.from_json(briefing))
        set_session(self)
        mode.restore()

    def begin_next(self, briefing: str) -> None:
        """Take the briefing of the next segment in the same kernel; the reply's payload is a `Ready`."""
        previous = self._execution_mode
        spend()
        self.mode = mode = ExecutionMode(self.shell, self.bindings, Briefing.from_json(briefing), previous=previous)
        mode.settle_names()

    def settle_names(self) -> None:
        """Restore the saved values of names that the setups have bound; the reply's payload is a `Ready`."""
        self._execution_mode.settle_names()

    def suspend(self, next_cell: int) -> None:
        """Save the variables between two cells; the reply's payload is an `Outcome`."""
        self._execution_mode.suspend(next_cell)

    @property
    def _execution_mode(self) -> ExecutionMode:
        assert isinstance(self.mode, ExecutionMode), "call begin() first"
        return self.mode

    # Called by the transformed code of cells.

    def runs_now(self, header: str) -> bool:
        """Whether the step's code runs now: the first time, and again after each attempt that is retried."""
        __tracebackhide__ = True
        if self.run is None:
            return self._open(header)
        if self._step_cell is not self._cells[-1]:
            raise hide_traceback(InvalidStep(self.run.step, "another step cannot run inside it"))
        if not self.run.is_retrying:
            return False
        self.run.start_attempt()
        return True

    def begin_attempt(self, is_magic: bool = False) -> Attempt:
        """Return the `with` around the step's code, which may be one cell magic."""
        assert self.run is not None
        cell = sys._getframe(1).f_code.co_filename  # noqa: SLF001 (inspect, the public way, reads source files)
        self._attempt = Attempt(self.shell, self.mode, self.run, cell, is_magic=is_magic)
        return self._attempt

    def show(self, value: Any) -> None:
        """Display the value of the last expression as IPython does; it is the step's value, unless `;` hides it."""
        sys.displayhook(value)
        is_silenced = self.shell.displayhook.quiet()  # type: ignore[no-untyped-call]
        if self.run is not None and not is_silenced:
            self.run.value = value

    def wait_for_variables(self, names: list[str] | None) -> None:
        """Wait until variables that the next statement mentions have been fetched; None: all variables."""
        __tracebackhide__ = True
        if self.deferred is not None:
            try:
                self.bindings.note_restored(self.deferred.load(names))
            except PauseflowError as error:
                self._mark_storage_failed()
                raise hide_traceback(error) from None

    def _mark_storage_failed(self) -> None:
        """Tell the runner that the error is not the cell's own: a cell may expect its own errors."""
        payloads = self.shell.payload_manager
        assert payloads is not None
        payloads.write_payload({"source": STORAGE_FAILED}, single=True)

    def take_value(self, header: str, value: Any) -> None:
        """Display the value of a fresh cell, and record it for a later comparison."""
        __tracebackhide__ = True
        sys.displayhook(value)
        parsed = _parse_header(header)
        assert parsed is not None
        try:
            self.mode.take_value(parsed, value)
        except NotComparable as error:
            raise hide_traceback(error) from None

    def refuse_value(self, header: str) -> None:
        """Stop a fresh cell that ends without an expression."""
        __tracebackhide__ = True
        parsed = _parse_header(header)
        assert parsed is not None
        raise hide_traceback(InvalidStep(parsed.name, NO_VALUE, kind="fresh"))

    def open_setup(self, header: str, stored: list[str]) -> None:
        """Begin a `%%setup` cell that binds these names by its text."""
        __tracebackhide__ = True
        _parse_header(header)
        self.bindings.open_setup(stored)
        self.mode.begin_setup()

    def refuse_cell(self, sentence: str) -> None:
        """Stop a cell whose header cannot be read; nothing of it runs."""
        __tracebackhide__ = True
        raise hide_traceback(InvalidStep("", sentence))

    # Called by `flow` and `%pauseflow`.

    def time_limit(self) -> TimeLimit | None:
        """Return the `--timeout` of the step that is running."""
        return None if self._attempt is None else self._attempt.limit

    def reset(self) -> None:
        """Start over in test mode; variables stay as they are."""
        self.mode = TestMode(self.shell) if self.test_mode is None else self.test_mode.start_over()

    def describe(self) -> str:
        """Describe the state of the flow in this kernel."""
        return f"{self.mode.describe()}\nsteps that have run: {', '.join(self.mode.exports) or 'none'}"

    def __reduce__(self) -> tuple[Any, ...]:
        # A variable that holds the session is restored as the new kernel's session.
        return get_session, ()

    # Handlers of IPython's events. IPython only prints their exceptions, and the cell would look successful.

    def before_cell(self, info: "ExecutionInfo") -> None:
        """Handle `pre_run_cell`."""
        set_session(self)
        self._cells.append(info)
        if (identity := getattr(info, "cell_id", None)) is not None:
            self.ran[str(identity)] = str(info.raw_cell)
        if len(self._cells) == 1:
            self.bindings.open_cell()

    def after_any(self) -> None:
        """Handle `post_execute`, which also follows silent cells."""
        self.bindings.tally_setup()
        self.mode.end_setup()

    def after_cell(self, result: "ExecutionResult | None") -> None:
        """Handle `post_run_cell`: after the cell's output and before its reply."""
        info = self._leave_cell(result)
        if info is None:
            return
        if not self._cells:
            self._follow_bindings(info)
        if info is self._step_cell or (self.run is None and _is_step(str(info.raw_cell))):
            self._close(info, result)

    # The beginning and end of a step.

    def _open(self, header: str) -> bool:
        __tracebackhide__ = True
        parsed = _parse_header(header)
        assert parsed is not None
        if not self._cells or _parse_header(str(self._cells[-1].raw_cell)) != parsed:
            # In a silent cell, as those of `%run other.ipynb`, nobody would see how the step ended.
            raise hide_traceback(InvalidStep(parsed.name, "a step runs only as a cell of its own"))
        self._step_cell = self._cells[-1]
        self._refusal = self.mode.refusal(parsed.name)
        if self._refusal is not None:
            return False
        self.run = StepRun(parsed, *self.mode.brief(parsed.name))
        if self.test_mode is not None and parsed.options.queue is not None:
            queue = parsed.options.queue
            show_sentences(
                self.shell, f"--queue {queue} is for jobs: by hand, the step runs in this kernel.", is_small=True
            )
        return True

    def _leave_cell(self, result: "ExecutionResult | None") -> "ExecutionInfo | None":
        # A blank cell has no `pre_run_cell`; a cell that IPython could not start has another info object.
        if not self._cells:
            return None
        info = self._cells[-1] if result is None or result.info is None else result.info
        if all(info is not cell for cell in self._cells):
            is_same = str(info.raw_cell) == str(self._cells[-1].raw_cell)
            return self._cells.pop() if is_same else None
        while self._cells.pop() is not info:
            pass
        return info

    def _follow_bindings(self, info: "ExecutionInfo") -> None:
        self.bindings.close_setup()
        if self.bindings.remade:
            source: str = self.shell.transform_cell(info.raw_cell)  # type: ignore[no-untyped-call]
            self.bindings.close_cell(find_stored_names(source))

    def _close(self, info: "ExecutionInfo", result: "ExecutionResult | None") -> None:
        run, refusal, attempt = self.run, self._refusal, self._attempt
        self.run = self._refusal = self._attempt = self._step_cell = None
        try:
            if attempt is not None:
                attempt.close()
            if refusal is not None:
                card = self._stop(result, Stop(Paused(refusal), refusal, render_card(refusal)))
                if card is not None and self.test_mode is not None:
                    self.test_mode.refused.append((_find_step_name(str(info.raw_cell)), card))
                return
            error = _find_error(result, run)
            if isinstance(error, Paused) and run is not None and run.suspension is not None:
                # The error ended the cell on purpose; the cell runs again after the answer.
                error = None
            if run is not None:
                _show_progress(self.shell, run)
            if error is not None:
                self._report(info, run, error)
            elif run is not None and result is not None:
                _publish(run)
                card = self._stop(result, self.mode.end(run))
                self._offer_buttons(card)
                if self.test_mode is not None:
                    self.test_mode.renew_refusals()
        except BaseException as error:  # noqa: BLE001 (see above: whatever it is, the step has failed)
            self._fail(info, run, result, error)

    def _stop(self, result: "ExecutionResult | None", stop: Stop | None) -> Card | None:
        if stop is None or result is None:
            return None
        card = None
        if stop.plain:
            card = Card(self.shell)
            card.show(stop.plain, stop.markup)
        result.error_in_exec = stop.error
        self.shell.last_execution_succeeded = False
        # Otherwise the reply would carry the traceback of an older error.
        self.shell._last_traceback = []  # type: ignore[attr-defined]  # noqa: SLF001 (ipykernel's reply has it)
        if self.test_mode is not None and not _is_attended(self.shell):
            self.shell._showtraceback(type(stop.error), stop.error, [str(stop.error)])  # noqa: SLF001 (see _is_attended)
        return card

    def _offer_buttons(self, card: Card | None) -> None:
        """Update the card of the waiting step when the question ends, and show buttons below it."""
        waiting = None if self.test_mode is None else self.test_mode.waiting
        if self.test_mode is None or waiting is None or card is None:
            return
        step, request = waiting.run.step, waiting.plan.request
        buttons = None

        def follow(ending: Ending) -> None:
            # If there are buttons, the next step is shown in their place.
            card.show(*write_ending(step, request, ending, says_what_next=buttons is None))

        waiting.when_settled.append(follow)
        if not has_widgets(self.shell):
            return
        if not _can_draw_buttons():
            show_sentences(self.shell, _NO_BUTTONS, is_small=True)
            return
        from pauseflow_nb.kernel.buttons import show_buttons  # lazily: ipywidgets is slow to import

        buttons = show_buttons(self.shell, self.test_mode)

    def _fail(
        self, info: "ExecutionInfo", run: StepRun | None, result: "ExecutionResult | None", error: BaseException
    ) -> None:
        if result is not None:
            result.error_in_exec = error
        self.shell.last_execution_succeeded = False
        if isinstance(error, PauseflowError):
            hide_traceback(error)
        self.shell.showtraceback((type(error), error, error.__traceback__))
        self._report(info, run, error)

    def _report(self, info: "ExecutionInfo", run: StepRun | None, error: BaseException) -> None:
        self.mode.fail(_find_step_name(str(info.raw_cell)), error, run)


def _parse_header(source: str) -> Header | None:
    __tracebackhide__ = True
    try:
        return read_header(source)
    except InvalidStep as error:
        raise hide_traceback(error) from None


def _is_step(source: str) -> bool:
    try:
        header = read_header(source)
    except InvalidStep:
        return True
    return header is not None and header.kind == "step"


def _find_step_name(source: str) -> str:
    try:
        header = read_header(source)
    except InvalidStep as error:
        return error.step
    return header.name if header is not None else ""


def _find_error(result: "ExecutionResult | None", run: StepRun | None) -> BaseException | None:
    if result is None:
        return KeyboardInterrupt("the cell was interrupted")
    if run is not None and run.swallowed is not None:
        result.error_in_exec = run.swallowed
    error: BaseException | None = result.error_before_exec or result.error_in_exec
    return error


def _publish(run: StepRun) -> None:
    value = None if isinstance(run.value, IssuedLinks) else run.value
    run.value = None  # a suspension by hand keeps the run, which must not keep a large value alive
    try:
        run.exports[RETURN_VALUE] = as_json("the return value", value)
    except NotJSON as problem:
        run.notes.append(f"{RETURN_VALUE} of step {run.step!r} is not exported: {problem}")


def _show_progress(shell: "InteractiveShell", run: StepRun) -> None:
    progress = run.progress()
    if progress is not None:
        show_sentences(shell, progress, is_small=True)


def has_widgets(shell: "InteractiveShell") -> bool:
    """Whether a person could click: whether the front end could also answer `input()`."""
    return getattr(shell, "kernel", None) is not None and _is_attended(shell)


def _can_draw_buttons() -> bool:
    try:
        import ipywidgets
    except ImportError:
        return False
    # A user may have an older one, whatever our wheel asks for; its boxes fail when they are shown.
    return tuple(map(int, ipywidgets.__version__.split(".")[:2])) >= (8, 1)


def _is_attended(shell: "InteractiveShell") -> bool:
    # papermill and nbconvert declare that they never answer `input()`. They look for an error among a cell's
    # outputs, and would take a stop without an error for a notebook that ran to its end.
    kernel = getattr(shell, "kernel", None)
    return kernel is None or bool(kernel._allow_stdin)  # noqa: SLF001 (it has no public name)
