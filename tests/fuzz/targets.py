"""All fuzz targets: `make fuzz` gives them many inputs, `make test` a few."""

from fuzz import commands, links, notebooks, parsers, service, snapshots

__all__ = ["TARGETS"]

TARGETS = [
    *parsers.TARGETS,
    *notebooks.TARGETS,
    *snapshots.TARGETS,
    *links.TARGETS,
    *commands.TARGETS,
    *service.TARGETS,
]
