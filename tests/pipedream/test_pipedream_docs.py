"""docs/from-pipedream.md says what the import does."""

import re
from pathlib import Path

import nbformat
import pytest
from acceptance.pipedream_corpus import CORPUS, EXPECTED

from pauseflow_nb.pipedream import read_source, read_steps, workflow_shapes
from pauseflow_nb.pipedream.registry_actions import find_replacement
from pauseflow_nb.pipedream.write_project import import_workflows

PAGE = (Path(__file__).parents[2] / "docs" / "from-pipedream.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("header", ["%%step ship\n%%node\n", "%%step ask\ndef handler"])
def test_the_steps_that_it_shows_are_those_of_the_corpus(tmp_path: Path, header: str) -> None:
    source = CORPUS / "github-sync" / "order-approval-p_s17"
    (made,) = import_workflows(source, tmp_path / "orders").made
    cells = [cell.source for cell in nbformat.read(tmp_path / "orders" / made.path, 4).cells]
    shown = re.findall(r"^```\w+\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)

    assert [block for block in shown if block.startswith(header)] == [cell for cell in cells if cell.startswith(header)]


def test_the_bounds_that_it_names_are_in_force() -> None:
    megabyte = 2**20
    for part in (
        f"{read_source.MOST_BYTES_OF_ARCHIVE // megabyte} MB for an archive",
        f"{read_source.MOST_BYTES_PER_FILE // megabyte} MB for a",
        f"{read_source.MOST_BYTES_OF_YAML // megabyte} MB for YAML and for the code",
        f"{read_source.MOST_BYTES // megabyte} MB in all",
        f"{workflow_shapes.MOST_WORKFLOWS:,} workflows of {read_steps.MOST_STEPS:,} steps",
    ):
        assert part in " ".join(PAGE.split())
    assert read_steps.MOST_CHARACTERS == read_source.MOST_BYTES_OF_YAML


def test_it_names_how_many_workflows_and_actions_there_are() -> None:
    actions = ["email-send-email-to-self", "http-return-http-response", "http-custom-request"]
    actions += [f"http-{method}-request" for method in ("get", "post", "put", "delete")]
    actions += ["filter-continue-based-on-condition", "filter-end-based-on-condition"]

    assert f"The {len(EXPECTED)} workflows" in PAGE
    assert f"{len(actions)}" == "9"
    assert "Nine that need no account" in PAGE
    assert all(find_replacement(action) for action in actions)
