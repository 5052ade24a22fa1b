"""Which kernels somebody sees: hub.yaml's by permission, those he registered, and the environments in his home."""

import json
import shutil
import sys
import tempfile
import venv
from pathlib import Path

import pytest
from jupyter_client.kernelspec import NoSuchKernel
from tests.conftest import an_ordinary_user

from hubwright.envs import OFFERED
from hubwright.envs.kernels import BROKEN, FOLDER, UNUSABLE, KernelSpecs, own


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of one's own: where kernels are looked for is decided by the environment."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder / ".local/share/jupyter"))
    monkeypatch.setenv(FOLDER, str(tmp_path / "shared"))
    monkeypatch.setattr("jupyter_core.paths.SYSTEM_JUPYTER_PATH", [])  # Debian's IRkernel is there
    return folder


def offer(tmp_path: Path, **displays: str) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(exist_ok=True)
    (shared / OFFERED).write_text(json.dumps(displays))


def build(tmp_path: Path, name: str) -> None:
    kernel = tmp_path / "shared" / name / "current" / "kernel"
    kernel.mkdir(parents=True)
    spec = {"argv": [sys.executable, "{connection_file}"], "display_name": "of the build", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))


def make_venv(prefix: Path, ipykernel: bool = True) -> Path:
    venv.create(prefix, symlinks=True)
    if ipykernel:
        next(prefix.glob("lib/python3*/site-packages")).joinpath("ipykernel").mkdir()
    return prefix


def register(home: Path, name: str, argv: list[str]) -> None:
    folder = home / ".local/share/jupyter/kernels" / name
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name.title(), "language": "x"}))


def shown() -> dict[str, str]:
    return {name: one["spec"]["display_name"] for name, one in KernelSpecs().get_all_specs().items()}


def test_without_anything_there_is_hubwrights_own_python(home):
    assert shown() == {"python3": "Python 3 (ipykernel)"}


def test_hub_yaml_decides_what_python3_is(home, tmp_path):
    offer(tmp_path, default="Course", science="Science")
    build(tmp_path, "default")
    build(tmp_path, "science")
    register(home, "python3", [sys.executable])
    assert shown() == {"python3": "Course", "science": "Science", "own-python3": "Python3"}
    assert KernelSpecs().get_kernel_spec("python3").resource_dir.endswith("default/current/kernel")


def test_a_registered_python3_is_ones_own_and_not_the_default(home):
    register(home, "python3", [sys.executable])
    assert shown() == {"python3": "Python 3 (ipykernel)", "own-python3": "Python3"}


def test_what_is_not_built_is_shown_with_the_reason(home, tmp_path):
    offer(tmp_path, science="Science")
    assert shown()["science"] == "Science: broken, it is not built yet"
    assert KernelSpecs().get_kernel_spec("science").metadata[BROKEN] == "it is not built yet"


def test_a_version_that_does_not_work_here_says_so_until_another_takes_its_place(home, tmp_path, monkeypatch):
    offer(tmp_path, science="Science")
    build(tmp_path, "science")
    versions, current = tmp_path / "shared/science/versions", tmp_path / "shared/science/current"
    versions.mkdir()
    current.rename(versions / "3")
    current.symlink_to("versions/3")
    monkeypatch.setenv(UNUSABLE, json.dumps({"science": [3, "there is no /usr/bin/python3.13"]}))
    assert shown()["science"] == "Science: broken, there is no /usr/bin/python3.13"
    current.unlink()
    (versions / "3").rename(versions / "4")
    current.symlink_to("versions/4")
    assert shown()["science"] == "Science"


def test_a_registered_kernel_whose_program_is_gone_says_so(home):
    register(home, "julia", ["/nowhere/julia", "{connection_file}"])
    register(home, "odd", [sys.executable])
    (home / ".local/share/jupyter/kernels/odd/kernel.json").write_text("{")
    assert shown()["julia"] == "Julia: broken, /nowhere/julia is gone"
    assert "its kernel.json cannot be read" in shown()["odd"]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"metadata": None}, "its kernel.json cannot be read (The 'metadata' trait"),
        ({"display_name": None}, "its kernel.json cannot be read (The 'display_name' trait"),
        ({"interrupt_mode": "often"}, "its kernel.json cannot be read (The 'interrupt_mode' trait"),
        ({"argv": [1]}, "its kernel.json cannot be read (argv is to be a list of texts)"),
        ({"metadata": {"a": float("nan")}}, "its kernel.json cannot be read (Out of range float values"),
        ({"metadata": {"kernel_provisioner": {"provisioner_name": "none"}}}, "the kernel_provisioner that its"),
    ],
)
def test_a_kernel_json_of_any_kind_takes_no_other_kernel_along(home, written, told):
    register(home, "good", [sys.executable])
    register(home, "odd", [sys.executable])
    path = home / ".local/share/jupyter/kernels/odd/kernel.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | written))
    found = shown()
    assert found.pop("odd").startswith(f"odd: broken, {told}")
    assert found == {"python3": "Python 3 (ipykernel)", "good": "Good"}
    assert KernelSpecs().get_kernel_spec("odd").metadata[BROKEN].startswith(told)


@pytest.fixture
def open_home(home, monkeypatch):
    """A home below folders that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="hwt-"))
    folder.chmod(0o755)
    (folder / "python").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("IPYTHONDIR", str(folder))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder / ".local/share/jupyter"))
    yield folder
    for place in (*folder.glob(".local"), *folder.rglob("*")):
        if place.is_dir() and not place.is_symlink():
            place.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("closed", [".local", ".local/share/jupyter", ".local/share/jupyter/kernels"])
def test_folders_that_their_owner_may_not_read_take_no_other_kernel_along(open_home, closed):
    """As `sudo -E jupyter` leaves them."""
    register(open_home, "python3", [sys.executable])
    make_venv(open_home / "mine")
    (open_home / closed).chmod(0)
    with an_ordinary_user():
        assert shown() == {"own-mine": "mine (~/mine)", "python3": "Python 3 (ipykernel)"}


def test_an_environment_that_its_owner_may_not_read_says_so(open_home):
    make_venv(open_home / "mine")
    make_venv(open_home / "roots")
    (open_home / "roots/bin").chmod(0)
    with an_ordinary_user():
        told = {kernel.name: kernel.spec.metadata.get(BROKEN) for kernel in own(open_home)}
    python = open_home / "roots/bin/python"
    assert told == {"own-mine": None, "own-roots": f"{python} cannot be read (Permission denied)"}


def test_environments_in_the_home_are_found_and_named_by_their_folder(home):
    make_venv(home / "mine")
    make_venv(home / "projects" / ".venv")
    make_venv(home / ".virtualenvs" / "Deep Learning")
    conda = home / ".conda" / "envs" / "gpu"
    make_venv(conda)
    (conda / "pyvenv.cfg").unlink()
    (conda / "conda-meta").mkdir()
    (home / "projects" / "notes.txt").write_text("")
    found = {kernel.name: kernel.spec for kernel in own(home)}
    assert {name: spec.display_name for name, spec in found.items()} == {
        "own-mine": "mine (~/mine)",
        "own-projects": "projects (~/projects)",
        "own-deep-learning": "Deep Learning (~/.virtualenvs/Deep Learning)",
        "own-gpu": "gpu (~/.conda/envs/gpu)",
    }
    assert found["own-gpu"].env["CONDA_PREFIX"] == str(conda)
    assert found["own-mine"].env["PATH"].startswith(f"{home}/mine/bin:")
    assert found["own-mine"].argv[0] == f"{home}/mine/bin/python"


def test_two_of_one_name_are_both_there(home):
    make_venv(home / "mine")
    make_venv(home / ".virtualenvs" / "mine")
    assert [kernel.name for kernel in own(home)] == ["own-mine", "own-mine-2"]


def test_an_environment_that_cannot_run_a_kernel_says_why(home):
    make_venv(home / "bare", ipykernel=False)
    gone = make_venv(home / "gone")
    for name in ("python", "python3", f"python3.{sys.version_info[1]}"):
        (gone / "bin" / name).unlink()
    (gone / "bin" / "python").symlink_to("/usr/bin/python3.1")
    told = {kernel.name: kernel.spec.metadata[BROKEN] for kernel in own(home)}
    assert told == {
        "own-bare": f"it has no ipykernel; install it with {home}/bare/bin/python -m pip install ipykernel",
        "own-gone": "it has no Python: /usr/bin/python3.1 is gone",
    }


def test_links_and_unreadable_places_are_passed_by(home):
    make_venv(home.parent / "elsewhere")
    (home / "link").symlink_to(home.parent / "elsewhere")
    (home / ".conda").mkdir()
    (home / ".conda" / "envs").write_text("no folder")
    assert list(own(home)) == []


def test_a_home_of_many_folders_is_not_walked_to_the_end(home):
    for number in range(500):
        (home / f"a{number:03}").mkdir()
    make_venv(home / "z")
    assert list(own(home)) == []


def test_what_is_made_meanwhile_is_there_at_once(home, tmp_path):
    specs = KernelSpecs()
    assert "science" not in specs.find_kernel_specs()
    offer(tmp_path, science="Science")
    build(tmp_path, "science")
    assert specs.get_kernel_spec("science").display_name == "Science"
    with pytest.raises(NoSuchKernel):
        specs.get_kernel_spec("nonsense")
