"""iopub messages become outputs, as a front end would show them, in linear time."""

import itertools
import sys
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.recorder import Recorder


class Stage:
    def __init__(self, cells: int = 2) -> None:
        self.document = Document(new_notebook(cells=[new_code_cell("") for _ in range(cells)]))
        self.live: list[tuple[int, NotebookNode]] = []
        self.recorder = Recorder(self.document, lambda cell, output: self.live.append((cell, output)))
        for cell in range(cells):
            self.recorder.expect(f"r{cell}", cell)

    def say(self, kind: str, cell: int = 0, *, request: str | None = None, **content: Any) -> None:
        header = {"msg_id": f"r{cell}" if request is None else request}
        self.recorder.receive(
            {"header": {"msg_type": kind}, "parent_header": header, "content": content, "buffers": []}
        )

    def show(self, text: str, cell: int = 0, kind: str = "display_data", display_id: str | None = None) -> None:
        transient = {} if display_id is None else {"display_id": display_id}
        self.say(kind, cell, data={"text/plain": text}, metadata={}, transient=transient)

    def outputs(self, cell: int = 0) -> list[Any]:
        self.recorder.join()
        nbformat.validate(nbformat.reads(self.document.to_bytes().decode(), as_version=4))
        shown = self.document.cells[cell].outputs
        return [output.get("text") or output.get("ename") or output.data["text/plain"] for output in shown]


def test_chunks_of_one_stream_become_one_output() -> None:
    stage = Stage()
    for name, text in [("stdout", "a"), ("stdout", "b\n"), ("stderr", "e"), ("stdout", "c")]:
        stage.say("stream", name=name, text=text)

    assert stage.outputs() == ["ab\n", "e", "c"]
    assert [output.text for _, output in stage.live] == ["a", "b\n", "e", "c"]


@pytest.mark.parametrize("depth", [140, 200, 700])
def test_an_output_that_is_nested_too_deeply_to_be_written_says_so_in_its_place(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    stage = Stage()

    data = {"application/json": value, "text/plain": "a tree"}
    stage.say("display_data", data=data, metadata={"deep": value}, transient={})

    assert stage.outputs() == ["a tree"]
    Document.from_bytes(stage.document.for_people())
    shown = stage.document.cells[0].outputs[0].data["application/json"]
    assert shown == (value if depth == 140 else "(nested too deeply to be saved: more than 150 levels)")


def test_a_flood_of_chunks_takes_linear_time() -> None:
    stage = Stage()

    def calls_for(count: int) -> int:
        calls = itertools.count()
        sys.setprofile(lambda *_: next(calls))
        try:
            for _ in range(count):
                stage.say("stream", name="stdout", text="x" * 200)
        finally:
            sys.setprofile(None)
        return next(calls)

    stage.say("stream", name="stdout", text="begin")
    assert calls_for(5_000) < 11 * calls_for(500)
    # The text is not copied with each chunk.
    assert stage.document.cells[0].outputs[0].text == "begin"
    assert stage.outputs() == ["begin" + "x" * 200 * 5_500]


def test_clear_output_empties_now_or_before_the_next_output() -> None:
    stage = Stage()
    stage.say("stream", name="stdout", text="a")
    stage.say("clear_output", wait=False)
    assert stage.outputs() == []

    stage.show("b")
    stage.say("clear_output", wait=True)
    assert stage.outputs() == ["b"]

    stage.say("stream", name="stdout", text="c")
    assert stage.outputs() == ["c"]


def test_a_display_is_updated_in_whatever_cell_it_stands() -> None:
    stage = Stage()
    stage.show("10 %", display_id="bar")
    before = stage.document.to_bytes()

    stage.show("50 %", cell=1, kind="update_display_data", display_id="bar")

    assert stage.outputs(0) == ["50 %"]
    assert stage.outputs(1) == []
    assert stage.document.to_bytes() != before


def test_the_output_of_a_thread_reaches_the_cell_that_started_it() -> None:
    stage = Stage()
    stage.say("stream", 1, name="stdout", text="second")
    stage.say("stream", 0, name="stdout", text="late")

    assert (stage.outputs(0), stage.outputs(1)) == (["late"], ["second"])


def test_what_belongs_to_no_cell_is_ignored() -> None:
    stage = Stage()
    stage.say("stream", request="another", name="stdout", text="x")
    stage.say("shutdown_reply", restart=False)

    assert stage.outputs() == []


def test_odd_messages_still_make_a_valid_notebook() -> None:
    stage = Stage()
    stage.say("display_data", data={"text/plain": 5, "application/json": {"a": 1}, "text/html": ["<b>", "</b>"]})
    stage.say("error", ename="E", evalue=None, traceback=None)
    stage.say("stream", name="stdlog", text="x")
    stage.say("execute_result", data={"text/plain": "7"}, metadata=None, execution_count=3)

    assert stage.outputs() == ["5", "E", "x", "7"]


def test_widgets_leave_their_state_and_output_widgets_what_they_captured() -> None:
    stage = Stage()
    model = {"_model_name": "IntSliderModel", "_model_module": "m", "_model_module_version": "1", "value": 1}
    stage.say("comm_open", comm_id="w1", target_name="jupyter.widget", data={"state": model})
    stage.say("comm_msg", comm_id="w1", data={"method": "update", "state": {"value": 2}})
    stage.say(
        "comm_open",
        comm_id="o1",
        target_name="jupyter.widget",
        data={"state": {"_model_name": "OutputModel", "outputs": []}},
    )
    stage.say("comm_msg", comm_id="o1", data={"method": "update", "state": {"msg_id": "r0"}})
    stage.say("stream", name="stdout", text="in")
    stage.say("stream", name="stdout", text="side")
    stage.say("comm_msg", comm_id="o1", data={"method": "update", "state": {"msg_id": ""}})
    stage.say("stream", name="stdout", text="outside")
    stage.say("comm_open", comm_id="x", target_name="other", data={"state": {}})
    stage.say("comm_msg", comm_id="x", data={"state": {"a": 1}})

    assert stage.outputs() == ["outside"]
    state = stage.document.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert state["w1"]["state"]["value"] == 2
    assert [output["text"] for output in state["o1"]["state"]["outputs"]] == ["inside"]
    assert "x" not in state
    assert [update["comm_id"] for update in stage.recorder.widgets.take_updates()] == ["o1"]
    assert stage.recorder.widgets.take_updates() == []
