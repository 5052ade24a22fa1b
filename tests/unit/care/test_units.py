"""The units of an installed service: what they say, that systemd takes them, and who is in a sandbox."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import hubwright
from hubwright.care.units import describe
from hubwright.care.units.describe import SOCKET, notebooks_unit, units
from hubwright.care.units.installed import KEEPER, MAIN, unit_of
from hubwright.care.units.sandbox import Sandbox, settings
from hubwright.config.load import Loaded, load
from hubwright.errors import Refused
from hubwright.fields import Site

GOLDEN = Path(__file__).parents[2] / "golden" / "units"
SITE = Site(
    config=Path("/etc/hubwright/hub.yaml"),
    state=Path("/var/lib/hubwright/service"),
    run=Path("/run/hubwright/744eb523"),
    prefix=Path("/opt/hubwright/env"),
    account="hubwright",
    privileged=True,
    listen=("0.0.0.0", 443),
    public_url="https://notebooks.example.org/",
)
CASES = {
    "defaults": "hub: {listen: '127.0.0.1:8000'}\n",
    "acme": "hub: {listen: ':443', url: 'https://notebooks.example.org/'}\nhttps: {kind: acme, email: a@example.org}\n",
}


def described(yaml: str, folder: Path, site: Site = SITE) -> dict[str, str]:
    """The units of a hub.yaml at the place of an installed one."""
    file = folder / "hub.yaml"
    file.write_text(yaml)
    loaded = replace(load(file), path=SITE.config)
    assert isinstance(loaded, Loaded)
    return units(loaded, site)


def section(text: str, name: str) -> list[str]:
    return text.partition(f"[{name}]\n")[2].partition("\n\n")[0].splitlines()


@pytest.mark.parametrize("case", CASES)
def test_units_are_as_written_down(case: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """After a change on purpose: HUBWRIGHT_GOLDEN=write python -m pytest tests/unit/care/test_units.py."""
    import os

    listen = ("127.0.0.1", 8000) if case == "defaults" else SITE.listen
    made = described(CASES[case], tmp_path, replace(SITE, listen=listen))
    found = "".join(f"==> {name} <==\n{text}\n" for name, text in sorted(made.items()))
    found = found.replace(str(Path(hubwright.__file__).parent), "<package>")
    golden = GOLDEN / f"{case}.txt"
    if os.environ.get("HUBWRIGHT_GOLDEN") == "write":
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze: apt install systemd")
@pytest.mark.parametrize("case", CASES)
def test_systemd_takes_them(case: str, tmp_path: Path) -> None:
    """Every setting is known to it, every program is there."""
    made = described(CASES[case], tmp_path, replace(SITE, prefix=Path(sys.prefix)))
    folder = tmp_path / "units"
    folder.mkdir()
    for name, text in made.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, folder.iterdir())],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "hubwright" in line]
    assert (done.returncode, said) == (0, []), done.stderr


def test_a_path_is_no_other_setting(tmp_path: Path) -> None:
    """What `uninstall` removes is told by these units."""
    for state in ("/srv/hub\nState=/etc", "/srv/hub\u2028State=/etc"):
        with pytest.raises(Refused, match=r"/srv/hub.State=/etc has letters that cannot be shown"):
            described(CASES["defaults"], tmp_path, replace(SITE, state=Path(state)))


def test_notebooks_inherit_no_sandbox(tmp_path: Path) -> None:
    """Hub, Caddy and metrics have one; what starts notebooks, makes accounts or keeps the rest has none."""
    made = described(CASES["defaults"], tmp_path)
    for part in ("hub", "caddy", "metrics"):
        text = section(made[unit_of(part)], "Service")
        assert {"User=hubwright", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict"} <= set(text)
    for name in (unit_of("fork-server"), unit_of("account-helper"), notebooks_unit(SITE), KEEPER):
        keys = {line.partition("=")[0] for line in section(made[name], "Service")}
        sandbox = {key for key, _ in settings(Sandbox((), network=True, others=False, compiled=True))}
        assert not keys & (sandbox | {"User"})


def test_no_unit_takes_another_along_when_it_is_restarted(tmp_path: Path) -> None:
    """Only stopping goes from the main unit to the others; Caddy alone needs the ports.

    The main unit has no process that could end: whatever has StopPropagatedFrom= would end with it.
    """
    made = described(CASES["defaults"], tmp_path)
    for name, text in made.items():
        tied = [line for line in text.splitlines() if line.startswith(("PartOf=", "BindsTo=", "Requires="))]
        expected = {unit_of("caddy"): [f"Requires={SOCKET}"], KEEPER: [f"PartOf={MAIN}"]}
        assert tied == expected.get(name, [])
        assert ("StopPropagatedFrom=hubwright.service" in text) == (name not in (MAIN, KEEPER))
    assert {"Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/true"} <= set(section(made[MAIN], "Service"))


def test_the_fork_server_ends_alone(tmp_path: Path) -> None:
    made = described(CASES["defaults"], tmp_path)
    assert "KillMode=process" in made[unit_of("fork-server")]
    assert {"Delegate=yes", "RemainAfterExit=yes"} <= set(section(made[notebooks_unit(SITE)], "Service"))


def test_ports_are_in_the_order_in_which_caddy_expects_them(tmp_path: Path) -> None:
    """sd_listen_fds(3): from descriptor 3 on, as they stand in the unit."""
    text = described(CASES["acme"], tmp_path)[SOCKET]
    streams = [line.partition("=")[2] for line in text.splitlines() if line.startswith("ListenStream=")]
    assert streams == ["0.0.0.0:443", "/run/hubwright/744eb523/api.sock", "0.0.0.0:80"]
    assert (describe.LISTENERS.public, describe.LISTENERS.internal, describe.LISTENERS.redirect) == (3, 4, 5)


def test_what_a_program_reads_below_home_is_shown_to_it_alone() -> None:
    found = dict(settings(Sandbox((Path("/home/x/state"), Path("/run/hw")), (Path("/home/x/pages"), Path("/srv")))))
    assert found["ProtectHome"] == "tmpfs"
    assert found["BindReadOnlyPaths"] == "/home/x/pages"
    assert found["BindPaths"] == "/home/x/state"
    assert found["ReadWritePaths"] == "/run/hw"
