"""`hubwright content link --nbgitpuller`: what nbgitpuller could not pull gets no link."""

from __future__ import annotations

import pytest

from hubwright.cli.content import link
from hubwright.errors import Refused

GIT = "git: https://git.example.org/course.git"


def linked(folder, entry: str) -> None:
    config = folder / "hub.yaml"
    config.write_text(f"hub: {{url: https://class.example.org}}\ncontent:\n  course: {{{entry}}}\n")
    link("course", "a b.ipynb", True, config, folder / "state")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("folder: course, allow: {}", "whole git repositories only"),
        (f"{GIT}, inside: notebooks, allow: {{}}", "whole git repositories only"),
        (f"{GIT}, secret: course.secret, allow: {{}}", "knows no `secret`"),
        (GIT, "cannot pull into a folder that Hubwright hands out"),
        (f"{GIT}, allow: {{groups: [biology]}}", "cannot pull into a folder that Hubwright hands out"),
        (f"{GIT}, allow: {{users: [ada]}}", "cannot pull into a folder that Hubwright hands out"),
    ],
)
def test_no_link_is_given_that_does_not_work(tmp_path, entry, why):
    with pytest.raises(Refused, match=why) as refused:
        linked(tmp_path, entry)
    assert "without --nbgitpuller" in refused.value.problem.remedy


def test_a_repository_that_hubwright_hands_to_nobody_gets_one(tmp_path, capsys):
    linked(tmp_path, f"{GIT}, ref: main, allow: {{}}")
    assert capsys.readouterr().out == (
        "https://class.example.org/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgit.example.org%2Fcourse.git"
        "&targetpath=course&urlpath=lab%2Ftree%2Fcourse%2Fa+b.ipynb&branch=main\n"
    )
