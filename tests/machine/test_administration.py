"""What an administrator sets on the whole machine: quotas of homes, the firewall, a tunnel; each for real, in a guest."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from tests.conftest import wait_until
from tests.machine.guest import Failed, Guest

pytestmark = [pytest.mark.root, pytest.mark.long]

CONFIG = "/srv/hub/hub.yaml"
SERVED = "http://127.0.0.1:{port}/etc/hostname"


@pytest.fixture(scope="module")
def machine(module_guest: Guest) -> Iterator[Guest]:
    """A guest whose files are served on two ports, 8000 for the service and another."""
    module_guest.wait("systemctl is-active ssh")
    yield module_guest


def hubwright(machine: Guest, words: str) -> str:
    command, _, rest = words.partition(" ")
    return machine.run(f"hubwright {command} --config {CONFIG} {rest}", 60)


def serve(machine: Guest, port: int, address: str = "0.0.0.0") -> None:
    """Serve the machine's files on a port, as any program would."""
    unit = f"pages-{port}"
    machine.run(
        f"systemd-run --quiet --unit={unit} /usr/bin/python3 -m http.server --directory / --bind {address} {port}"
    )
    machine.wait(f"curl -sf http://{address}:{port}/etc/hostname")


def test_a_home_takes_no_more_than_its_quota(machine: Guest) -> None:
    """On ext4: nothing without quotas, and it is said; then as much as hub.yaml says, more when it says more."""
    yaml = "auth: {kind: pam}\npeople: {roster: people.yaml, quota: 20M}\n"
    machine.put(CONFIG, yaml)
    machine.put("/srv/hub/people.yaml", "[ada]\n")
    assert "people.quota has no effect: the file system of /home (ext4) is mounted without quotas" in plan(machine, 2)
    machine.run("mount -o remount,usrquota / && quotacheck -cum -F vfsv1 / && quotaon /", 60)
    hubwright(machine, "apply")
    assert "has no effect" not in plan(machine, 0)
    fills = "dd if=/dev/zero of=$HOME/big bs=1M count=40 2>&1; stat -c %s $HOME/big"
    said = machine.run(fills.replace("$HOME", "/home/ada"), user="ada")
    assert "Disk quota exceeded" in said and 19 * 2**20 <= int(said.split()[-1]) <= 20 * 2**20, said
    machine.put(CONFIG, yaml.replace("20M", "30M"))
    assert "at most 30M" in plan(machine, 2)
    hubwright(machine, "apply")
    said = machine.run(fills.replace("$HOME", "/home/ada"), user="ada")
    assert "Disk quota exceeded" in said and 29 * 2**20 <= int(said.split()[-1]) <= 30 * 2**20, said
    assert "has no effect" not in plan(machine, 0)


DISKS = {
    "ext4": "mkfs.ext4 -q -O quota,project -E quotatype=prjquota {} 64M",
    "xfs": "truncate -s 320M {0} && mkfs.xfs -q {0}",
}
"""As docs/people.md says; the guest has neither program."""


@pytest.fixture(params=DISKS)
def disk(request: pytest.FixtureRequest, machine: Guest, tmp_path: Path) -> Iterator[str]:
    """A file system with projects, mounted on /srv/disk without their quotas; which one."""
    make = DISKS[request.param].format(tmp_path / "image")
    if not shutil.which(f"mkfs.{request.param}", path="/usr/sbin:/sbin"):
        pytest.skip(f"needs mkfs.{request.param}: ./test as root installs that")
    subprocess.run(["sh", "-c", f"PATH=$PATH:/usr/sbin:/sbin; {make} && gzip {tmp_path}/image"], check=True, timeout=60)
    machine.put("/srv/image.gz", (tmp_path / "image.gz").read_bytes())
    machine.run("gunzip -f /srv/image.gz && mkdir -p /srv/disk && mount -o loop /srv/image /srv/disk")
    yield request.param
    machine.run("umount /srv/disk && rm /srv/image")


def test_a_shared_folder_takes_no_more_than_its_quota(machine: Guest, disk: str) -> None:
    """All that is in it together, whoever made it; also what was there before, and nothing outside."""
    yaml = (
        "auth: {kind: pam}\npeople:\n  roster: people.yaml\n  shared:\n"
        "    - {folder: /srv/disk/notes, quota: 5M}\n    - {folder: /srv/disk/biology, group: biology, quota: 20M}\n"
    )
    machine.put(CONFIG, yaml)
    machine.put("/srv/hub/people.yaml", "- {address: ada, groups: [biology]}\n- {address: bob, groups: [biology]}\n")
    told = f"The quota of /srv/disk/biology has no effect: the file system of /srv/disk/biology ({disk}) is mounted without"
    assert told in plan(machine, 2)
    hubwright(machine, "apply")
    folder = "/srv/disk/biology"
    machine.run(f"cd {folder} && mkdir before && dd if=/dev/zero of=before/big bs=1M count=8 2>&1", user="ada")
    machine.run(f"cd {folder} && mkfifo pipe && ln -s /srv/disk/elsewhere link", user="bob")
    machine.run("touch /srv/disk/elsewhere && umount /srv/disk && mount -o loop,prjquota /srv/image /srv/disk")
    said = plan(machine, 2)
    assert "may take 20M together" in said and "may take 5M together" in said and "has no effect" not in said
    hubwright(machine, "apply")
    assert "may take" not in plan(machine, 0)
    assert 8 <= taken(machine)[20] < 9 and taken(machine)[5] < 1, taken(machine)

    def fills(limit: int) -> None:
        """What is in the folder, with what bob adds in a folder of his own, ends at the limit."""
        said = machine.run(
            f"cd {folder} && mkdir -p his && dd if=/dev/zero of=his/own bs=1M count=50 2>&1; sync", 60, user="bob"
        )
        assert {"ext4": "Disk quota exceeded", "xfs": "No space left on device"}[disk] in said, said
        assert limit - 1 <= taken(machine)[limit] <= limit, taken(machine)

    fills(20)
    assert machine.code(f"dd if=/dev/zero of={folder}/more bs=1M count=2 conv=fsync", user="ada") != 0
    assert machine.run("echo note > /srv/disk/notes/one && cat /srv/disk/notes/one", user="ada") == "note\n"
    if disk == "xfs":  # what follows is the same program
        return
    machine.put(CONFIG, yaml.replace("20M", "30M"))
    hubwright(machine, "apply")
    fills(30)
    machine.put(CONFIG, yaml.replace(", quota: 20M", ""))
    assert "may take what there is" in plan(machine, 2)
    hubwright(machine, "apply")
    machine.run(f"dd if=/dev/zero of={folder}/free bs=1M count=15", user="ada")
    assert "may take" not in plan(machine, 0)


def taken(machine: Guest) -> dict[int, float]:
    """Return what projects take, in MB, by their limit."""
    told = re.findall(r"^#\d+ +\S+ +(\d+) +\d+ +(\d+) ", machine.run("repquota -P -n /srv/disk"), re.MULTILINE)
    return {int(limit) // 1024: int(used) / 1024 for used, limit in told if limit != "0"}


def plan(machine: Guest, code: int) -> str:
    """Return what `plan` prints, which leaves with 2 when there is something to do."""
    try:
        said, left = hubwright(machine, "plan"), 0
    except Failed as failed:
        said, left = str(failed), int(re.search(r"left with code (\d+)", str(failed))[1])  # type: ignore[index]
    assert left == code, said
    return " ".join(said.split())


def comes(port: int) -> bool:
    """Whether somebody outside gets an answer on a port that leads into the guest."""
    try:
        with urlopen(SERVED.format(port=port), timeout=10) as answer:
            return answer.read() == b"fresh\n"
    except (URLError, OSError):
        return False


@pytest.fixture(scope="module")
def outside(machine: Guest) -> Iterator[tuple[int, int]]:
    """Two ports of ours that lead to the guest's 8000, which is the service's, and 9000."""
    machine.put(CONFIG, "hub: {listen: ':8000'}\nhttps: {kind: none, insecure: true}\n")
    ports = machine.forward(8000), machine.forward(9000)
    yield ports


def check_that_it_holds(machine: Guest, outside: tuple[int, int]) -> None:
    """The session over which rules were set goes on, another comes, the service is reached, and nothing else."""
    machine.run("true")
    machine.new_connection()
    machine.run("true")
    assert [comes(port) for port in outside] == [True, False]


def test_nftables_is_set_over_ssh_and_cuts_nobody_off(machine: Guest, outside: tuple[int, int]) -> None:
    """Refused while it would shut something or somebody out; then it holds, also after a boot; taken away as is told."""
    for port in (8000, 9000):
        serve(machine, port)
    apply = "firewall --apply --kind nftables"
    for words, told in ((apply, "9000/tcp"), (f"{apply} --close --ssh-from 192.0.2.0/24", "would shut you out")):
        with pytest.raises(Failed, match=told):
            hubwright(machine, words)
    assert [comes(port) for port in outside] == [True, True]
    hubwright(machine, f"{apply} --close")
    check_that_it_holds(machine, outside)
    machine.reboot()
    for port in (8000, 9000):
        serve(machine, port)
    check_that_it_holds(machine, outside)
    machine.run("systemctl disable --now hubwright-firewall && ! nft list table inet hubwright")  # docs/service.md
    wait_until(lambda: [comes(port) for port in outside] == [True, True])


def test_ufw_is_set_over_ssh_and_cuts_nobody_off(machine: Guest, outside: tuple[int, int]) -> None:
    """Also with another port, which a later run takes away again; what an administrator has added stays."""
    machine.run("ufw allow 7/tcp")
    apply = "firewall --apply --kind ufw"
    hubwright(machine, f"{apply} --also 9000")
    assert [comes(port) for port in outside] == [True, True]
    hubwright(machine, f"{apply} --close")
    check_that_it_holds(machine, outside)
    said = machine.run("ufw status && systemctl is-enabled ufw")
    assert "Status: active" in said and "7/tcp" in said and "9000" not in said and "enabled" in said
    machine.run("ufw --force disable")
    wait_until(lambda: [comes(port) for port in outside] == [True, True])
    machine.run("systemctl stop pages-8000 pages-9000")


def test_a_tunnel_brings_requests_to_the_service(machine: Guest) -> None:
    """The printed unit, after the commands in its own comments; the key opens nothing but that port."""
    machine.put(
        CONFIG,
        "hub: {listen: '10.0.2.15:8000', url: 'https://notebooks.example.org/'}\n"
        "https: {kind: behind_proxy, trusted: [127.0.0.1]}\n",
    )
    machine.run("useradd --create-home --shell /bin/bash gateway && mkdir -m 700 ~gateway/.ssh")
    unit = hubwright(machine, "proxy-config --tunnel gateway@10.0.2.15")
    machine.put("/etc/systemd/system/hubwright-tunnel.service", unit)
    told = [line.removeprefix("#   ") for line in unit.splitlines() if line.startswith("#   ")]
    account, key, keyscan, restricted = (line.partition("   ")[0] for line in told)
    machine.run(f"{account} && {key} && {keyscan.replace('keyscan', 'keyscan -T 120')} 2>/dev/null")
    machine.put("/root/restriction", restricted)
    machine.run(
        "{ tr -d '\\n' </root/restriction; printf ' '; cat /etc/hubwright/tunnel.pub; } >~gateway/.ssh/authorized_keys"
        " && chown -R gateway: ~gateway/.ssh"
    )
    serve(machine, 8000, "10.0.2.15")
    machine.run("systemctl daemon-reload && systemctl enable --quiet --now hubwright-tunnel")
    machine.wait("curl -sf http://127.0.0.1:8000/etc/hostname")
    asks = "timeout 120 ssh -o BatchMode=yes -o StrictHostKeyChecking=no -i /etc/hubwright/tunnel"
    assert "at home" not in machine.run(f"{asks} gateway@10.0.2.15 'echo at home' </dev/null || true", 60)
    other = f"{asks} -N -o ExitOnForwardFailure=yes -R 9009:10.0.2.15:22 gateway@10.0.2.15 || true"
    assert "remote port forwarding failed" in machine.run(other, 60)
    machine.run("kill -9 $(systemctl show -P MainPID hubwright-tunnel)")
    machine.wait("! curl -sf http://127.0.0.1:8000/etc/hostname")
    machine.wait("curl -sf http://127.0.0.1:8000/etc/hostname", 60)
    machine.run("systemctl disable --quiet --now hubwright-tunnel; systemctl stop pages-8000")
