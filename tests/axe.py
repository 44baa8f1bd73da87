"""axe-core on a page: what it finds against WCAG 2 A and AA, in words that say where."""

from typing import Any

__all__ = ["found_by_axe"]

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def found_by_axe(page: Any, within: str = "html") -> list[str]:
    """Run axe-core; empty if it finds nothing.

    Args:
        page: A page of Playwright. JavaScript may be off, or forbidden by the page's policy, for its own scripts.
        within: Selector of the part to look at.
    """
    from axe_playwright_python.base import AXE_SCRIPT  # axe-core as a wheel

    page.evaluate(AXE_SCRIPT)
    found: dict[str, Any] = page.evaluate(
        "([within, rules]) => axe.run(within, {runOnly: {type: 'tag', values: rules}})", [within, _RULES]
    )
    # A page on which nothing was looked at would pass as well.
    assert found["passes"], f"axe found nothing to look at within {within}"
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
