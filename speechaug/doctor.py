"""Is the installation sound? Each finding comes with the line that fixes it.

Imports nothing that may be broken before it is asked about: not torch, and nothing of this package that needs it.
"""

from __future__ import annotations

import importlib
import os
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from speechaug import _torchaudio  # which does not import torchaudio before it is asked to

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Status = Literal["ok", "warn", "fail"]
MALICIOUS_LIGHTNING = ("2.6.2", "2.6.3")
AUDIO_FORMATS = ("WAV", "FLAC", "MP3", "OGG")


@dataclass(frozen=True)
class Check:
    """One finding.

    Args:
        name: what was looked at.
        status: ``"ok"``; ``"warn"`` if something optional is missing or needs care; ``"fail"`` if the core is broken.
        found: what was found.
        fix: what to do about it; empty if there is nothing to do.
    """

    name: str
    status: Status
    found: str
    fix: str = ""


def findings() -> Iterator[Check]:
    """Look at everything speechaug stands on, one thing after the other; changes nothing and needs no network.

    Example:
        >>> next(findings()).name
        'Python'
    """
    checks: Sequence[Callable[[], Check]] = (
        _python,
        _speechaug,
        _torch,
        _cuda,
        lambda: _package("numpy", "fail"),
        lambda: _package("soundfile", "fail", _formats),
        lambda: _package("soxr", "fail"),
        _lightning,
        _torchaudio_check,
        lambda: _package("librosa", "warn"),
        lambda: _package("audiomentations", "warn"),
        lambda: _package("jiwer", "warn"),
        lambda: _package("numba", "warn"),
        lambda: _optional("triton", "fast kernels on the GPU"),
        _fixtures,
        _cache,
        _transform,
    )
    return (check() for check in checks)


def main(console: Console | None = None) -> int:
    """Print each finding when it is known; returns the exit code: 1 when something in the core is broken, else 0."""
    from rich.console import Console as RichConsole

    out, broken = console or RichConsole(), []
    for check in findings():
        out.print(_row(check))
        if check.status == "fail":
            broken.append(check.name)
    out.print(f"\nBroken: {', '.join(broken)}." if broken else "\nThe core works.")
    return 1 if broken else 0


def _row(check: Check) -> Table:
    from rich.markup import escape
    from rich.table import Table

    row = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for width in (len("warn"), len("audiomentations")):  # the longest, so that all rows have the same columns
        row.add_column(no_wrap=True, min_width=width)
    row.add_column(overflow="fold")
    marks = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[bold red]FAIL[/]"}
    row.add_row(marks[check.status], check.name, escape(check.found))
    if check.fix:
        row.add_row("", "", f"[bold]{escape(check.fix)}[/]")
    return row


def _import_error(module: str) -> str:
    """Import a module and return what it raised, or nothing.

    Broken packages raise anything at import, and the purpose here is to name it: so every Exception is caught.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(module)
    except Exception as error:
        return f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
    return ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _package(name: str, worst: Status, more: Callable[[], str] = lambda: "") -> Check:
    version, error = _version(name), _import_error(name)
    if error:
        return Check(name, worst, f"{version or 'not installed'}; {error}", f"pip install --upgrade {name}")
    extra = more()
    return Check(name, "ok", f"{version}, {extra}" if extra else version)


def _optional(name: str, purpose: str) -> Check:
    version = _version(name)
    return Check(name, "ok", version or f"not installed; only {purpose} would use it")


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("Python", "ok", found)


def _speechaug() -> Check:
    version = _version("speechaug") or "not installed, imported"
    return Check("speechaug", "ok", f"{version} from {Path(__file__).parent}")


def _torch() -> Check:
    error = _import_error("torch")
    if error:
        found = f"{_version('torch') or 'not installed'}; {error}"
        return Check("torch", "fail", found, 'pip install "torch>=2.11,<2.15"')
    import torch

    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU"
    return Check("torch", "ok", f"{torch.__version__}, {build}, {torch.get_num_threads()} threads")


def _cuda() -> Check:
    if unknown := _without_torch("CUDA"):
        return unknown
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if available:
        names = {torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())}
        return Check("CUDA", "ok", f"{torch.cuda.device_count()} device(s): {', '.join(sorted(names))}")
    if said:  # there is a device or a driver, but this torch cannot use it
        fix = f"update the driver, or install the torch built for it (this one: CUDA {torch.version.cuda})"
        return Check("CUDA", "warn", str(said[0].message).splitlines()[0], fix)
    return Check("CUDA", "ok", "no device: everything runs on the CPU")


def _formats() -> str:
    import soundfile

    known = soundfile.available_formats()
    names = [name for name in AUDIO_FORMATS if name in known]
    names += ["Opus"] if "OGG" in known and "OPUS" in soundfile.available_subtypes("OGG") else []
    return f"libsndfile {soundfile.__libsndfile_version__}: {', '.join(names)}"


def _lightning() -> Check:
    if _version("lightning") in MALICIOUS_LIGHTNING:
        fix = 'pip install "lightning!=2.6.2,!=2.6.3" and replace every secret this machine held (GHSA-w37p-236h-pfx3)'
        return Check("lightning", "warn", f"{_version('lightning')} was a malicious upload", fix)
    return _without_torch("lightning") or _package("lightning", "fail")


def _without_torch(name: str) -> Check | None:
    """Where torch is broken nothing that stands on it can be judged, and its own fix would not help."""
    return Check(name, "warn", "unknown without torch", "mend torch first") if _import_error("torch") else None


def _torchaudio_check() -> Check:
    if unknown := _without_torch("torchaudio"):
        return unknown
    version = _version("torchaudio")
    if _torchaudio.available():
        return Check("torchaudio", "ok", version)
    return Check("torchaudio", "warn", f"{version or 'not installed'}; {_torchaudio.why_not()}", _torchaudio.FIX)


def _fixtures() -> Check:
    folder = Path(__file__).parent / "fixtures"
    clips = sum(1 for _ in folder.rglob("*.flac"))
    if clips:
        return Check("fixtures", "ok", f"{clips} recordings")
    fix = "install again; in a clone on Windows: git config core.symlinks true, then check out again"
    return Check("fixtures", "warn", f"no recordings in {folder}: `speechaug demo` cannot run", fix)


def _cache() -> Check:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if os.access(existing, os.W_OK):
        return Check("cache folder", "ok", str(folder))
    fix = "set XDG_CACHE_HOME to a folder you may write, or compiled kernels and fonts are made anew in each run"
    return Check("cache folder", "warn", f"{folder} is not writable", fix)


def _transform() -> Check:
    """Do one real thing: what imports may still not work."""
    if unknown := _without_torch("a transform"):
        return unknown
    try:
        import torch

        import speechaug as sa

        policy = sa.Compose((sa.Gain(gain_db=(6.0, 6.0)),))
        draws = policy.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=["doctor"]))
        y, _ = policy(torch.full((1, 160), 0.1), None, draws, sample_rate=16_000)
        ratio = float(y.mean()) / 0.1
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        return Check("a transform", "fail", found, "pip install --force-reinstall speechaug")
    if abs(ratio - 10 ** (6 / 20)) > 1e-3:
        return Check("a transform", "fail", f"6 dB of gain gave a factor of {ratio:.4f}", "please report this")
    return Check("a transform", "ok", "applied, with the right result")
