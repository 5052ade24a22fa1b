"""Which addresses can be made ready, and what is put into the page."""

from __future__ import annotations

import re

import pytest

from hubwright.engines.local import marks
from hubwright.hub.ahead import PATTERN, fill

PAGE = (
    f'<html><head><title>x</title></head>{{"baseUrl": "{marks.PREFIX}", "hubUser": "{marks.USER}", '
    f'"hubServerName": "{marks.SERVER}", "treePath": "{marks.PATH}", "serverRoot": "{marks.HOME}"}}</html>'
)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("user/ann/lab", ("ann", None, None)),
        ("user/a.n-n_1/lab/tree/week 1/x.ipynb", None),
        ("user/ann/lab/tree/week/x.ipynb", ("ann", None, "week/x.ipynb")),
        ("user/ann/second/lab", ("ann", "second", None)),
        ("user/ann/lab/lab", ("ann", "lab", None)),
        ("user/ann/lab/tree/lab", ("ann", None, "lab")),
        ("user/ann/tree", None),
        ("user/ann/lab/tree/../x", None),
        ("user/../lab", None),
        ('user/ann/lab/tree/"><script>', None),
        ("user/ann</script>/lab", None),
        ("user/ann/labor", None),
        ("user/ann/lab/workspaces/x", None),
    ],
)
def test_only_plain_names_have_a_page(address: str, found: tuple[str | None, ...] | None) -> None:
    match = re.fullmatch(PATTERN, address)
    assert (match.groups() if match else None) == found


def test_what_is_somebodys_own_stands_in_the_page() -> None:
    page = fill(PAGE, "/", "ann", "", "", "/home/ann")
    assert '"baseUrl": "/user/ann/", "hubUser": "ann", "hubServerName": "", "treePath": ""' in page
    assert '"serverRoot": "/home/ann"' in page
    assert re.search(r'<head><script src="/hub/hubwright/assets/\w+/ahead.js" data-prefix="/user/ann/"></script>', page)
    assert "hubwright-page" not in page


def test_a_named_server_below_a_path() -> None:
    page = fill(PAGE, "/jupyter/", "ann", "second", "week/x.ipynb", "/home/ann")
    assert '"baseUrl": "/jupyter/user/ann/second/"' in page
    assert '"hubServerName": "second", "treePath": "week/x.ipynb"' in page
