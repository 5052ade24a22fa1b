"""Passwords and tokens in the addresses of conda channels."""

import pytest

from hubwright.envs.conda.passwords import apart, without
from hubwright.errors import MachineError

BASIC = {"BasicHTTP": {"username": "ada", "password": "s/ecret"}}


@pytest.mark.parametrize(
    ("channel", "plain", "opens"),
    [
        ("conda-forge", "conda-forge", {}),
        ("./channel", "./channel", {}),
        ("/srv/t/x/channel", "/srv/t/x/channel", {}),
        ("https://host.example.org/channel", "https://host.example.org/channel", {}),
        ("https://ada:s%2Fecret@host:8443/c", "https://host:8443/c", {"host": BASIC}),
        ("https://to%40ken@host/c", "https://host/c", {"host": {"BasicHTTP": {"username": "to@ken", "password": ""}}}),
        ("https://host/t/to-ken/c", "https://host/c", {"host": {"CondaToken": "to-ken"}}),
        ("https://host/t/to-ken", "https://host", {"host": {"CondaToken": "to-ken"}}),
        ("https://host/t/to-ken/", "https://host/", {"host": {"CondaToken": "to-ken"}}),
        ("https://host/some/t/where", "https://host/some/t/where", {}),
    ],
)
def test_they_are_taken_apart(channel, plain, opens):
    assert apart([channel], "x") == ([plain], opens)


def test_two_for_one_host_are_refused_and_one_for_two_channels_is_not():
    assert apart(["https://a:b@host/1", "https://a:b@host/2"], "x")[0] == ["https://host/1", "https://host/2"]
    with pytest.raises(MachineError, match="different passwords"):
        apart(["https://a:b@host/1", "https://a:c@host/2"], "x")
    with pytest.raises(MachineError, match="different passwords"):
        apart(["https://a:b@host/t/TOKEN/1"], "x")


def test_a_password_is_not_sent_without_encryption_because_another_channel_has_it():
    assert apart(["http://a:b@host/1", "http://host/2", "https://other/3"], "x")[1]
    with pytest.raises(MachineError, match="The password for host would be sent without encryption"):
        apart(["http://host/2", "https://a:b@host/1"], "x")


def test_an_address_that_is_none_is_told():
    with pytest.raises(MachineError, match="A channel's address is none: Invalid IPv6 URL"):
        apart(["https://[x/c"], "x")


def test_an_older_lock_has_none_any_more():
    lock = (
        "- conda: https://a:b@c@host/c/x.conda\n- conda: https://host/t/T/c/y.conda\n- conda: file:///srv/a@b/z.conda\n"
    )
    plain = "- conda: https://host/c/x.conda\n- conda: https://host/c/y.conda\n- conda: file:///srv/a@b/z.conda\n"
    assert without(lock) == without(plain) == plain
    assert without("# pip: x @ https://a:b@host/x.whl\n") == "# pip: x @ https://a:b@host/x.whl\n", "as pip needs it"
