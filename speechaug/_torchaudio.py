"""The only door to torchaudio, whose wheels break at import beside many torch builds.

torchaudio 2.11.0 is built for CUDA 13.0. Beside a torch of another CUDA version it raises RuntimeError, beside a CPU
build OSError, and where it is absent ImportError. Nothing in the core needs it, so nothing imports it at module level;
whoever needs it calls :func:`require` inside the function that does.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType

FIX = (
    "torchaudio 2.11.0 wheels import only beside torch 2.11 to 2.14 built for CUDA 13.0: "
    'pip install "torch<2.15" torchaudio\n'
    "Nothing in speechaug needs torchaudio except its datasets, pretrained pipelines and forced alignment."
)


@functools.cache
def _load() -> tuple[ModuleType | None, str]:
    """Import once; a failed import of compiled code is not safe to try again in the same process."""
    try:
        return importlib.import_module("torchaudio"), ""
    except (ImportError, OSError, RuntimeError) as error:
        text = str(error).strip() or "no message"
        return None, f"{type(error).__name__}: {text.splitlines()[0]}"


def available() -> bool:
    """Say whether ``import torchaudio`` works here. The first call tries it, later calls remember."""
    return _load()[0] is not None


def why_not() -> str:
    """Return what ``import torchaudio`` raised, as ``"OSError: libc10_cuda.so ..."``; empty where it works."""
    return _load()[1]


def require(purpose: str = "this feature") -> ModuleType:
    """Return the torchaudio module.

    Args:
        purpose: who needs it, for the error message, such as ``"forced alignment"``.

    Raises:
        ImportError: if torchaudio cannot be imported, with the reason and two lines on how to fix it.
    """
    module, reason = _load()
    if module is None:
        raise ImportError(f"{purpose} needs torchaudio, which cannot be imported here ({reason}).\n{FIX}")
    return module
