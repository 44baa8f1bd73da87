"""Write the counts of a store in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from pauseflow_nb.store.counts import Counts


def write_metrics(counts: Counts) -> bytes:
    """Write gauges whose names begin with `pauseflow_`; all servers of one store say the same."""
    registry = CollectorRegistry()
    for name, text, label, values in (
        ("executions", "Executions in each state.", "state", counts.executions),
        ("open_suspensions", "Suspensions that wait for an answer or the clock.", None, counts.open_suspensions),
        (
            "queue_seconds",
            "Seconds that the oldest queued segment has waited for a worker.",
            None,
            counts.queue_seconds,
        ),
        (
            "overdue_seconds",
            "Seconds since the oldest deadline that has passed without effect.",
            None,
            counts.overdue_seconds,
        ),
        ("processes", "Processes of this store that are alive.", "kind", counts.processes),
    ):
        gauge = Gauge(f"pauseflow_{name}", text, [label] if label else (), registry=registry)
        if isinstance(values, dict):
            for value, number in values.items():
                gauge.labels(value).set(number)
        else:
            gauge.set(values)
    return generate_latest(registry)
