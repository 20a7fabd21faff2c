"""Settings of the whole suite: one thread per worker, no hidden global randomness, torchaudio broken on request.

``SPEECHAUG_BREAK_TORCHAUDIO=ImportError|OSError|RuntimeError`` makes every ``import torchaudio`` of the run, of its
workers and of the processes it starts, raise that error: the suite must pass all the same.
"""

from __future__ import annotations

import os

# Before torch is imported: it reads them once. One thread per worker is faster than threads that compete.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pickle
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # CUDA kernels run on the CPU, one step at a time

collect_ignore = ["compiled.py"]  # a program: imported here, it would undo the line above

BREAKS = {
    "ImportError": "No module named 'torchaudio'",
    "OSError": "libc10_cuda.so: cannot open shared object file: No such file or directory",
    "RuntimeError": "PyTorch and TorchAudio were compiled with different CUDA versions",
}


def _break_torchaudio(kind: str) -> tempfile.TemporaryDirectory[str]:
    """Put a torchaudio that raises before the real one, here and through PYTHONPATH in every child process."""
    if kind not in BREAKS:
        raise pytest.UsageError(f"SPEECHAUG_BREAK_TORCHAUDIO must be one of {sorted(BREAKS)}, got {kind!r}")
    folder = tempfile.TemporaryDirectory(prefix="broken-torchaudio-")
    Path(folder.name, "torchaudio.py").write_text(f"raise {kind}({BREAKS[kind]!r})\n", encoding="utf-8")
    sys.path.insert(0, folder.name)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder.name, os.environ.get("PYTHONPATH")]))
    return folder


_kind = os.environ.get("SPEECHAUG_BREAK_TORCHAUDIO")
_broken = _break_torchaudio(_kind) if _kind else None  # kept to the end of the run, then removed


def pytest_report_header() -> str:
    """Say in the first lines of the run what may differ from another run of it."""
    state = f"broken on purpose with {_kind}" if _kind else "as installed"
    return f"torch {torch.__version__}, numpy {np.__version__}, torchaudio {state}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked gpu where there is no CUDA device."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


def _global_states() -> dict[str, bytes]:
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002  it is the state this guards
        "random": pickle.dumps(random.getstate()),
    }


@pytest.fixture(autouse=True)
def _global_rng_untouched(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which a global random state differs; ``@pytest.mark.global_rng`` allows it."""
    if request.node.get_closest_marker("global_rng"):
        yield
        return
    before = _global_states()
    yield
    after = _global_states()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"the test changed the global random state of {', '.join(changed)}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings beside the repository, never part of it; a test that uses them skips where they are absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real recordings: {folder} is absent")
    return folder


@pytest.fixture
def noise_folder(tmp_path: Path) -> Path:
    """Make a folder of three short noise clips."""
    import soundfile  # not at the top: tests for a GPU need torch, numpy, pytest and little else

    folder = tmp_path / "noise"
    for index, length in enumerate((900, 4_000, 12_000)):
        samples = np.random.default_rng(index).uniform(-0.3, 0.3, length)
        (folder / "kind").mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "kind" / f"{index}.wav", samples, 16_000)
    return folder
