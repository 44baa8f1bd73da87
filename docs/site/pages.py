"""Add to the documentation's site what stands elsewhere in the repository, and make links to it work there.

MkDocs calls the functions whose names begin with `on_`. Pages of the repository's root, results of benchmarks and the
example notebooks become pages; the REST API is written from its OpenAPI file. A link to a file that is no page of the
site becomes plain text, and a link whose text is a file's name gets the title of its page.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OPENAPI = ROOT / "pauseflow_nb" / "server" / "api" / "openapi.yaml"
#: Links to other places and to places of the same page stay as they are.
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>(?![a-z]+:|#)[^)#\s]+)(?P<anchor>#[^)]*)?\)")
ITEM = re.compile(r"(?:[-*]|\d+\.) +(?=\S)")
IMAGE = re.compile(r'(<img src=")(?:docs/)(images/[^"]+")')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("benchmarks/results/*.md"), *ROOT.glob("notebooks/*.md")]):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        name = path.relative_to(ROOT).with_suffix(".md").as_posix()
        files.append(File.generated(config, name, content=_write_notebook(path)))
    files.append(File.generated(config, "reference/http.md", content=_write_openapi()))
    for file in files:
        if file.src_uri.startswith(("benchmarks/", "notebooks/")) and file.src_uri != "notebooks/README.md":
            file.inclusion = file.inclusion.NOT_IN_NAV
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links within the repository into links within the site."""
    del config
    here = page.file.src_uri
    # In the repository, pages of docs/ are a folder below those of its root; on the site they are beside each other.
    is_of_root = (ROOT / here).exists()
    folder = posixpath.dirname(here if is_of_root else posixpath.join("docs", here))

    def replace(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found["path"]))
        name = target.removeprefix("docs/")
        name = {"notebooks": "notebooks/README.md"}.get(name, name)
        name = name.removesuffix(".ipynb") + ".md" if name.endswith(".ipynb") else name
        file = files.get_file_from_path(name)
        if file is None:
            return found["text"]
        link = posixpath.relpath(name, posixpath.dirname(here) or ".")
        text = _title(file) if found["text"].endswith(".md") else found["text"]
        return f"{found['image']}[{text}]({link}{found['anchor'] or ''})"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    text = "".join(part if at % 2 else LINK.sub(replace, part) for at, part in enumerate(parts))
    return indent_lists(IMAGE.sub(r"\1\2", text))


def _title(file: File) -> str:
    return file.content_string.partition("\n")[0].lstrip("# ")


def indent_lists(text: str) -> str:
    """Indent what is in a list by four columns for each level, as MkDocs wants it; GitHub is content with less."""
    columns: list[int] = []  # where the texts of the open items begin
    lines, in_code = [], False
    for line in text.split("\n"):
        rest = line.lstrip(" ")
        column = len(line) - len(rest)
        while rest and columns and column < columns[-1]:
            columns.pop()
        lines.append(" " * (4 * len(columns) + column - (columns[-1] if columns else 0)) + rest if rest else "")
        if rest.startswith("```"):
            in_code = not in_code
        elif not in_code and (item := ITEM.match(rest)):
            columns.append(column + len(item[0]))
    return "\n".join(lines)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that loads something from elsewhere: it must work without a network, and tell nobody who reads it."""
    loads = []
    for path in sorted(Path(config.site_dir).rglob("*.html")):
        parser = _Loads()
        parser.feed(path.read_text(encoding="utf-8"))
        loads += [f"{path.name}: {address}" for address in parser.addresses]
    if loads:
        message = f"these pages load something from elsewhere: {', '.join(loads)}"
        raise PluginError(message)


class _Loads(HTMLParser):
    """The addresses elsewhere from which a browser loads something to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element loads."""
        values = dict(attrs)
        loaded = values.get("src") or (
            values.get("href") if tag == "link" and values.get("rel") != "canonical" else None
        )
        if loaded and urlsplit(loaded).netloc:
            self.addresses.append(loaded)


def _write_notebook(path: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    cells = (
        cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```"
        for cell in notebook.cells
        if cell.source.strip()
    )
    return "\n\n".join(cells) + "\n"


def _write_openapi() -> str:
    """Write the REST API as Markdown."""
    api = yaml.safe_load(OPENAPI.read_text(encoding="utf-8"))
    lines = ["# REST API", "", api["info"]["description"], ""]
    lines += ["For tools: `pauseflow_nb/server/api/openapi.yaml` in the package.", ""]
    for path, operations in api["paths"].items():
        shared = operations.get("parameters", [])
        for method, operation in operations.items():
            if method != "parameters":
                lines += [f"## `{method.upper()} {path}`", "", operation["summary"], ""]
                lines += [operation["description"], ""] if "description" in operation else []
                lines += _write_inputs(api, [*shared, *operation.get("parameters", [])], operation.get("requestBody"))
                lines += ["| answer | means |", "|---|---|"]
                for status, answer in operation["responses"].items():
                    found = _resolve(api, answer)
                    lines.append(f"| {status} | {_one_line(found['description'])}{_name_schema(found)} |")
                lines.append("")
    lines += ["## Shapes", ""]
    for name, schema in api["components"]["schemas"].items():
        lines += [f"### {name}", "", _one_line(schema.get("description", "")), ""]
        lines += _write_properties(api, schema)
    return "\n".join(lines)


def _write_inputs(api: Mapping[str, Any], parameters: Iterable[Any], body: Mapping[str, Any] | None) -> list[str]:
    rows = [
        f"| `{one['name']}` | {one['in']} | {_one_line(one.get('description', ''))} |"
        for one in (_resolve(api, each) for each in parameters)
    ]
    lines = ["| parameter | in | |", "|---|---|---|", *rows, ""] if rows else []
    if body is not None:
        for kind, content in _resolve(api, body)["content"].items():
            schema = _resolve(api, content.get("schema", {}))
            lines += [
                f"Body, `{kind}`{_name_schema({'content': {kind: content}})}: {_one_line(schema.get('description', ''))}",
                "",
            ]
            lines += _write_properties(api, schema)
    return lines


def _write_properties(api: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    properties = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        properties |= _resolve(api, part).get("properties", {})
    rows = [
        f"| `{name}` | {_name_type(api, each)} | {_one_line(each.get('description', ''))} |"
        for name, each in properties.items()
    ]
    return ["| name | type | |", "|---|---|---|", *rows, ""] if rows else []


def _resolve(api: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        found: Any = api
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def _name_type(api: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"])
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_name_type(api, schema.get('items', {}))}"
    for combined in ("oneOf", "anyOf", "allOf"):
        if combined in schema:
            return " or ".join(_name_type(api, each) for each in schema[combined])
    return f"{schema.get('type', 'any')}{' or null' if schema.get('nullable') else ''}"


def _name_schema(answer: Mapping[str, Any]) -> str:
    names = {
        part["$ref"]
        for content in answer.get("content", {}).values()
        for part in [content.get("schema", {}), *content.get("schema", {}).get("oneOf", [])]
        if "$ref" in part
    }
    return f" ({', '.join(map(_link, sorted(names)))})" if names else ""


def _link(reference: str) -> str:
    name = reference.rpartition("/")[2]
    return f"[{name}](#{name.lower()})"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
