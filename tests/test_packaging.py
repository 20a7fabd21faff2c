"""What is shipped, what an import brings with it, and that the Makefile starts from nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LATE = ("librosa", "audiomentations", "lightning", "pytorch_lightning", "torchaudio", "matplotlib")
GAIN = """
import torch
import speechaug as sa
policy = sa.Compose([sa.Gain(gain_db=(6.0, 6.0))])
draws = policy.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=["a"]))
y, _ = policy(torch.full((1, 100), 0.1), None, draws, sample_rate=16_000)
print("factor", round(float(y[0, 50]) / 0.1, 3))
"""


def python(
    *arguments: str, cwd: Path | None = None, path: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in another folder, with ``path`` first among the places it imports from."""
    places = [str(path)] if path else []
    places += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places), **environment}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd or ROOT, env=env, capture_output=True, text=True, timeout=600, check=False
    )


def test_import_is_light(tmp_path: Path):
    done = python("-X", "importtime", "-c", "import speechaug", cwd=tmp_path, path=ROOT)
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "speechaug" in imported
    assert imported.isdisjoint(LATE)


@pytest.mark.parametrize("kind", ["ImportError", "OSError", "RuntimeError"])
def test_core_works_where_torchaudio_breaks(tmp_path: Path, kind: str):
    """A finder that raises stands before every other, from the first line on."""
    script = f"""
import sys
class Failing:
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio":
            raise {kind}("broken wheel")
sys.meta_path.insert(0, Failing())
{GAIN}
from speechaug import _torchaudio
print(_torchaudio.why_not())
"""
    done = python("-c", script, cwd=tmp_path, path=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["factor 1.995", f"{kind}: broken wheel"]


def test_callbacks_have_one_name():
    done = python("-c", "import callbacks", path=ROOT)
    assert done.returncode != 0
    assert "callbacks: import name must be 'speechaug.callbacks', got 'callbacks'" in done.stderr
    from speechaug import callbacks

    assert {"Augment", "SpectrogramAugment"} <= set(callbacks.__all__)
    assert all(hasattr(callbacks, name) for name in callbacks.__all__)


def test_links_lead_to_the_top_folders():
    for name in ("callbacks", "fixtures"):
        assert (ROOT / "speechaug" / name).resolve() == ROOT / name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, as they are committed or about to be."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("speechaug", "callbacks", "fixtures"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=unwanted)
    done = python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def sources(name: str) -> set[str]:
    """Files under a top folder, by the path the wheel should give them."""
    base = "speechaug" if name == "speechaug" else f"speechaug/{name}"
    files = {path.relative_to(ROOT / name) for path in (ROOT / name).rglob("*") if path.is_file()}
    kept = {path for path in files if "__pycache__" not in path.parts and path.suffix != ".pyc"}
    return {f"{base}/{path.as_posix()}" for path in kept}


def test_wheel_holds_every_source_file(wheel: Path):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = sources("speechaug") | sources("callbacks") | sources("fixtures")
    assert inside == expected
    assert "speechaug/py.typed" in inside
    assert "speechaug/callbacks/augment.py" in inside
    assert any(name.endswith(".flac") for name in inside)
    assert "speechaug/robustness/page/report.html.jinja" in inside


def test_wheel_metadata(wheel: Path):
    archive = zipfile.ZipFile(wheel)
    info = next(name for name in archive.namelist() if name.endswith("METADATA"))
    lines = archive.read(info).decode("utf-8").splitlines()
    needed = {line.partition(": ")[2].split(";")[0].strip() for line in lines if line.startswith("Requires-Dist")}
    names = {item.split("[")[0].rstrip("<>=!,.0123456789 ") for item in needed}
    assert {"torch", "torchaudio", "lightning", "audiomentations", "librosa", "soundfile"} <= names
    assert "torchaudio>=2.11" in needed
    assert "Requires-Python: >=3.10" in lines
    assert "License-Expression: Apache-2.0" in lines
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """Unpack the wheel as pip does, outside the clone."""
    folder = wheel.parent / "site"
    arguments = ("install", "--no-deps", "--no-index", "--target", str(folder), str(wheel))
    done = python("-m", "pip", *arguments, cwd=wheel.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_installed_package_works_outside_the_clone(site: Path, tmp_path: Path):
    done = python("-c", GAIN + "\nprint(sa.__file__)", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["factor 1.995", str(site / "speechaug" / "__init__.py")]


def test_editable_install_is_found_beside_a_folder_of_its_name(wheel: Path, tmp_path: Path):
    """As is the clone itself, by a script in the folder that it was cloned into."""
    source, scripts = wheel.parent / "source", tmp_path / "scripts"
    (scripts / "speechaug").mkdir(parents=True)
    build = f"from setuptools.build_meta import build_editable; build_editable({str(tmp_path)!r})"
    done = python("-c", build, cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(tmp_path / "site")
    enter = "import os, site, sys\n"
    enter += "sys.path[:] = [p for p in sys.path if not os.path.isfile(os.path.join(p, 'speechaug', '__init__.py'))]\n"
    enter += f"site.addsitedir({str(tmp_path / 'site')!r})\n"
    done = python("-c", enter + GAIN + "\nprint(sa.__file__)", cwd=scripts)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["factor 1.995", str(source / "speechaug" / "__init__.py")]


def test_installed_doctor_finds_the_fixtures(site: Path, tmp_path: Path):
    done = python("-m", "speechaug", "doctor", cwd=tmp_path, path=site, COLUMNS="200")
    assert done.returncode == 0, done.stdout + done.stderr
    fixtures = next(line for line in done.stdout.splitlines() if " fixtures " in line)
    assert fixtures.startswith("ok")
    assert "recordings" in fixtures


def test_installed_demo_takes_its_first_steps(site: Path, tmp_path: Path):
    done = python("-m", "speechaug", "demo", "--steps", "2", "--output", "out", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all corrupted" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "all corrupted" in page


make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def run_make(*arguments: str) -> str:
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@make
def test_make_alone_lists_the_targets():
    text = run_make()
    assert all(f"make {target}" in text for target in ("demo", "test", "test-all", "bench", "lint"))


@make
@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("demo", "bin/speechaug demo"),
        ("test", "-m pytest"),
        ("test-all", "-m pytest"),
        ("bench", "-m benchmarks"),
        ("lint", "-m mypy"),
    ],
)
def test_every_target_makes_its_environment_first(tmp_path: Path, target: str, command: str):
    lines = run_make("--dry-run", target, f"VENV={tmp_path / 'env'}").splitlines()
    steps = ["-m venv", "pip install", command]
    places = [next(place for place, line in enumerate(lines) if step in line) for step in steps]
    assert places == sorted(places)
    assert "-c constraints.txt" in lines[places[1]]


@make
def test_an_environment_that_is_up_to_date_is_left_alone(tmp_path: Path):
    (tmp_path / ".speechaug-installed").touch()
    assert "pip install" not in run_make("--dry-run", "test", f"VENV={tmp_path}")


@make
def test_an_old_python_is_refused_with_a_remedy(tmp_path: Path):
    """The Makefile's own check, given an interpreter that says it is too old."""
    old = tmp_path / "python3.8"
    pretend = "import sys; sys.version_info = (3, 8, 0)"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}; $2"\n', encoding="utf-8")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "test", f"PYTHON={old}", f"VENV={tmp_path / 'env'}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "speechaug needs Python 3.10 or newer" in done.stderr
    assert not (tmp_path / "env").exists()


def test_ci_script_is_executable_and_calls_make():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert [line for line in script.read_text(encoding="utf-8").splitlines() if line.startswith("make")] == [
        "make lint",
        "make test",
    ]
