"""Write the counts of a store in the text format of Prometheus."""

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pauseflow_nb.store.counts import Counts

__all__ = ["CONTENT_TYPE_LATEST", "write_metrics"]


def write_metrics(counts: Counts) -> bytes:
    """Write gauges whose names begin with `pauseflow_`; all servers of one store say the same."""
    registry = CollectorRegistry()
    registry.register(_Gauges(counts))
    return generate_latest(registry)


class _Gauges(Collector):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        counts = self._counts
        yield _by_label("pauseflow_executions", "Executions in each state.", "state", counts.executions)
        yield GaugeMetricFamily(
            "pauseflow_open_suspensions",
            "Suspensions that wait for an answer or the clock.",
            value=counts.open_suspensions,
        )
        yield GaugeMetricFamily(
            "pauseflow_queue_seconds",
            "Seconds that the oldest queued segment has waited for a worker.",
            value=counts.queue_seconds,
        )
        yield GaugeMetricFamily(
            "pauseflow_overdue_seconds",
            "Seconds since the oldest deadline that has passed without effect.",
            value=counts.overdue_seconds,
        )
        yield _by_label("pauseflow_processes", "Processes of this store that are alive.", "kind", counts.processes)


def _by_label(name: str, text: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
