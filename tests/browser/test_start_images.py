"""Images on the start page, with an engine that has them: their help is text whatever it holds, and a pull is told."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Person
from tests.conftest import Account
from tests.integration.docker.conftest import docker_service, dockerd  # noqa: F401 (fixtures)
from tests.integration.docker.containers import inspected
from tests.integration.docker.daemon import SKELETON, Dockerd
from tests.integration.docker.registry import registry
from tests.running import Service

from hubwright.config.load import load

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "pharma-docker.yaml"
HOSTILE = 'Py <img src=x onerror="throw 1">'
HELP = '</label><script>throw 2</script> "quoted" & {{ user.name }} ${1+1} <b onclick=alert(1)>bold</b>'


@pytest.fixture(scope="module")
def slow(dockerd: Dockerd) -> Iterator[str]:  # noqa: F811
    """The name of an image that takes five seconds to be pulled."""
    with registry(dockerd, SKELETON, 5001, 20 * 2**20) as name:
        yield name


@pytest.fixture(scope="module")
def hub(docker_service: Callable[..., Service], slow: str) -> Service:  # noqa: F811
    images: dict[str, Any] = {
        "Plain": SKELETON,
        HOSTILE: {"image": SKELETON, "help": HELP},
        "From afar": {"image": slow, "help": "Comes from a registry."},
    }
    sizes = {"Small": {"cpu": 1, "memory": "600M"}, "Tiny": {"cpu": 0.5, "memory": "400M"}}
    default = {"sizes": list(sizes), "images": list(images)}
    profiles = {"sizes": sizes, "images": images, "default": default}
    landing = {"listen": "127.0.0.1:@PORT@", "landing": "home"}
    return docker_service({"profiles": profiles, "hub": landing}, pull="missing").up(wait=90)


@pytest.fixture(scope="module")
def pharma(docker_service: Callable[..., Service]) -> Service:  # noqa: F811
    """What the example offers the group modelling, without the folders and images that only its machine has."""
    example = load(EXAMPLE).hub.model_dump(mode="json", exclude_none=True)
    profiles = example["profiles"]
    default = {**profiles["default"], **profiles["groups"]["modelling"]}
    offered = {
        "sizes": profiles["sizes"],
        "images": {name: {**image, "image": SKELETON} for name, image in profiles["images"].items()},
        "default": {key: default[key] for key in ("sizes", "images", "reserve", "servers", "total")},
    }
    section = {key: example["hub"][key] for key in ("name", "landing", "logo", "message")}
    made = docker_service({"profiles": offered, "hub": {**section, "listen": "127.0.0.1:@PORT@"}}, pull="missing")
    shutil.copy(EXAMPLE.with_name(section["logo"]), made.folder)
    return made.up(wait=90)


def enter(hub: Service, someone: Account, person: Callable[[Service], Person]) -> Person:
    browser = person(hub)
    page = browser.enter(someone)
    page.wait_for_url("**/hub/**")
    browser.open(f"/hub/spawn/{someone.name}")
    return browser


def test_an_image_is_chosen_by_its_help_which_is_only_text(
    dockerd: Dockerd,  # noqa: F811
    hub: Service,
    account: Callable[..., Account],
    person: Callable[[Service], Person],
) -> None:
    someone = account()
    browser = enter(hub, someone, person)
    page = browser.page
    expect(page.locator("input[name=image]")).to_have_count(3)
    expect(page.locator("input[name=image]:checked")).to_have_value("Plain")
    expect(page.get_by_text(HELP)).to_be_visible()
    expect(page.get_by_text(HOSTILE, exact=True).first).to_be_visible()
    assert page.locator("img[src=x], b[onclick]").count() == 0
    browser.picture("start-images")
    page.locator(f"input[name=image][value='{HOSTILE}']").check(force=True)
    page.click("#go")
    page.wait_for_url(re.compile(rf"/user/{someone.name}/"))
    assert hub.server(someone.name)["user_options"] == {"size": "Small", "image": HOSTILE}
    assert inspected(dockerd, hub, someone.name)["Config"]["Image"] == SKELETON


def test_a_pull_is_told_on_the_page_that_waits(
    dockerd: Dockerd,  # noqa: F811
    hub: Service,
    slow: str,
    account: Callable[..., Account],
    person: Callable[[Service], Person],
) -> None:
    with dockerd.client() as client:
        client.remove_image(slow)
    someone = account()
    browser = enter(hub, someone, person)
    page = browser.page
    page.locator("input[name=image][value='From afar']").check(force=True)
    page.click("#go")
    page.wait_for_url("**/spawn-pending/**")
    expect(page.get_by_text(re.compile(r"Pulling the image .*hwt/slow:1: \d+ %")).first).to_be_visible()
    browser.picture("start-pulling", themes=False)
    page.wait_for_url(re.compile(rf"/user/{someone.name}/"))
    assert hub.server(someone.name)["ready"]


def test_a_group_chooses_among_the_sizes_and_images_of_the_example(
    pharma: Service, account: Callable[..., Account], person: Callable[[Service], Person]
) -> None:
    someone = account()
    browser = enter(pharma, someone, person)
    page = browser.page
    expect(page.locator("input[name=size]:checked")).to_have_value("Normal")
    expect(page.locator("input[name=size]")).to_have_count(5)
    expect(page.get_by_text("For work that must be repeated as it was.")).to_be_visible()
    expect(page.locator(".hw-machine .hw-now").first).to_contain_text(" of ")
    browser.picture("start-pharma")
    page.get_by_label("Tiny").check()
    page.locator("input[name=image]").last.check(force=True)
    page.click("#go")
    page.wait_for_url(re.compile(rf"/user/{someone.name}/"))
    assert pharma.server(someone.name)["user_options"] == {"size": "Tiny", "image": "Conda, last year's"}
