"""Whom a sudo configuration names."""

import pytest

from hubwright.machine.sudoers import Named, read


@pytest.mark.parametrize(
    ("text", "users", "groups"),
    [
        ("", [], []),
        ("# ada ALL=(ALL) ALL\n#bob ALL=ALL\n", [], []),
        ("ada ALL=(ALL:ALL) NOPASSWD: /bin/true, /bin/false\n", ["ada"], []),
        ("\tada,bob , eve\tALL = (www) ALL : other = (root) ALL\n", ["ada", "bob", "eve"], []),
        ("ada ALL=(bob) /bin/ls carol, /bin/id # eve\n", ["ada"], []),
        ("%wheel ALL=ALL\n%:lab ALL=ALL\n%domain\\ admins ALL=ALL\n", [], ["wheel", "lab", "domain admins"]),
        ('"ada l", "%big lab" ALL=ALL\n', ["ada l"], ["big lab"]),
        ("#0 ALL=ALL\n%#0 ALL=ALL\n#4000000000 ALL=ALL\n", ["root"], ["root"]),
        ("ALL ALL=(ALL) ALL\n!ada, !!bob ALL=ALL\n+net ALL=ALL\n", ["bob"], []),
        ("User_Alias OPS = ada, %lab : DEV=eve\nOPS ALL=ALL\n", ["ada", "eve", "ops"], ["lab"]),
        ("Runas_Alias R = ada\nCmnd_Alias C = /bin/ls\nHost_Alias H = bob\nCmd_Alias D = /x\n", [], []),
        ("Defaults env_reset\nDefaults:ada !requiretty\nDefaults@host x\nDefaults>eve y\n", [], []),
        ("ada,\\\n  bob \\\n  ALL=ALL\n", ["ada", "bob"], []),
        ("ADA ALL=ALL\n", ["ada"], []),
        ("ada\tALL=ALL", ["ada"], []),
        ('ada "', ["ada"], []),
        ("\\", [], []),
        ("=,:!\x00\xff\n,\n", ["=", ":!\x00\xff"], []),
    ],
)
def test_users_and_groups_of_rules_and_aliases(tmp_path, text, users, groups):
    main = tmp_path / "sudoers"
    main.write_bytes(text.encode("latin-1"))
    if "\x00" in text:  # nonsense: only that it is read
        read(main, tmp_path / "none")
        return
    assert read(main, tmp_path / "none") == Named(frozenset(users), frozenset(groups))


def test_what_is_included_counts_and_what_sudo_skips_does_not(tmp_path):
    (tmp_path / "more.d").mkdir()
    (tmp_path / "more.d" / "b").write_text("bob ALL=ALL\n")
    (tmp_path / "more.d" / "b.bak").write_text("old ALL=ALL\n")
    (tmp_path / "more.d" / "b~").write_text("older ALL=ALL\n")
    (tmp_path / "one").write_text("carol ALL=ALL\n@include sudoers\n")
    (tmp_path / "two words").write_text("dan ALL=ALL\n")
    (tmp_path / "sudoers").write_text(
        f'#includedir {tmp_path}/more.d\n@include one\n@include "{tmp_path}/two words"\n@include missing\nada ALL=ALL\n'
    )
    (tmp_path / "sudoers.d").mkdir()
    (tmp_path / "sudoers.d" / "eve").write_text("eve ALL=ALL\n")
    found = read(tmp_path / "sudoers", tmp_path / "sudoers.d")
    assert found.users == {"ada", "bob", "carol", "dan", "eve"}


def test_none_is_no_error(tmp_path):
    (tmp_path / "folder").mkdir()
    assert read(tmp_path / "missing", tmp_path / "missing.d") == Named()
    assert read(tmp_path / "folder", tmp_path / "missing.d") == Named()
