"""Folders that people share, beside pages that everybody on the network reads, and in containers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.auth.test_auth_kinds import site

from hubwright.care import checkup
from hubwright.config.load import load


@pytest.mark.parametrize(
    ("shared", "refused"),
    [("www", True), ("www/shared", True), ("link", True), ("www-shared", False), ("other", False)],
)
def test_a_shared_folder_below_the_public_pages_is_refused(tmp_path, shared, refused):
    """Also where a link leads there; a name that only begins alike is another folder."""
    (tmp_path / "www").mkdir()
    (tmp_path / "link").symlink_to("www")
    path = tmp_path / "hub.yaml"
    path.write_text(
        f"static: {{folder: {tmp_path}/www, name: example.org}}\npeople:\n  shared: [{{folder: {tmp_path}/{shared}}}]\n"
    )
    place = replace(site(), config=path, state=tmp_path, run=tmp_path)
    found = [problem for problem in checkup.check(load(path), place) if "people.shared" in problem.where]
    assert bool(found) is refused
    assert all("everybody can read" in problem.what and problem.severity == "error" for problem in found)


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ("{kind: docker}", ["/srv/shared/a", "/srv/shared/b"]),
        ("{kind: docker, volumes: [{source: /srv/shared/a, target: /a}]}", ["/srv/shared/b"]),
        ("{kind: docker, volumes: [{source: /srv/shared, target: /srv/shared}]}", []),
        ("{kind: local}", []),
    ],
)
def test_a_shared_folder_that_no_container_sees_is_told(tmp_path, engine, told):
    path = tmp_path / "hub.yaml"
    shared = "[{folder: /srv/shared/a}, {folder: /srv/shared/b}]"
    path.write_text(f"engine: {engine}\npeople: {{shared: {shared}}}\n")
    found = list(checkup.unseen_in_containers(load(path)))
    assert [problem.what.split()[0] for problem in found] == told
    assert {problem.severity for problem in found} <= {"warning"}
