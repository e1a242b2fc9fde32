"""A run as metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


def metrics_of(overview: Mapping[str, Any], names: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The text that Prometheus reads, of an overview (``Live.overview``) and the statistics by name (``stats --json``)."""
    registry = CollectorRegistry()
    registry.register(_Run(overview, names))
    return generate_latest(registry)


class _Run(Collector):
    def __init__(self, overview: Mapping[str, Any], names: Mapping[str, Mapping[str, Any]]) -> None:
        self._overview = overview
        self._names = names

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        overview = self._overview
        targets = GaugeMetricFamily("jobtree_targets", "Targets by name and state", labels=["name", "state"])
        retries = CounterMetricFamily("jobtree_retries", "Attempts that were followed by another one", labels=["name"])
        for one in overview["names"]:
            for state, count in one["counts"].items():
                targets.add_metric([one["name"], state], count)
            retries.add_metric([one["name"]], one["retries"])
        yield from (targets, retries)
        for field, title, words in (
            ("time", "jobtree_wall_seconds", "Wall clock of attempts that ended well"),
            ("cpu", "jobtree_cpu_seconds", "Cpu time of attempts that ended well"),
            ("wait", "jobtree_wait_seconds", "Time between being ready and beginning"),
        ):
            family = CounterMetricFamily(title, words, labels=["name"])
            for name, stats in self._names.items():
                family.add_metric([name], stats[field]["total"])
            yield family
        peak = GaugeMetricFamily("jobtree_peak_memory_bytes", "Highest peak of memory", labels=["name"])
        for name, stats in self._names.items():
            peak.add_metric([name], stats["memory"]["max"])
        yield peak
        state = GaugeMetricFamily("jobtree_state", "1 for the state that the run is in", labels=["state"])
        for word in ("running", "complete", "failed", "stopped"):
            state.add_metric([word], overview["state"] == word)
        yield state
        for title, words, value in (
            ("jobtree_workers", "Workers that are there", overview["workers_total"]),
            ("jobtree_elapsed_seconds", "Time that masters have spent on it", overview["elapsed"]),
            ("jobtree_utilisation_ratio", "Share of the workers' cpu-seconds in which a target ran", overview["utilisation"]),
            ("jobtree_lost_attempts", "Attempts that went down with their worker", overview["lost"]),
        ):
            yield GaugeMetricFamily(title, words, value=value)
