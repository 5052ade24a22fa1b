"""Which kernels somebody sees: hub.yaml's by permission, those he registered, and the environments in his home."""

import json
import os
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


@pytest.mark.parametrize(
    "place",
    [
        ".conda/envs/it",
        "miniconda3/envs/it",
        "anaconda3/envs/it",
        "miniforge3/envs/it",
        "mambaforge/envs/it",
        "micromamba/envs/it",
        ".local/share/mamba/envs/it",
        ".virtualenvs/it",
        ".venvs/it",
        ".local/share/virtualenvs/it",
        ".cache/pypoetry/virtualenvs/it",
        ".pyenv/versions/it",
        ".pyenv/versions/3.12.1/envs/it",
    ],
)
def test_each_program_that_makes_environments_has_its_place(home, place):
    make_venv(home / place)
    (found,) = own(home)
    assert (found.name, found.spec.display_name) == ("own-it", f"it (~/{place})")
    assert BROKEN not in found.spec.metadata


def test_pyenvs_pythons_are_none_and_the_environments_of_one_are_found_once(home):
    versions = home / ".pyenv/versions"
    made = make_venv(versions / "3.12.1/envs/it")
    (versions / "3.12.1/bin").mkdir()
    (versions / "it").symlink_to(made)
    assert [kernel.folder for kernel in own(home)] == [made]


def make_conda(prefix: Path) -> Path:
    make_venv(prefix)
    (prefix / "pyvenv.cfg").unlink()
    (prefix / "conda-meta").mkdir()
    return prefix


def conda_names(home: Path, *lines: object) -> None:
    (home / ".conda").mkdir(exist_ok=True)
    (home / ".conda/environments.txt").write_text("".join(f"{line}\n" for line in lines))


def test_what_condas_own_list_names_below_the_home_is_found_once(home):
    work, usual = make_conda(home / "work/deep/env"), make_conda(home / "miniconda3/envs/usual")
    conda_names(home, usual, work, work, f"{work}/", home / "gone", home, "", "relative", "nul\0nul")
    shown = [(kernel.name, kernel.spec.display_name) for kernel in own(home)]
    assert shown == [("own-usual", "usual (~/miniconda3/envs/usual)"), ("own-env", "env (~/work/deep/env)")]


def test_condas_list_leads_nowhere_else(home):
    outside = make_conda(home.parent / "outside/env")
    (home / "linked").symlink_to(outside.parent)
    (home / "work").mkdir()
    (home / "work/env").symlink_to(outside)
    conda_names(home, outside, home / "linked/env", home / "work/env", home / "work/../../outside/env")
    assert list(own(home)) == []


def test_a_home_that_is_reached_by_a_link_is_the_one_that_conda_names(home, tmp_path):
    make_conda(home / "work/deep/env")
    conda_names(home, home / "work/deep/env")
    (tmp_path / "short").symlink_to(home)
    assert [kernel.folder for kernel in own(tmp_path / "short")] == [tmp_path / "short/work/deep/env"]


@pytest.mark.parametrize("spoil", ["pipe", "folder", "no text", "nobody's", "without end"])
def test_a_list_of_condas_that_cannot_be_read_costs_nothing_else(open_home, spoil):
    make_venv(open_home / "mine")
    path = open_home / ".conda/environments.txt"
    conda_names(open_home)
    path.unlink()
    if spoil == "pipe":
        os.mkfifo(path)
    elif spoil == "folder":
        path.mkdir()
    elif spoil == "without end":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"\xff\xfe\n" * 100_000)
        path.chmod(0 if spoil == "nobody's" else 0o644)
    with an_ordinary_user():
        assert [kernel.name for kernel in own(open_home)] == ["own-mine"]


def test_condas_list_is_not_read_to_the_end(home):
    conda_names(home, *(home / f"a{number:03}/b/c" for number in range(500)), make_conda(home / "work/deep/env"))
    assert list(own(home)) == []


def make_r(prefix: Path, kernel: bool = True) -> Path:
    for folder in ("conda-meta", "bin", "lib/R/library"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "bin/R").write_text("")
    if kernel:
        (prefix / "lib/R/library/IRkernel").mkdir()
    return prefix


def test_a_conda_environment_of_r_is_rs_kernel(home):
    """Also one whose packages need a Python; with ipykernel it is Python's."""
    prefix = make_r(home / ".conda/envs/stats")
    with_python = make_r(home / "with-python")
    (with_python / "bin/python").symlink_to(sys.executable)
    both = make_r(home / "both")
    (both / "bin/python").symlink_to(sys.executable)
    (both / "lib/python3.12/site-packages/ipykernel").mkdir(parents=True)
    found = {kernel.name: kernel.spec for kernel in own(home)}
    assert {name: spec.language for name, spec in found.items()} == {
        "own-both": "python",
        "own-with-python": "R",
        "own-stats": "R",
    }
    spec = found["own-stats"]
    assert spec.display_name == "stats (~/.conda/envs/stats)"
    assert spec.argv == [
        *(f"{prefix}/bin/R", "--no-save", "--no-restore", "--no-echo", "-e", "IRkernel::main()", "--args"),
        "{connection_file}",
    ]
    assert spec.env["CONDA_PREFIX"] == str(prefix)
    assert spec.env["PATH"].startswith(f"{prefix}/bin:")


def test_an_r_without_its_kernel_says_so(home):
    make_r(home / "stats", kernel=False)
    (kernel,) = own(home)
    assert kernel.spec.metadata[BROKEN] == "it has no IRkernel; install r-irkernel into it"


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
