"""environment.yml, as conda reads it."""

from pathlib import Path

import pytest

from hubwright.envs.conda.environment_file import parse
from hubwright.errors import ConfigError

PATH = Path("/srv/environment.yml")


def test_what_conda_exports_is_understood():
    text = """\
name: science
channels: [conda-forge, nodefaults, "https://conda.example.org/ours"]
dependencies:
  - python=3.12
  - numpy>=2,<3
  - conda-forge::rdkit
  - libblas=*=*openblas
  - cairo=1.18.0=h3faef2a_0
  - "r-base >=4"
variables: {PROJ_NETWORK: "ON", LIMIT: 3}
prefix: /home/ada/miniforge3/envs/science
"""
    found = parse(text, PATH)
    assert found.channels == ("conda-forge", "https://conda.example.org/ours")
    assert found.packages[:3] == ("python=3.12", "numpy>=2,<3", "conda-forge::rdkit")
    assert len(found.packages) == 6
    assert found.variables == {"PROJ_NETWORK": "ON", "LIMIT": "3"}


def test_what_stands_below_pip_is_understood():
    text = """\
dependencies:
  - python
  - pip
  - pip:
    - torch>=2
    - "ours @ https://example.org/ours-1.0-py3-none-any.whl"
    - --extra-index-url https://example.org/simple
    - -f ./wheels
    - --find-links=https://example.org/wheels
    - --no-index
    - -r requirements.txt
"""
    found = parse(text, PATH)
    assert found.packages == ("python", "pip")
    assert found.pip == (
        "torch>=2",
        "ours @ https://example.org/ours-1.0-py3-none-any.whl",
        "--extra-index-url https://example.org/simple",
        "--find-links /srv/wheels",
        "--find-links https://example.org/wheels",
        "--no-index",
    )
    assert found.pip_files == ("requirements.txt",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dependencies: [numpy, {pip: torch}]", "`pip` must be a list"),
        ("dependencies: [{pip: [./torch]}]", "`pip` is not a package: "),
        ("dependencies: [{pip: ['-e git+https://example.org/x']}]", "`pip` is not a package: "),
        ("dependencies: [{pip: ['--index-url ftp://x']}]", "`pip` is not a package: "),
        ("dependencies: [{npm: [x]}]", "holds something that is no name"),
        ("dependencies: numpy", "`dependencies` must be a list"),
        ("dependencies: ['num?py']", "`dependencies` is not a package"),
        ("dependencies: [3]", "holds something that is no name: 3"),
        ("depedencies: [numpy]", "`depedencies` is nothing that is understood"),
        ("channels: ['no channel']", "`channels` is not a channel"),
        ("variables: {'A B': 1}", "`variables` has no name for a variable: A B"),
        ("variables: [A]", "`variables` must be names with values"),
        ("numpy", "it must have `dependencies`"),
        ("a: [", "is no YAML in line 1"),
    ],
)
def test_what_is_not_understood_is_told(text, words):
    with pytest.raises(ConfigError) as told:
        parse(text, PATH)
    assert words in str(told.value)
    assert "/srv/environment.yml" in str(told.value)


def test_every_mistake_is_told_at_once():
    with pytest.raises(ConfigError) as told:
        parse("dependencies: [3, {pip: [./torch]}]\nother: 1", PATH)
    assert len(told.value.problems) == 3
