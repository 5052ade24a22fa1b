"""JupyterHub's contract for a proxy class, without a hub."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyterhub.proxy import Proxy

from hubwright.errors import Refused
from hubwright.proxy.caddy import CaddyProxy

HUB = SimpleNamespace(routespec="/jupyter/", host="http://127.0.0.1:8081")
TARGET = "http://127.0.0.1:1001"


@pytest.fixture
def proxy(tmp_path: Path) -> CaddyProxy:
    made = CaddyProxy(
        hub=HUB,
        app=SimpleNamespace(hub=HUB, subdomain_host=""),
        routes=str(tmp_path / "routes"),
        servers=str(tmp_path / "servers"),
        base_url="/jupyter/",
        log=logging.getLogger("test"),
    )
    made.extra_routes = {}
    return made


def spawner(spec: str, target: str) -> SimpleNamespace:
    server = SimpleNamespace(host=target)
    return SimpleNamespace(ready=True, pending=None, proxy_spec=spec, server=server, _log_name=spec)


def users(**specs: str) -> dict[str, SimpleNamespace]:
    made = {}
    for name, target in specs.items():
        spec = f"/jupyter/user/{name}/"
        made[name] = SimpleNamespace(name=name, proxy_spec=spec, spawners={"": spawner(spec, target)})
    return made


async def test_it_is_a_proxy_that_the_hub_does_not_start(proxy: CaddyProxy) -> None:
    assert isinstance(proxy, Proxy)
    assert proxy.should_start is False


async def test_routes_are_added_read_and_deleted(proxy: CaddyProxy) -> None:
    await proxy.add_route("/jupyter/user/ann", TARGET, {"user": "ann"})
    route = {"routespec": "/jupyter/user/ann/", "target": TARGET, "data": {"user": "ann"}}
    assert await proxy.get_route("/jupyter/user/ann/") == route
    assert (await proxy.get_all_routes())["/jupyter/user/ann/"] == route
    await proxy.delete_route("/jupyter/user/ann/")
    await proxy.delete_route("/jupyter/user/ann/")
    assert await proxy.get_route("/jupyter/user/ann/") is None


async def test_the_hub_s_route_is_always_there_with_the_target_the_hub_expects(proxy: CaddyProxy) -> None:
    hub = {"routespec": "/jupyter/", "target": HUB.host, "data": {"hub": True}}
    await proxy.add_hub_route(HUB)
    await proxy.delete_route("/jupyter/")
    assert await proxy.get_all_routes() == {"/jupyter/": hub}
    assert await proxy.get_route("/jupyter/") == hub


async def test_a_hub_on_a_route_of_its_own_is_refused(proxy: CaddyProxy) -> None:
    proxy.hub = SimpleNamespace(routespec="/jupyter/hub/", host=HUB.host)
    with pytest.raises(Refused, match="hub_routespec"):
        await proxy.add_hub_route(proxy.hub)


async def test_the_check_adds_replaces_and_deletes(proxy: CaddyProxy) -> None:
    await proxy.add_route("/jupyter/user/stale/", TARGET, {"user": "stale", "server_name": ""})
    await proxy.add_route("/jupyter/user/moved/", TARGET, {"user": "moved", "server_name": ""})
    await proxy.check_routes(users(moved="http://127.0.0.1:2", new="http://127.0.0.1:3"), {})
    targets = {spec: route["target"] for spec, route in (await proxy.get_all_routes()).items()}
    assert targets == {
        "/jupyter/": HUB.host,
        "/jupyter/user/moved/": "http://127.0.0.1:2",
        "/jupyter/user/new/": "http://127.0.0.1:3",
    }


async def test_the_check_mends_a_damaged_table(proxy: CaddyProxy, caplog: pytest.LogCaptureFixture) -> None:
    """What the hub knows is written anew, and nothing that cannot be read stays for Caddy to follow."""
    for name in ("ann", "gone"):
        await proxy.add_route(f"/jupyter/user/{name}/", TARGET, {"user": name, "server_name": ""})
        next(Path(proxy.routes, f"user@{name}").iterdir()).write_text("garbage")
    Path(proxy.routes, "junk").write_text("")
    await proxy.check_routes(users(ann=TARGET), {})
    assert sorted(p.name for p in Path(proxy.routes).iterdir()) == ["user@ann"]
    assert (await proxy.get_route("/jupyter/user/ann/"))["target"] == TARGET
    assert "Ignoring a damaged route" in caplog.text
    assert "Removed a damaged route" in caplog.text
