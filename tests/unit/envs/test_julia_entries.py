"""What an entry of kind julia may say, and what is kept of it in a lock."""

import pytest
from pydantic import ValidationError

from hubwright.envs.julia import lockfile
from hubwright.envs.julia.config import Config
from hubwright.envs.julia.packages import Package
from hubwright.errors import MachineError

SUM = "0" * 64


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("DataFrames", Package("name", "DataFrames")),
        ("CSV@0.10", Package("name", "CSV", "0.10")),
        ("./ours/Our.jl", Package("folder", "./ours/Our.jl")),
        ("/srv/Our Package", Package("folder", "/srv/Our Package")),
        ("https://git.example.org/Ours.jl", Package("address", "https://git.example.org/Ours.jl")),
        ("https://git.example.org/Ours.jl#v1.2/x", Package("address", "https://git.example.org/Ours.jl", "v1.2/x")),
        ("git@git.example.org:us/Ours.jl.git#main", Package("address", "git@git.example.org:us/Ours.jl.git", "main")),
    ],
)
def test_a_package_is_a_name_a_folder_or_an_address(text, package):
    assert Package.parse(text) == package


@pytest.mark.parametrize(
    "text",
    ["", "Data Frames", "CSV@", "CSV@latest", "our/s", "../x\n", "https://a b", "https://a#", "-C native", "A\tB"],
)
def test_what_is_none_of_them_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a package: .*Write"):
        Package.parse(text)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"julia": "https://example.org/julia.tar.gz"}, "must have `sha256`"),
        ({"julia": "/opt/julia/bin/julia", "sha256": SUM}, "which is for an archive"),
        ({"julia": "ftp://example.org/julia.tar.gz"}, "must be an address that begins with https://"),
        ({"warm_up": "warm.jl"}, "which is for `sysimage`"),
        ({"version": "0.6"}, "version"),
        ({"sysimage": ["-J"]}, "is not the name of a Julia package"),
        ({"cpu_target": "native --x"}, "is no CPU target"),
        ({"packages": ["CSV", "CSV@0.10"]}, "names CSV twice"),
        ({"packages": ["https://a.org/Ours.jl#a", "./Ours"]}, "names Ours twice"),
    ],
)
def test_what_does_not_go_together_is_refused(said, words):
    with pytest.raises(ValidationError, match=words):
        Config(kind="julia", **said)


@pytest.mark.parametrize(
    ("julia", "comes_as"),
    [
        (None, "program"),
        ("/opt/julia-1.10", "program"),
        ("julia-1.10.9-linux-x86_64.tar.gz", "archive"),
        ("https://example.org/julia.tar.gz", "address"),
    ],
)
def test_julia_is_a_program_an_archive_or_an_address(julia, comes_as):
    sha256 = SUM if comes_as == "address" else None
    assert Config(kind="julia", julia=julia, sha256=sha256).comes_as == comes_as


def test_a_lock_holds_both_files_and_no_place(tmp_path):
    old, new = tmp_path / "1", tmp_path / "2"
    environment = old / "depot/environments/hubwright"
    environment.mkdir(parents=True)
    (environment / "Project.toml").write_text('[deps]\nA = "1"\n')
    (environment / "Manifest.toml").write_text(f'[[A]]\npath = "{old}/folders/A"\n')
    text = lockfile.pack(environment, old)
    assert str(tmp_path) not in text
    lockfile.unpack(text, new / "environment", new)
    assert (new / "environment/Project.toml").read_text().strip() == '[deps]\nA = "1"'
    assert (new / "environment/Manifest.toml").read_text() == f'[[A]]\npath = "{new}/folders/A"\n'


def test_a_lock_of_something_else_is_refused(tmp_path):
    with pytest.raises(MachineError, match="not one of Julia packages"):
        lockfile.unpack("six==1.0 --hash=sha256:0\n", tmp_path / "x", tmp_path)
