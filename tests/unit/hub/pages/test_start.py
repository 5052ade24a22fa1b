"""A link that starts a profile: what it may hold, and when it needs a click."""

import pytest

from hubwright.hub.pages import assets, start


def test_a_link_holds_a_choice():
    query = {"size": ["Small"], "opt-image": ["Python"], "next": ["/x"], "cpu": [" "], "home": ["/root"]}
    assert start.choice(query) == {"size": "Small", "image": "Python"}


@pytest.mark.parametrize(
    ("site", "mode", "may"),
    [
        ("none", "navigate", True),
        ("same-origin", "navigate", True),
        ("cross-site", "navigate", False),
        ("same-site", "navigate", False),
        ("none", "no-cors", False),
        (None, None, False),
    ],
)
def test_only_the_users_own_link_starts_without_a_click(site, mode, may):
    assert start.may_start(site, mode) is may


def test_assets_have_their_hash_in_the_address():
    assert assets.address("/lab/") == f"/lab/hub/hubwright/assets/{assets.fingerprint()}/"
    names = {path.name for path in assets.FOLDER.iterdir()}
    assert {"pages.css", "start.js", "home.js", "overview.js"} <= names
