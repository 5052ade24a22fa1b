"""JupyterHub's contract for a proxy class, with its own users and servers, in a database in memory."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.objects import Hub, Server
from jupyterhub.proxy import Proxy
from jupyterhub.user import UserDict

from hubwright.errors import Refused
from hubwright.proxy.caddy import CaddyProxy

HUB = Hub(ip="127.0.0.1", port=8081, routespec="/jupyter/", base_url="/jupyter/hub/")
TARGET = "http://127.0.0.1:1001"


@pytest.fixture
def proxy(tmp_path: Path) -> CaddyProxy:
    app = JupyterHub()
    app.hub = HUB
    made = CaddyProxy(
        hub=HUB,
        app=app,
        routes=str(tmp_path / "routes"),
        servers=str(tmp_path / "servers"),
        base_url="/jupyter/",
        log=logging.getLogger("test"),
    )
    made.extra_routes = {}
    return made


@pytest.fixture
def users() -> Iterator[Callable[..., UserDict]]:
    """Make users whose servers are ready, `users(ann="http://127.0.0.1:2")`."""
    session = orm.new_session_factory("sqlite://")()
    made = UserDict(lambda: session, {"base_url": "/jupyter/", "hub": HUB})

    def make(**targets: str) -> UserDict:
        for name, target in targets.items():
            session.add(orm.User(name=name))
            session.commit()
            at = urlsplit(target)
            server = made[name].spawners[""]
            where = orm.Server(proto=at.scheme, ip=at.hostname, port=at.port, base_url=server.proxy_spec)
            session.add(where)
            session.commit()
            server.server = Server(orm_server=where)
            assert server.ready
        return made

    yield make
    engine = session.get_bind()
    session.close()
    engine.dispose()


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
    proxy.hub = Hub(ip="127.0.0.1", port=8081, routespec="/jupyter/hub/")
    with pytest.raises(Refused, match="hub_routespec"):
        await proxy.add_hub_route(proxy.hub)


async def test_the_check_adds_replaces_and_deletes(proxy: CaddyProxy, users: Callable[..., UserDict]) -> None:
    await proxy.add_route("/jupyter/user/stale/", TARGET, {"user": "stale", "server_name": ""})
    await proxy.add_route("/jupyter/user/moved/", TARGET, {"user": "moved", "server_name": ""})
    await proxy.check_routes(users(moved="http://127.0.0.1:2", new="http://127.0.0.1:3"), {})
    targets = {spec: route["target"] for spec, route in (await proxy.get_all_routes()).items()}
    assert targets == {
        "/jupyter/": HUB.host,
        "/jupyter/user/moved/": "http://127.0.0.1:2",
        "/jupyter/user/new/": "http://127.0.0.1:3",
    }


async def test_the_check_mends_a_damaged_table(
    proxy: CaddyProxy, users: Callable[..., UserDict], caplog: pytest.LogCaptureFixture
) -> None:
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
