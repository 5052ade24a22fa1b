"""What is made of uv's words."""

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
