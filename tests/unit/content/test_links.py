"""Links that are given to people: what a browser, and what nbgitpuller, reads in them."""

from urllib.parse import parse_qs, unquote, urlsplit

from hubwright.content.links import link_to, puller_link

PUBLIC = "https://class.example.org/a/"


def test_a_link_leads_to_a_file_in_ones_own_jupyterlab_whatever_its_name():
    found = urlsplit(link_to(PUBLIC, "lessons/course", "week 1/50% done?.ipynb"))
    assert unquote(found.path) == "/a/hub/user-redirect/lab/tree/lessons/course/week 1/50% done?.ipynb"
    assert not found.query
    assert link_to(PUBLIC, "course", "").endswith("/lab/tree/course")


def test_a_link_for_nbgitpuller_has_its_words():
    """Those of `git-pull` in nbgitpuller 1.3: repo, branch, targetpath, urlpath."""
    link = puller_link(PUBLIC, "https://git.example.org/a b.git?x=1&y", "main", "teaching/seminar", "week 1/a.ipynb")
    found = urlsplit(link)
    assert found.path == "/a/hub/user-redirect/git-pull"
    assert parse_qs(found.query) == {
        "repo": ["https://git.example.org/a b.git?x=1&y"],
        "branch": ["main"],
        "targetpath": ["teaching/seminar"],
        "urlpath": ["lab/tree/teaching/seminar/week 1/a.ipynb"],
    }
    assert "branch" not in parse_qs(urlsplit(puller_link(PUBLIC, "file:///srv/r", "", "r", "")).query)
