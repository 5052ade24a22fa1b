"""Both kinds' sections: what they accept, what they write, what they complain about."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hubwright.auth import first_use, pam
from hubwright.auth.allow import parts
from hubwright.fields import Site


def site(privileged=True):
    return Site(
        config=None,
        state=Path("/srv/hub"),
        run=Path("/run/hubwright/x"),
        prefix=Path("/opt/hubwright"),
        account="hubwright" if privileged else "ada",
        privileged=privileged,
        listen=("127.0.0.1", 8000),
        public_url="http://127.0.0.1:8000/",
    )


def test_nobody_is_let_in_by_default():
    for kind in (pam, first_use):
        assert parts(kind.Config().allow) == (False, (), ())


def test_pam_writes_its_rule_and_the_helpers_socket():
    c = {}
    config = pam.Config(
        allow={"users": ["ada"], "groups": ["lab"]},
        admin_groups=["staff"],
        service="sshd",
        grace="10m",
        look_every="5s",
    )
    pam.configure(config, site(), c)
    assert c["JupyterHub"] == {"authenticator_class": "hubwright.auth.pam.authenticator.HelperPAMAuthenticator"}
    assert c["HelperPAMAuthenticator"] == {
        "account_socket": "/run/hubwright/x/account.sock",
        "account": "hubwright",
        "service": "sshd",
        "allow_every_account": False,
        "allow_names": ["ada"],
        "allow_groups": ["lab"],
        "admin_groups": ["staff"],
        "grace": 600.0,
        "look_every": 5.0,
    }
    assert c["Authenticator"]["auth_refresh_age"] == 5
    pam.configure(pam.Config(allow="all"), site(privileged=False), c)
    assert c["HelperPAMAuthenticator"]["account_socket"] == ""
    assert c["HelperPAMAuthenticator"]["allow_every_account"] is True


def test_first_use_adds_its_people_to_those_allowed():
    c = {"Authenticator": {"allowed_users": ["admin"]}}
    first_use.configure(first_use.Config(allow={"users": ["ada"]}, minimum_length=12), site(), c)
    assert c["Authenticator"]["allowed_users"] == ["ada", "admin"]
    assert c["Authenticator"]["allow_all"] is False
    assert c["ClaimAuthenticator"]["min_password_length"] == 12


def test_first_use_cannot_let_everybody_in():
    assert first_use.check(first_use.Config(allow="all"), site())
    assert first_use.check(first_use.Config(allow={"groups": ["lab"]}), site())
    assert first_use.check(first_use.Config(allow={"users": ["ada"]}), site()) == []
    assert first_use.check(first_use.Config(allow={"users": ["bob"]}), site(privileged=False))


def test_a_missing_pam_service_is_told():
    (problem,) = pam.check(pam.Config(service="not-there"), site())
    assert "/etc/pam.d/not-there" in problem.what


@pytest.mark.parametrize(
    "wrong",
    [{"allow": "everybody"}, {"allow": {"user": []}}, {"allow": {"users": ["Ada"]}}, {"service": "../x"}, {"x": 1}],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValidationError):
        pam.Config(**wrong)
