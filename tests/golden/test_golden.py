"""Each hub.yaml here compiles to the JSON beside it, or is refused with the exact text beside it.

`HUBWRIGHT_GOLDEN=write` writes the expectations anew: look at what changed before you keep it.
"""

import json
import os
from pathlib import Path

import pytest

from hubwright.config.load import load
from hubwright.envs import preloaded
from hubwright.errors import ConfigError
from hubwright.fields import Site
from hubwright.hub import compile as compiler
from hubwright.machine.place import split_listen

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*.yaml"))


def site(path: Path, listen: str, url: str | None) -> Site:
    """A site of root's, or of an ordinary user's when the file begins with `# site: user`."""
    privileged = not path.read_text().startswith("# site: user")
    return Site(
        config=Path("/srv/lab/hub.yaml"),
        state=Path("/var/lib/hubwright/lab-1a2b3c4d" if privileged else "/home/Eve/lab/.hubwright"),
        run=Path("/run/hubwright/1a2b3c4d" if privileged else "/run/user/1000/hubwright/1a2b3c4d"),
        prefix=Path("/opt/hubwright"),
        account="hubwright" if privileged else "eve",
        privileged=privileged,
        listen=split_listen(listen),
        public_url=url or f"http://{listen}/",
    )


def outcome(path: Path) -> tuple[str, str]:
    """What becomes of a file: the suffix of the expectation, and its text."""
    try:
        hub = load(path).hub
    except ConfigError as error:
        return ".error.txt", str(error).replace(str(path), "hub.yaml") + "\n"
    where = site(path, hub.hub.listen, hub.hub.url)
    found = {
        "jupyterhub": compiler.compile(hub, where),
        "policy": compiler.policy(hub, where),
        "preload": preloaded(hub.environments),
    }
    text = json.dumps(found, indent=1, sort_keys=True)
    return ".json", text.replace(str(Path(compiler.__file__).parent), "<hub>") + "\n"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_file_compiles_to_what_stands_beside_it(path):
    suffix, text = outcome(path)
    expected = path.with_suffix(suffix)
    if os.environ.get("HUBWRIGHT_GOLDEN") == "write":
        path.with_suffix(".json").unlink(missing_ok=True)
        path.with_suffix(".error.txt").unlink(missing_ok=True)
        expected.write_text(text)
    assert expected.exists(), f"{path.name} gives {suffix}:\n{text}"
    assert text == expected.read_text()


def test_no_expectation_is_left_over():
    stems = {path.stem for path in CASES}
    assert {path.name.split(".")[0] for path in HERE.glob("*.*") if path.suffix in {".json", ".txt"}} <= stems
