"""The Grafana dashboard asks for metrics that there are."""

import json
import re
from importlib.resources import files

from hubwright.machine.usage import Running
from hubwright.metrics.counters import Limits
from hubwright.metrics.exposition import text
from hubwright.metrics.sampler import Live, Sampler
from hubwright.metrics.store import Home
from hubwright.metrics.totals import Gpu, Totals


def told() -> set[str]:
    """The names of everything that Prometheus can be told."""
    sampler = Sampler(None, None, 5, None, None, gpus=(Gpu("g", 0.5, 1, 2),), totals=Totals(2, 9.0, 1, 2, (1, 1, 1)))
    live = Live("k", Running('a"d\\a', "la\nb", "1"), None, 1.0, Limits(1.0, 2, 3), spent=5.0, memory=7, processes=8)
    sampler.servers["k"] = live
    body = text(sampler, {"ada": Home(1, 2, 3, True)}, (1, 2), {'a"d\\a': {"la\nb": (0.5, 6)}}).decode()
    assert 'hubwright_server_cpu_seconds_total{server="la\\nb",user="a\\"d\\\\a"} 5.0' in body
    assert 'hubwright_server_memory_reserved_bytes{server="la\\nb",user="a\\"d\\\\a"} 6.0' in body
    return {line.split("{")[0].split(" ")[0] for line in body.splitlines() if not line.startswith("#")}


def test_the_dashboard_asks_for_what_there_is():
    board = json.loads(files("hubwright.metrics").joinpath("grafana.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    names = {name for expression in asked for name in re.findall(r"hubwright_\w+", expression)}
    assert names - told() == set()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
