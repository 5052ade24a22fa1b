"""The same for Prometheus, in its text format.

Source: https://prometheus.io/docs/instrumenting/writing_exporters/ (names, units, labels).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hubwright.metrics.answers import Reserves, gpu_memory, reserved
from hubwright.metrics.sampler import Sampler
from hubwright.metrics.store import Home

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SERVER = ("user", "server")


def text(sampler: Sampler, homes: Mapping[str, Home], disk: tuple[int, int], reserves: Reserves) -> bytes:
    """Return every metric as of now."""
    registry = CollectorRegistry()
    registry.register(_Collector([*_servers(sampler, reserves), *_machine(sampler, disk), *_homes(homes)]))
    return generate_latest(registry)


class _Collector:
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _servers(sampler: Sampler, reserves: Reserves) -> Iterable[Metric]:
    spent = CounterMetricFamily(
        "hubwright_server_cpu_seconds", "Processor time that a server has used since its start.", labels=_SERVER
    )
    gauges = {
        name: GaugeMetricFamily(f"hubwright_server_{name}", words, labels=_SERVER)
        for name, words in {
            "memory_working_set_bytes": "Memory of a server, without file pages that can be dropped.",
            "processes": "Processes and threads of a server.",
            "cpu_limit_cores": "The most processors that a server may use.",
            "memory_limit_bytes": "The most memory that a server may take.",
            "processes_limit": "The most processes and threads that a server may have.",
            "cpu_reserved_cores": "Processors that are kept for a server.",
            "memory_reserved_bytes": "Memory that is kept for a server.",
            "gpu_memory_bytes": "GPU memory that a server holds.",
        }.items()
    }
    for live in list(sampler.servers.values()):
        labels = (live.running.user, live.running.server)
        if live.spent is not None:
            spent.add_metric(labels, live.spent)
        cpu, memory = reserved(reserves, live)
        for name, value in (
            ("memory_working_set_bytes", live.memory),
            ("processes", live.processes),
            ("cpu_limit_cores", live.limits.cpu),
            ("memory_limit_bytes", live.limits.memory),
            ("processes_limit", live.limits.processes),
            ("cpu_reserved_cores", cpu or None),
            ("memory_reserved_bytes", memory or None),
            ("gpu_memory_bytes", gpu_memory(sampler, live)),
        ):
            if value is not None:
                gauges[name].add_metric(labels, value)
    yield spent
    yield from gauges.values()


def _machine(sampler: Sampler, disk: tuple[int, int]) -> Iterable[Metric]:
    totals = sampler.totals
    if totals is not None:
        busy = "Processor time that all programs of the machine have used since its start."
        yield CounterMetricFamily("hubwright_machine_cpu_seconds", busy, value=totals.busy)
        yield GaugeMetricFamily("hubwright_machine_cpus", "Processors of the machine.", value=totals.cpus)
        used = "Memory of the machine that cannot be had."
        yield GaugeMetricFamily("hubwright_machine_memory_used_bytes", used, value=totals.memory)
        yield GaugeMetricFamily("hubwright_machine_memory_bytes", "Memory of the machine.", value=totals.memory_total)
        yield GaugeMetricFamily("hubwright_machine_load1", "Load of the machine over a minute.", value=totals.load[0])
    if disk[1]:
        used = "Disk used in the file system of the homes."
        yield GaugeMetricFamily("hubwright_homes_disk_used_bytes", used, value=disk[0])
        yield GaugeMetricFamily("hubwright_homes_disk_bytes", "Size of that file system.", value=disk[1])
    labels = ("gpu", "name")
    busy_gpu = GaugeMetricFamily("hubwright_gpu_busy_ratio", "How busy a GPU is, 0 to 1.", labels=labels)
    memory = GaugeMetricFamily("hubwright_gpu_memory_used_bytes", "Memory of a GPU in use.", labels=labels)
    for number, gpu in enumerate(sampler.gpus):
        busy_gpu.add_metric((str(number), gpu.name), gpu.busy)
        memory.add_metric((str(number), gpu.name), gpu.memory)
    yield busy_gpu
    yield memory
    trouble = "1 while the history cannot be written, else 0."
    yield GaugeMetricFamily("hubwright_metrics_history_trouble", trouble, value=float(bool(sampler.trouble)))


def _homes(homes: Mapping[str, Home]) -> Iterable[Metric]:
    taken = GaugeMetricFamily(
        "hubwright_home_bytes", "Disk that a home takes, when it was last counted.", labels=["user"]
    )
    limit = GaugeMetricFamily("hubwright_home_limit_bytes", "The most that a home may take.", labels=["user"])
    for user, home in list(homes.items()):
        taken.add_metric([user], home.bytes)
        if home.limit:
            limit.add_metric([user], home.limit)
    yield taken
    yield limit
