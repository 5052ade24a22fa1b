"""What zygotes are made of: it runs in old Pythons, and what Linux tells of a server is understood."""

from __future__ import annotations

import ast
import json
import os
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import hubwright
from hubwright.engines.local import own_space
from hubwright.engines.local.zygotes import callers, program, terms

HERE = Path(hubwright.__file__).parents[1]
_OF_THE_ENVIRONMENT = {"ipykernel", "IPython", "traitlets", "zmq"}


def lent() -> set[str]:
    """Return the modules of Hubwright that a zygote has, and what they import of others, by following imports."""
    found, left = set(), ["hubwright.engines.local.zygotes.program", "hubwright.engines.local.zygotes.zygote"]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        for node in ast.walk(parsed(name)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hubwright"):
                left += [one for one in (f"{node.module}.{each.name}" for each in node.names) if is_module(one)]
                left += (
                    [str(node.module)] if not any(is_module(f"{node.module}.{one.name}") for one in node.names) else []
                )
    return found


def parsed(name: str) -> ast.Module:
    return ast.parse(HERE.joinpath(*name.split(".")).with_suffix(".py").read_text(), feature_version=(3, 9))


def is_module(name: str) -> bool:
    return HERE.joinpath(*name.split(".")).with_suffix(".py").exists()


def test_what_a_zygote_has_of_hubwright_needs_the_standard_library_and_ipykernel():
    modules = lent()
    assert "hubwright.machine.namespaces" in modules
    assert len(modules) < 20, sorted(modules)
    for name in modules:
        for node in parsed(name).body:
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for one in names:
                top = one.split(".")[0]
                assert top in {*sys.stdlib_module_names, *_OF_THE_ENVIRONMENT, "hubwright"}, f"{name} imports {one}"


def test_no_module_of_hubwright_is_left_behind():
    """Run as the file that it is, by a Python that has no Hubwright on its path."""
    code = (
        "import runpy, sys; sys.argv = ['x', '{}']\n"
        f"space = runpy.run_path({str(Path(program.__file__))!r})\n"
        "space['lend'](); import hubwright.engines.local.zygotes.zygote as z\n"
        "assert 'pydantic' not in sys.modules and 'jupyter_server' not in sys.modules\n"
        "space['take_back'](); print([n for n in sys.modules if n.startswith('hubwright')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd="/")
    assert done.stdout == "[]\n", done.stderr


def test_where_debians_own_python_was_forked_its_folders_are_the_users():
    """It has others for what is installed where it is no virtual environment, and remembers them."""
    code = (
        "import json, sys, sysconfig\n"
        f"import runpy; runpy.run_path({str(Path(program.__file__))!r})['lend']()\n"
        "from hubwright.engines.local import own_space as o\n"
        "o.move_in(o.Space('/x/bin/python', {'VIRTUAL_ENV': '/x'}), sys.path[-1])\n"
        "print(json.dumps([sysconfig.get_path('purelib'), sysconfig.get_paths()['scripts'], sys.prefix]))"
    )
    done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, timeout=60, cwd="/")
    minor = "{}.{}".format(*sys.version_info[:2])
    assert json.loads(done.stdout) == [f"/x/lib/python{minor}/site-packages", "/x/bin", "/x"], done.stderr


def test_limits_and_groups_of_a_process_are_read_as_linux_tells_them():
    told = callers.limits(Path("/proc/self/limits").read_text())
    assert len(told) >= 15
    assert all(resource.getrlimit(number) == (soft, hard) for number, soft, hard in told)
    assert sorted(callers.groups(Path("/proc/self/status").read_text())) == sorted(os.getgroups())


@pytest.mark.parametrize(
    ("names", "hides"),
    [
        (["_hubwright.pth"], False),
        (["_hubwright.pth", "hwt_other.py", "hwt_other-1.0.dist-info"], False),
        (["json"], True),
        (["asyncio.py"], True),
        (["editable.pth"], True),
        (["sitecustomize.py"], True),
    ],
)
def test_packages_that_would_have_been_imported_instead_are_seen(tmp_path, names, hides):
    packages = tmp_path / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    packages.mkdir(parents=True)
    for name in names:
        (packages / name).touch()
    space = own_space.Space(str(tmp_path / "bin" / "python"), {"VIRTUAL_ENV": str(tmp_path)})
    assert space.hides() is hides


@pytest.mark.root
def test_capabilities_are_what_is_said_and_namespaces_are_left():
    """In a process of its own; what it leaves it cannot have back."""
    code = f"""
import os
from hubwright.machine import capabilities as c, namespaces
namespaces.leave_network_and_mounts()
namespaces.make_read_only()
try:
    open('/var/tmp/hwt-no', 'w')
except OSError as error:
    print(error.strerror)
print(len(open('/proc/self/net/dev').readlines()))
c.keep_over_change_of_identity()
os.setresuid(65534, 65534, 65534)
c.have({terms.POWERS!r}, effective=False)
print([line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapPrm', 'CapEff'))])
c.have((), effective=False)
try:
    c.have({terms.POWERS!r}, effective=True)
except PermissionError:
    print('gone')
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    bits = f"{sum(1 << one for one in terms.POWERS):016x}"
    assert done.stdout.splitlines() == ["Read-only file system", "3", str([bits, "0" * 16]), "gone"], done.stderr


def test_threadpoolctl_is_one_file():
    """A zygote loads it from there, where its environment has none."""
    spec = find_spec("threadpoolctl")
    assert spec and spec.origin and Path(spec.origin).name == "threadpoolctl.py"
