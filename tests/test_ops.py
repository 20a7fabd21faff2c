"""What all CPU kernels share: threads, processes, the cache on disk, and going without kernels."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from speechaug.ops import _cpu, _op
from speechaug.ops._cpu import array, jit, run
from speechaug.ops.pointwise import pointwise


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _loud(rows: int = 16, width: int = 4_000) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((rows, width)).astype(np.float32))


def _louder(x: torch.Tensor) -> torch.Tensor:
    rows = len(x)
    return pointwise(x, [0], torch.full((rows, 1), 2.0, dtype=torch.float64), torch.ones(rows, 1, dtype=torch.bool))


@jit
def _count(first, last, out):
    for job in range(first, last):
        out[job] += 1


@jit
def _work_long(first, last, out):
    for job in range(first, last):
        total = 0.0
        for i in range(40_000_000):
            total += np.sqrt(float(i))
        out[job] = total


@pytest.mark.parametrize("jobs", [0, 1, 2, 3, 7, 8, 9, 100, 1_001])
def test_every_job_is_done_once(two_threads, jobs):
    out = np.zeros(jobs, np.int64)
    run(_count, jobs, out)
    assert (out == 1).all()


def test_kernels_run_beside_python():
    """With the GIL kept, the other thread would not get a single turn while the kernel runs."""
    out, turns = np.zeros(1), 0
    _work_long(0, 0, out)  # compiles
    thread = threading.Thread(target=_work_long, args=(0, 1, out))
    thread.start()
    while thread.is_alive():
        turns += 1
    assert out[0] > 0
    assert turns > 100


def test_an_error_in_a_kernel_reaches_the_caller(two_threads):
    def broken(first: int, last: int) -> None:
        if first >= 4:
            raise ArithmeticError("job 4")

    with pytest.raises(ArithmeticError, match="job 4"):
        run(broken, 64)


def test_several_threads_call_at_once(two_threads):
    x = _loud()
    with ThreadPoolExecutor(8) as callers:
        for y in callers.map(lambda _: _louder(x), range(40)):
            assert torch.equal(y, 2.0 * x)


def test_two_threads_give_the_bits_of_one(two_threads):
    x, codes = _loud(), [0, 1, 2, 3, 4]
    values = torch.tensor([[3.0, 0.5, 2.0, 64.0, 1.0]], dtype=torch.float64).repeat(16, 1)
    on = torch.rand(16, 5, generator=torch.Generator().manual_seed(1)) > 0.3
    many = pointwise(x, codes, values, on)
    torch.set_num_threads(1)
    assert torch.equal(many, pointwise(x, codes, values, on))


# Compared by NumPy: torch's own threads do not survive a fork.
FORKING = """
import os, sys, warnings
import torch
from tests.test_ops import _loud, _louder
torch.set_num_threads(2)
x = _loud()
right = lambda: (_louder(x).numpy() == 2.0 * x.numpy()).all()
assert right()  # the pool has its threads now
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later, about forking with threads
child = os.fork()
if child == 0:
    os._exit(0 if right() else 3)
_, status = os.waitpid(child, 0)
assert right()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_alive_after_fork(python_process):
    assert python_process(FORKING).returncode == 0


class _InWorker(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        x = _loud()
        y = _louder(x)
        helpers = sum(thread.name.startswith("speechaug") for thread in threading.enumerate())
        return (y == 2.0 * x).all(), helpers


STARTS = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.global_rng
def test_one_thread_in_a_worker(two_threads, start):
    _louder(_loud())
    loader = DataLoader(_InWorker(), num_workers=1, batch_size=None, multiprocessing_context=start)
    for right, helpers in loader:
        assert right
        assert helpers == 0


UNCACHED = """
import torch
from speechaug.ops.pointwise import cpu
assert type(cpu._rows._cache).__name__ == "NullCache", cpu._rows._cache
from tests.test_ops import _loud, _louder
assert torch.equal(_louder(_loud()), 2.0 * _loud())
"""


def test_nowhere_to_keep_what_was_compiled(python_process):
    """numba is left with the one locator that needs a folder named in the environment, and has none."""
    process = python_process(UNCACHED, NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator", NUMBA_CACHE_DIR="")
    assert process.returncode == 0, process.stderr


FULL = """
import resource, signal
import torch
from tests.test_ops import _loud, _louder
x = _loud()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # whoever writes gets an OSError
assert torch.equal(_louder(x), 2.0 * x)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of resources")
def test_no_room_left_for_what_was_compiled(python_process, tmp_path):
    process = python_process(FULL, NUMBA_CACHE_DIR=str(tmp_path))
    assert process.returncode == 0, process.stderr
    assert not any(path.stat().st_size for path in tmp_path.rglob("*.nb?"))


KERNEL = """
import numpy as np
from values import VALUE
from speechaug.ops._cpu import jit

@jit
def fill(first, last, out):
    for job in range(first, last):
        out[job] = VALUE

out = np.zeros(2)
fill(0, 2, out)
print(int(out.sum()), sum(fill.stats.cache_hits.values()))
"""


def test_what_was_compiled_is_kept_until_a_file_beside_it_changes(python_process, tmp_path):
    (tmp_path / "kernel.py").write_text(KERNEL)
    folders = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()]), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    found = []
    for value in (1, 1, 2):
        (tmp_path / "values.py").write_text(f"VALUE = {value}\n")
        process = python_process("import kernel", **folders, PYTHONDONTWRITEBYTECODE="1")
        assert process.returncode == 0, process.stderr
        found.append(process.stdout.split())
    assert found == [["2", "0"], ["2", "1"], ["4", "0"]]


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_cache_is_made_anew(python_process, tmp_path, kind):
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "values.py").write_text("VALUE = 1\n")
    folders = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()]), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    found = []
    for damaged in (False, True, False):
        for path in tmp_path.rglob(f"*.{kind}") if damaged else ():
            path.write_bytes(b"")
        process = python_process("import kernel", **folders)
        assert process.returncode == 0, process.stderr
        found.append(process.stdout.split())
    assert found == [["2", "0"], ["2", "0"], ["2", "1"]]


def test_broken_numba_is_named_once_and_the_references_do_the_work(python_process, tmp_path):
    (tmp_path / "numba.py").write_text("raise OSError('cannot find libllvmlite.so')\n")
    folders = os.pathsep.join([str(tmp_path), os.getcwd()])
    process = python_process(WITHOUT.replace('sys.modules["numba"] = None', "pass"), PYTHONPATH=folders)
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("numba is broken") == 1
    assert "cannot find libllvmlite.so" in process.stderr


WITHOUT = """
import sys
sys.modules["numba"] = None  # as if it were not installed
import torch
import speechaug as sa
policy = sa.Compose([sa.Gain(gain_db=(6.0, 6.0)), sa.Clipping(), sa.LowPass(), sa.TimeStretch()])
draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a", "b"]))
y, lengths = policy(torch.ones(2, 4_000), None, draws, sample_rate=16_000)
assert torch.isfinite(y).all()
"""


def test_without_numba_the_references_do_the_work(python_process):
    process = python_process(WITHOUT)
    assert process.returncode == 0, process.stderr


@pytest.fixture
def python_process(request):
    def start(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=request.config.rootpath,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return start


def test_float64_and_switched_off_kernels_take_the_reference(monkeypatch):
    called = []
    monkeypatch.setattr("speechaug.ops.pointwise.cpu.pointwise", lambda *args: called.append(1) or args[0].clone())
    x = _loud(2, 10)
    _louder(x)
    assert called == [1]
    _louder(x.double())
    with pointwise.set_kernel_enabled("cpu", False):
        _louder(x)
    assert called == [1]


def test_array_copies_only_what_is_not_contiguous():
    x = torch.arange(6.0).reshape(2, 3)
    assert np.shares_memory(array(x), x.numpy())
    assert not np.shares_memory(array(x.T), x.numpy())
    assert array(x.T).flags.c_contiguous


def test_availability_is_asked_once():
    assert _op.available("cpu")
    assert _cpu.FAST
