"""Nonsense in hub.yaml: it loads, or every problem names the file; nothing else ever comes out."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hubwright.config.load import Loaded, load
from hubwright.config.model import FAMILIES, Hub
from hubwright.errors import ConfigError
from hubwright.fields import Site
from hubwright.hub.compile import compile, policy

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("*.yaml"))
NAMES = sorted(
    {"kind", "memory", "cpu", "users", "groups", "allow", "admins", "listen", "url", "JupyterHub", "<<", "default"}
    | set(Hub.model_fields)
    | {name for family in FAMILIES.values() for kind in family.kinds for name in family.load(kind).Config.model_fields}
)
WORDS = [
    "all",
    "nobody",
    "pam",
    "first_use",
    "local",
    "2G",
    "1h",
    "never",
    "0x1F",
    "1e999",
    ".nan",
    "~",
    "yes",
    "::",
    "*a",
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(WORDS), st.dates()
)
KEYS = st.one_of(st.sampled_from(NAMES), st.text(max_size=8))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
SITE = Site(None, Path("/s"), Path("/r"), Path("/p"), "me", True, ("127.0.0.1", 8000), "http://127.0.0.1:8000/")
NONSENSE = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.yaml"


def holds_or_is_explained(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        loaded = load(path)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.where.startswith(str(path))
            assert problem.what
            assert len(str(problem)) < 1000
            assert "Input should" not in problem.what
            assert "Traceback" not in problem.what
    else:
        assert isinstance(loaded, Loaded)
        compile(loaded.hub, SITE)
        policy(loaded.hub, SITE)


@NONSENSE
@given(content=st.binary(max_size=300))
def test_random_bytes(path, content):
    holds_or_is_explained(path, content)


@NONSENSE
@given(content=st.text(alphabet="abk:-[]{}&*!|>%@`'\"#?,. \t\n0129~<=_\\é", max_size=80))
def test_random_marks_of_yaml(path, content):
    holds_or_is_explained(path, content.encode())


@NONSENSE
@given(data=st.dictionaries(KEYS, VALUES, max_size=5))
def test_random_settings(path, data):
    with path.open("wb") as file:
        YAML(typ="safe", pure=True).dump(data, file)
    holds_or_is_explained(path, path.read_bytes())


@NONSENSE
@given(
    source=st.sampled_from(GOLDEN),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.text(max_size=6)), min_size=1, max_size=4),
)
def test_real_files_with_damage(path, source, changes):
    text = source.read_text()
    for place, length, instead in changes:
        at = int(place * len(text))
        text = text[:at] + instead + text[at + length :]
    holds_or_is_explained(path, text.encode("utf-8", "surrogatepass"))
