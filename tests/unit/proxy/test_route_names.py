"""How URLs and targets become names on disk."""

import re
from urllib.parse import quote, unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyterhub.utils import url_escape_path

from hubwright.errors import Refused
from hubwright.proxy.names import LONGEST, file_of, folder_of, route_pattern

SERVERS = "/run/hubwright/0a1b2c3d/servers"
names = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=10)


def target_of(key: str) -> str:
    return f"http+unix://{quote(f'{SERVERS}/{key}/http.sock', safe='').lower()}:80"


@settings(deadline=None)
@given(names, names)
def test_folder_is_one_component_from_a_safe_alphabet_and_tells_names_apart(user: str, server: str) -> None:
    """Whatever the names are, the folder cannot leave the table, cannot be a pattern, and can be read back."""
    folder = folder_of(f"/user/{url_escape_path(user)}/{url_escape_path(server)}/", "/")
    assert re.fullmatch(r"user@[A-Za-z0-9_.~+%-]+@[A-Za-z0-9_.~+%-]+", folder)
    assert [unquote_plus(part) for part in folder.split("@")] == ["user", user, server]


@settings(deadline=None)
@given(names)
def test_every_escape_of_a_name_gives_the_same_folder(user: str) -> None:
    """JupyterHub escapes some characters, browsers others, and one may escape all."""
    everything = "".join(f"%{byte:02x}" for byte in user.encode())
    assert folder_of(f"/user/{everything}/", "/") == folder_of(f"/user/{url_escape_path(user)}/", "/")


@pytest.mark.parametrize(
    "routespec",
    [
        "/",
        "/hub/",
        "/user/",
        "/user//",
        "/user/a/b/c/",
        "/user/a%2fb/",
        "/other/a/",
        "/users/a/",
        "user/a/",
        "/user/a//",
    ],
)
def test_a_route_that_is_no_user_s_and_no_service_s_is_refused(routespec: str) -> None:
    """Also one whose name holds an escaped slash."""
    with pytest.raises(Refused, match="A route is"):
        folder_of(routespec, "/")


def test_base_path_belongs_to_the_route() -> None:
    """Below a base path only routes below it are taken."""
    assert folder_of("/jupyter/user/ann/", "/jupyter/") == "user@ann"
    with pytest.raises(Refused):
        folder_of("/user/ann/", "/jupyter/")


def test_a_name_that_does_not_fit_is_refused_with_its_length() -> None:
    """255 bytes is what a file name may have."""
    fits = "a" * (LONGEST - len("user@"))
    assert len(folder_of(f"/user/{fits}/", "/")) == LONGEST
    with pytest.raises(Refused, match="256 bytes"):
        folder_of(f"/user/{fits}a/", "/")
    with pytest.raises(Refused, match="too long"):
        folder_of(f"/user/{quote('ü' * 43)}/", "/")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("%2Fuser%2Fann%2Flab%2Ftree", ("user", "ann", "lab")),
        ("%2Fuser%2Fann", ("user", "ann", None)),
        ("%2Fuser%2Fann%2F", ("user", "ann", None)),
        ("%2Fuser%2Fann%2F..%2Fbob%2F", ("user", "ann", "..")),
        ("%2Fuser%2F%2A%5B%7B%2F", ("user", "%2A%5B%7B", None)),
        ("%2Fservices%2Fx%25y%2F", ("services", "x%25y", None)),
        ("%2Fuser%2F%2Fann", None),
        ("%2Fuser%2F", None),
        ("%2Fuserx%2Fann", None),
        ("%2Fhub%2F..%2Fuser%2Fann%2F", None),
        ("%2F%2Fuser%2Fann%2F", None),
    ],
)
def test_pattern_splits_the_escaped_path(path: str, found: tuple[str, ...] | None) -> None:
    """Only at slashes, and without cleaning dots."""
    match = re.match(route_pattern("/"), path)
    assert (match.groups() if match else None) == found


def test_pattern_takes_the_base_path_literally() -> None:
    """A dot in it is a dot."""
    assert re.match(route_pattern("/a.b/"), "%2Fa.b%2Fuser%2Fann")
    assert not re.match(route_pattern("/a.b/"), "%2Faxb%2Fuser%2Fann")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (target_of("0123456789abcdef"), "unix:0123456789abcdef"),
        (target_of("k").removesuffix(":80"), "unix:k"),
        ("http://127.0.0.1:1234", "tcp:127.0.0.1:1234"),
        ("http://127.0.0.1:1234/", "tcp:127.0.0.1:1234"),
        ("http://[::1]:1234", "tcp:[::1]:1234"),
        ("http://worker-2.example", "tcp:worker-2.example:80"),
    ],
)
def test_target_becomes_a_file_name(target: str, name: str) -> None:
    """A socket by its key, everything else by host and port."""
    assert file_of(target, SERVERS) == name


@pytest.mark.parametrize(
    "target",
    [
        "",
        "https://127.0.0.1:1",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://a b:1",
        "http://u@h:1",
        "http://{env.HOME}:1",
        "http://h:1/path",
        "http+unix://%2frun%2fdocker.sock:80",
        target_of("..%2fk"),
        target_of("a%2fb"),
        target_of("{x}"),
        target_of(""),
    ],
)
def test_any_other_target_is_refused(target: str) -> None:
    """Sockets outside the servers' folder, encryption, and text that Caddy might take for its own."""
    with pytest.raises(Refused, match="cannot forward"):
        file_of(target, SERVERS)
