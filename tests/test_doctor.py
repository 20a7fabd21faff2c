"""The doctor: names what is broken, gives the line that fixes it, and knows what the core can do without."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from speechaug import _torchaudio, doctor


class Failing(importlib.abc.MetaPathFinder):
    """Raises an error where a module would be found."""

    def __init__(self, module: str, error: Exception) -> None:
        self.module, self.error = module, error

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == self.module:
            raise self.error
        return None


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    _torchaudio._load.cache_clear()
    yield
    _torchaudio._load.cache_clear()


def break_import(monkeypatch: pytest.MonkeyPatch, module: str, error: Exception) -> None:
    monkeypatch.setattr(sys, "meta_path", [Failing(module, error), *sys.meta_path])
    monkeypatch.delitem(sys.modules, module, raising=False)


def found(name: str) -> doctor.Check:
    return next(check for check in doctor.findings() if check.name == name)


ERRORS = [
    ImportError("No module named 'torchaudio'"),
    OSError("libc10_cuda.so: cannot open shared object file\nand a second line"),
    RuntimeError("compiled with different CUDA versions"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_torchaudio_failures_are_caught_and_explained(monkeypatch: pytest.MonkeyPatch, error: Exception):
    break_import(monkeypatch, "torchaudio", error)
    assert not _torchaudio.available()
    assert _torchaudio.why_not() == f"{type(error).__name__}: {str(error).splitlines()[0]}"
    with pytest.raises(ImportError, match="forced alignment needs torchaudio") as caught:
        _torchaudio.require("forced alignment")
    reason, *fix = str(caught.value).splitlines()
    assert type(error).__name__ in reason
    assert len(fix) == 2
    assert 'pip install "torch<2.15" torchaudio' in fix[0]
    check = found("torchaudio")
    assert check.status == "warn"
    assert check.fix == _torchaudio.FIX


def test_torchaudio_other_errors_are_not_swallowed(monkeypatch: pytest.MonkeyPatch):
    break_import(monkeypatch, "torchaudio", KeyError("a bug"))
    with pytest.raises(KeyError):
        _torchaudio.available()


def test_torchaudio_is_tried_once(monkeypatch: pytest.MonkeyPatch):
    break_import(monkeypatch, "torchaudio", OSError("first"))
    assert "first" in _torchaudio.why_not()
    break_import(monkeypatch, "torchaudio", OSError("second"))
    assert "first" in _torchaudio.why_not()


def test_torchaudio_that_works_is_returned(monkeypatch: pytest.MonkeyPatch):
    module = ModuleType("torchaudio")
    monkeypatch.setitem(sys.modules, "torchaudio", module)
    assert _torchaudio.require() is module
    assert _torchaudio.why_not() == ""
    assert found("torchaudio").status == "ok"


def test_a_sound_installation_has_no_failure():
    checks = list(doctor.findings())
    assert [check for check in checks if check.status == "fail"] == []
    assert all(check.fix for check in checks if check.status == "warn")
    assert "FLAC" in found("soundfile").found
    assert "recordings" in found("fixtures").found


def shown(width: int = 100) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    code = doctor.main(console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def test_exit_code_and_text_when_sound():
    code, text = shown()
    assert code == 0
    assert "The core works." in text
    assert "torch" in text


def test_a_line_is_printed_when_it_is_known(monkeypatch: pytest.MonkeyPatch):
    console = Console(file=io.StringIO(), width=100, color_system=None)
    seen: list[str] = []

    def found(name: str) -> doctor.Check:
        assert isinstance(console.file, io.StringIO)
        seen.append(console.file.getvalue())
        return doctor.Check(name, "warn", "x" * 200, "a remedy")

    names = ("a", "audiomentations", "c")
    monkeypatch.setattr(doctor, "findings", lambda: map(found, names))
    assert doctor.main(console) == 0
    assert [len(re.findall("a remedy", text)) for text in seen] == [0, 1, 2]
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert {line.find("x") for line in lines if "x" in line} == {lines[0].index("x")}


@pytest.mark.parametrize("module", ["soundfile", "soxr", "lightning"])
def test_broken_core_packages_fail(monkeypatch: pytest.MonkeyPatch, module: str):
    break_import(monkeypatch, module, AttributeError("half installed [bold]"))
    code, text = shown(width=200)
    assert code == 1
    assert f"Broken: {module}." in text
    assert "AttributeError: half installed [bold]" in text
    assert f"pip install --upgrade {module}" in text


@pytest.mark.parametrize("module", ["librosa", "audiomentations"])
def test_broken_helpers_only_warn(monkeypatch: pytest.MonkeyPatch, module: str):
    break_import(monkeypatch, module, ImportError("gone"))
    check = found(module)
    assert (check.status, check.fix) == ("warn", f"pip install --upgrade {module}")


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_malicious_lightning_is_named(monkeypatch: pytest.MonkeyPatch, version: str):
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: version if name == "lightning" else real(name))
    check = found("lightning")
    assert check.status == "warn"
    assert "malicious" in check.found
    assert "replace every secret" in check.fix


def test_broken_torch_is_reported(monkeypatch: pytest.MonkeyPatch):
    real = doctor._import_error
    monkeypatch.setattr(doctor, "_import_error", lambda name: "OSError: no libtorch" if name == "torch" else real(name))
    checks = {check.name: check for check in doctor.findings()}
    assert checks["torch"].status == "fail"
    assert checks["CUDA"].status == "warn"


WITHOUT_TORCH = """
import importlib.abc, sys, types

class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torch", "librosa", "audiomentations"):
            raise OSError("libtorch_cpu.so: cannot open shared object file")

sys.meta_path.insert(0, Broken())
package = types.ModuleType("speechaug")  # in place of the real one, so that this is about the module alone
package.__path__ = [sys.argv[1]]
sys.modules["speechaug"] = package
from speechaug.doctor import main
sys.exit(main())
"""


def test_runs_where_torch_cannot_be_imported():
    command = [sys.executable, "-c", WITHOUT_TORCH, str(Path(doctor.__file__).parent)]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, check=False)
    assert (run.returncode, run.stderr) == (1, "")
    assert "OSError: libtorch_cpu.so: cannot open shared object file" in run.stdout
    assert "Broken: torch." in run.stdout


def test_unusable_gpu_is_explained(monkeypatch: pytest.MonkeyPatch):
    import warnings

    import torch

    def unavailable() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old\nmore", UserWarning, stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    check = found("CUDA")
    assert (check.status, check.found) == ("warn", "The NVIDIA driver on your system is too old")
    assert "update the driver" in check.fix


def test_missing_fixtures_warn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "doctor.py"))
    assert found("fixtures").status == "warn"


def test_cache_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "there"))
    assert found("cache folder").status == "ok"
    assert not (tmp_path / "not").exists()
    monkeypatch.setattr(os, "access", lambda *_: False)
    check = found("cache folder")
    assert check.status == "warn"
    assert "XDG_CACHE_HOME" in check.fix


def test_a_transform_that_raises_or_lies_fails(monkeypatch: pytest.MonkeyPatch):
    import speechaug as sa

    monkeypatch.setattr(sa.Compose, "sample", lambda *_: 1 / 0)
    check = found("a transform")
    assert check.status == "fail"
    assert "ZeroDivisionError" in check.found
