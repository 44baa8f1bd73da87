"""What is written is valid, masked, sealed, and costs what changed."""

import json
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pauseflow_nb.errors import InvalidNotebook
from pauseflow_nb.links import Signer
from pauseflow_nb.runner import cell_statuses
from pauseflow_nb.runner import document as document_module
from pauseflow_nb.runner.document import Document, is_sealed_by

LINKS = Signer(["key"]).links("http://h", "e1", 0, "approve")


def document_of(*sources: str) -> Document:
    document = Document(new_notebook(cells=[new_code_cell(source) for source in sources]))
    cell_statuses.note_notebook_started(document, "e1")
    return document


def show(document: Document, cell: int, **output: Any) -> None:
    document.cells[cell].outputs.append(NotebookNode(output))
    document.changed(cell)


def test_it_is_laid_out_as_nbformat_lays_it_out() -> None:
    notebook = new_notebook(cells=[new_markdown_cell("# a\nb"), new_code_cell("x\n\ny")])
    data = {
        "text/plain": "a\nb",
        "text/html": "<b>\n",
        "application/json": {"b": 1, "a": [1]},
        "image/png": "QUJD\nRA==",
    }
    notebook.cells[1].outputs = [new_output("stream", text="1\n2"), new_output("display_data", data)]
    notebook.metadata["pauseflow"] = {"execution": "e1"}
    written = Document(notebook).to_bytes().decode()
    notebook.metadata["pauseflow"]["seal"] = json.loads(written)["metadata"]["pauseflow"]["seal"]

    assert written == nbformat.writes(notebook) + "\n"


def test_an_empty_notebook_is_valid() -> None:
    data = Document(new_notebook()).to_bytes()

    nbformat.validate(nbformat.reads(data.decode(), as_version=4))


def test_reading_back_gives_the_same_bytes() -> None:
    document = document_of("1", "2")
    show(document, 0, output_type="stream", name="stdout", text="a\nb")
    data = document.to_bytes()

    assert Document.from_bytes(data).to_bytes() == data


def test_bytes_that_are_no_notebook_are_refused() -> None:
    for data in (b"", b"[]", b"{}", b'{"nbformat": 3}', b"\xff"):
        with pytest.raises(InvalidNotebook):
            Document.from_bytes(data)


def test_links_are_masked_in_every_kind_of_written_output_but_not_in_live_outputs() -> None:
    document = document_of("1")
    document.hide(LINKS.values())
    link = LINKS["resume_url"]
    show(document, 0, output_type="stream", name="stdout", text=link)
    show(document, 0, output_type="error", ename="E", evalue=link, traceback=[f"at {link}"])
    show(
        document,
        0,
        output_type="display_data",
        metadata={"m": link},
        data={"text/html": f"<a href={link}>", "application/json": {link: [link]}},
    )
    document.metadata["widgets"] = {"state": {"value": link}}

    data = document.to_bytes().decode()

    assert link.rpartition("/")[2] not in data
    assert data.count("***") == 8
    assert document.cells[0].outputs[0].text == link
    nbformat.validate(nbformat.reads(data, as_version=4))


def test_nan_and_lone_surrogates_do_not_break_the_file() -> None:
    document = document_of("1")
    show(document, 0, output_type="display_data", metadata={}, data={"application/json": [float("nan"), 1.5]})
    show(document, 0, output_type="stream", name="stdout", text="\ud800")

    outputs = json.loads(document.to_bytes(), parse_constant=pytest.fail)["cells"][0]["outputs"]

    assert outputs[0]["data"]["application/json"] == [None, 1.5]
    assert outputs[1]["text"] == ["?"]


def test_the_seal_distinguishes_our_save_from_an_edit() -> None:
    document = document_of("1")
    document.metadata["widgets"] = {"seal": "a" * 32}
    data = document.to_bytes()

    assert is_sealed_by(data, "e1")
    assert not is_sealed_by(data, "e2")
    assert not is_sealed_by(data.replace(b'"1"', b'"2"'), "e1")
    assert not is_sealed_by(b"not a notebook", "e1")


def test_saving_encodes_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    document = document_of(*["print(1)"] * 200)
    encode, encoded = document_module._encode, 0

    def counting(value: Any, *, indent: str) -> bytes:
        nonlocal encoded
        encoded += 1
        return encode(value, indent=indent)

    monkeypatch.setattr(document_module, "_encode", counting)
    document.to_bytes()
    assert encoded > 200

    encoded = 0
    document.changed(100)
    document.to_bytes()
    assert encoded == 2, "the cell, and the notebook's own metadata"


def test_execution_counts_go_on_from_the_cells_before() -> None:
    document = document_of("1", "2", "3")
    document.cells[0].execution_count, document.cells[1].execution_count = 4, 5

    assert document.execution_count() == 5
    assert document.execution_count(before=1) == 4
    assert document.execution_count(before=0) == 0


def digested_ahead(*sources: str) -> Document:
    document = document_of(*sources)
    while document.digest_ahead(2):
        pass
    return document


def test_digests_made_ahead_of_a_pause_are_those_of_what_is_written() -> None:
    document = document_of("1", "2", "3")
    show(document, 0, output_type="stream", name="stdout", text="a\nb")
    show(document, 1, output_type="display_data", data={"image/png": "QUJD"}, metadata={})
    made = 0
    while document.digest_ahead(2):
        made += 1

    assert made == 2
    assert document.digest_cells() == Document.from_bytes(document.to_bytes()).digest_cells()


def test_a_cell_that_a_later_cell_goes_on_changing_is_digested_ahead_only_once() -> None:
    """Or a progress bar above a large table would be waited for at every step of it."""
    document = digested_ahead("1", "2", "3")
    before = document.digest_cells()
    show(document, 0, output_type="stream", name="stdout", text="1 %")

    assert not document.digest_ahead(2)
    assert document.digest_cells()[0] != before[0]
    assert document.digest_cells() == Document.from_bytes(document.to_bytes()).digest_cells()


def test_a_cell_that_shows_more_after_its_digest_was_made_ahead_gets_another() -> None:
    document = digested_ahead("1", "2", "3")
    before = document.digest_cells()
    show(document, 0, output_type="stream", name="stdout", text="from a thread")
    document.hide_secret("from a thread")

    assert document.digest_ahead(2)
    assert document.digest_cells()[0] != before[0]
    assert document.digest_cells() == Document.from_bytes(document.to_bytes()).digest_cells()
