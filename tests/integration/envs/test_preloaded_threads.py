"""Kernels of an environment made by uv, forked after what starts threads in its work was imported.

OpenMP and BLAS keep their threads, and a fork has none of them: work that believes in them waits for ever.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import wheels
from tests.conftest import Account, wait_until
from tests.integration.envs.test_zygotes import is_forked, parent, pid_of, zygote_of
from tests.integration.local.test_parity import PROBE, _differences
from tests.running import Kernel, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
WHEEL = os.environ.get("HUBWRIGHT_TEST_TORCH", "")
"""A wheel of PyTorch for processors and this Python: it has 190 MB, and is tested where somebody has fetched one."""
YAML = """\
hub: {listen: "127.0.0.1:{port}"}
auth: {kind: pam, allow: all}
environments:
  lab: {kind: uv, packages: [PACKAGES], preload: [PRELOAD]}
  twin: {kind: uv, packages: [PACKAGES]}
"""
EAGER = """\
import numpy, pykdtree.kdtree
POINTS = numpy.random.default_rng(1).random((50_000, 3))
FOUND = pykdtree.kdtree.KDTree(POINTS).query(POINTS, k=4)[0].sum()
"""
"""Works with OpenMP when it is imported."""
NUMBERS = """\
import eager, json, numexpr, threadpoolctl
told = {one["internal_api"]: one["num_threads"] for one in threadpoolctl.threadpool_info()}
print(json.dumps([told, numexpr.nthreads, numexpr.get_num_threads()]))
"""
WORK = """\
import json, os, numexpr, numpy, pykdtree.kdtree as kdtree, eager
before = len(os.listdir("/proc/self/task"))
one = numpy.random.default_rng(2).random((600, 600))
right = bool(numpy.allclose((one @ one)[3], one[3] @ one))
right &= bool(numpy.allclose(numexpr.evaluate("one * 2 + 1"), one * 2 + 1))
right &= abs(kdtree.KDTree(eager.POINTS).query(eager.POINTS, k=4)[0].sum() - eager.FOUND) < 1e-6
with open("/proc/self/maps") as maps:
    right &= "libgomp" in maps.read()
print(json.dumps([bool(right), len(os.listdir("/proc/self/task")) - before]))
"""
TRAIN = """\
import json, os, threading, torch, torch.utils.data as data
one = torch.rand(2000, 2000)
told = [bool(torch.allclose((one @ one)[3], one[3] @ one, rtol=1e-3))]
def work():
    told.append([torch.get_num_threads(), bool((one @ one).isfinite().all())])
other = threading.Thread(target=work)
other.start(); other.join()
for number in (1, 2):
    torch.set_num_threads(number)
    told.append(bool((one @ one).isfinite().all()))
layers = torch.nn.Sequential(torch.nn.Linear(50, 200), torch.nn.ReLU(), torch.nn.Linear(200, 1))
optimizer = torch.optim.SGD(layers.parameters(), lr=0.01)
rows = data.TensorDataset(torch.ones(256, 50), torch.ones(256, 1))
losses = []
for _ in range(3):
    for x, y in data.DataLoader(rows, batch_size=64, num_workers=2):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(layers(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
print(json.dumps([*told, losses[-1] < losses[0]]))
"""


def made(service: Callable[..., Service], packages: list[str], preload: str) -> Service:
    """Return a service that has built its environments, and whose zygote is ready."""
    one = service(YAML.replace("PACKAGES", json.dumps(packages)[1:-1]).replace("PRELOAD", preload))
    one.up(wait=280)
    wait_until(lambda: zygote_of(one), 120)
    return one


def side_by_side(kernels: list[Kernel], code: str) -> list[Any]:
    """Run a cell that prints JSON in each kernel at the same time; return what they printed."""
    asked = [one.send(code) for one in kernels]
    told = []
    for kernel, number in zip(kernels, asked, strict=True):
        said = [one["content"] for one in kernel.until_idle(number) if one["msg_type"] in ("stream", "error")]
        assert [*said[0]] == ["name", "text"], said
        told.append(json.loads(said[0]["text"]))
    return told


@pytest.fixture(scope="module")
def running(service: Callable[..., Service], tmp_path_factory: pytest.TempPathFactory) -> Service:
    eager = wheels.write(tmp_path_factory.mktemp("wheels"), "eager", files={"eager.py": EAGER})
    eager.parent.chmod(0o755)
    packages = ["numpy", "numexpr", "pykdtree", "threadpoolctl", f"eager @ {eager.as_uri()}"]
    return made(service, packages, "numpy, numexpr, pykdtree.kdtree, eager")


@pytest.fixture(scope="module")
def other(module_account: Callable[..., Account]) -> Account:
    return module_account()


def test_a_forked_kernel_is_the_environments_and_what_execution_gives(running, person):
    notebook = running.opened(person.name)
    kernel, executed = notebook.kernel("lab"), notebook.kernel("twin")
    assert parent(pid_of(kernel)) == zygote_of(running)
    assert not is_forked(executed, running)
    loaded = "import json, sys; print(json.dumps(['eager' in sys.modules, sys.executable]))"
    own = person.home / ".local/share/hubwright/environments" / "{}-{}.{}".format("lab", *sys.version_info[:2])
    assert kernel.value(loaded) == [True, f"{own}/bin/python"]
    assert not executed.value(loaded)[0]
    prefix = (running.environments / "lab/current/prefix").resolve()
    assert kernel.run("import numpy, eager; print(numpy.__file__, eager.__file__)").count(f"{prefix}/lib/") == 2
    assert f" from {prefix}/lib/" in kernel.run("%pip --version")
    probed = [json.loads(json.dumps(one.value(PROBE)).replace("/twin", "/lab")) for one in (kernel, executed)]
    assert not list(_differences(*probed)), "\n".join(_differences(*probed))


def test_openmp_and_blas_have_their_threads_after_the_fork_for_two_people(running, person, other):
    both = [running.opened(one.name).kernel("lab") for one in (person, other)]
    assert all(is_forked(one, running) for one in both)
    for right, started in side_by_side(both, WORK):
        assert right
        assert started >= min(1, len(os.sched_getaffinity(0)) - 1)
    forked, executed = (running.opened(person.name).kernel(name).value(NUMBERS) for name in ("lab", "twin"))
    assert forked == executed
    assert set(forked[0]) == {"openblas", "openmp"}


def test_a_new_version_has_a_fork_server_of_its_own_for_new_kernels(running, person, other):
    notebook = running.opened(person.name)
    running.opened(other.name)
    before, old = notebook.kernel("lab"), zygote_of(running)
    path = running.folder / "hub.yaml"
    head, mark, twin = path.read_text().partition("  twin:")
    head = head.replace('"numexpr"', '"numexpr", "toolz"').replace("preload: [", "preload: [toolz, ")
    path.write_text(head + mark + twin)
    running.cli("env", "build", "lab")
    wait_until(lambda: zygote_of(running) not in (0, old), 60)
    after = notebook.kernel("lab")
    assert parent(pid_of(after)) == zygote_of(running)
    loaded = "import sys; print('toolz' in sys.modules, sys.modules['eager'].__file__.split('/versions/')[1][0])"
    assert (before.run(loaded), after.run(loaded)) == ("False 1\n", "True 2\n")
    assert parent(pid_of(before)) == old, "it has a kernel"
    for someone in (person, other):
        running.stop(someone.name)
    wait_until(lambda: not Path(f"/proc/{old}").exists(), 30)


@pytest.mark.optional
@pytest.mark.skipif(
    not WHEEL, reason="needs a wheel of PyTorch, 190 MB: HUBWRIGHT_TEST_TORCH=/path/of/a/wheel names it"
)
def test_torch_works_after_the_fork_for_two_people(service, person, other):
    running = made(service, [f"torch @ {Path(WHEEL).resolve().as_uri()}", "numpy", "threadpoolctl"], "torch")
    both = [running.start(one.name).kernel("lab") for one in (person, other)]
    assert all(is_forked(one, running) for one in both)
    told = side_by_side(both, TRAIN)
    executed = running.opened(person.name).kernel("twin")
    numbers = (
        "import json, torch, threadpoolctl\n"
        "told = {one['internal_api']: one['num_threads'] for one in threadpoolctl.threadpool_info()}\n"
        "print(json.dumps([torch.get_num_threads(), torch.get_num_interop_threads(), told]))"
    )
    forked = running.opened(person.name).kernel("lab")
    assert is_forked(forked, running)
    assert forked.value(numbers) == executed.value(numbers)
    assert told == [executed.value(TRAIN)] * 2
