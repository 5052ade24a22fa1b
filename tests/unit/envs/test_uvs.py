"""What is made of uv's words."""

import sys
from hashlib import sha256

import pytest
from tests import wheels

from hubwright.envs import uvs
from hubwright.errors import MachineError


def test_a_lock_has_the_hashes_of_archives_in_a_folder(tmp_path):
    wheel = wheels.write(tmp_path, "ours_too")
    (tmp_path / "ours-too-1.0.tar.gz").write_text("source")
    wheels.write(tmp_path, "ours_too", "1.1")
    kept = "six==1.16.0 \\\n    --hash=sha256:0\n"
    found = uvs.with_hashes(f"ours-too==1.0\n{kept}", [tmp_path], "packages")
    hashes = [sha256(data).hexdigest() for data in (b"source", wheel.read_bytes())]
    assert found == "ours-too==1.0 \\\n    --hash=sha256:{} \\\n    --hash=sha256:{}\n".format(*hashes) + kept


def test_what_has_no_hash_is_not_locked(tmp_path):
    with pytest.raises(MachineError, match=r"ours==1.0 has no hash where it comes from"):
        uvs.with_hashes("ours==1.0\n", [tmp_path], "packages")


@pytest.mark.parametrize(
    "text", ["torch>=2", "torch[all]", "torch @ https://example.org/x.whl", "torch;python_version<'4'"]
)
def test_a_requirement_has_a_name(text):
    assert uvs.name_of(text) == "torch"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "error: No solution found when resolving dependencies\n  cause: Because there is no six==99, it is unsatisfiable.\n",
            "No solution found when resolving dependencies: Because there is no six==99, it is unsatisfiable.",
        ),
        (
            "Resolved 2 packages\n  × No solution found when resolving dependencies:\n  ╰─▶ Because six\n      is not there.\n",
            "No solution found when resolving dependencies: Because six is not there.",
        ),
        ("error: No interpreter found.\n\nhint: Consider a newer uv.\n", "No interpreter found. Consider a newer uv."),
    ],
)
def test_why_it_failed_is_a_sentence(said, told):
    command = [sys.executable, "-c", f"import sys; sys.stderr.write({said!r}); sys.exit(1)"]
    with pytest.raises(MachineError) as failed:
        uvs.run(command, {}, "environments.lab", [].append)
    assert str(failed.value) == f"environments.lab: {told}"
