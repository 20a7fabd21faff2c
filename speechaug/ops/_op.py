"""How an op finds its kernels."""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Collection
from typing import Any

import torch

NEEDS = {"cpu": "numba", "cuda": "triton"}
"""What a kernel of each device is written in."""


@functools.cache
def available(device: str) -> bool:
    """Say whether kernels for ``"cpu"`` or ``"cuda"`` can run here; where not, the reference does the work.

    Example:
        >>> available("cpu")
        True
    """
    try:
        importlib.import_module(NEEDS[device])
    except ModuleNotFoundError:
        return False
    except Exception as error:  # broken packages raise anything
        message = f"{NEEDS[device]} is broken, so speechaug computes with slower PyTorch code; see `speechaug doctor`"
        warnings.warn(f"{message} ({type(error).__name__}: {error})", RuntimeWarning, stacklevel=2)
        return False
    return True


def use_kernels(
    op: Any,
    reference: Callable[..., Any],
    package: str,
    dtype: torch.dtype = torch.float32,
    devices: Collection[str] = tuple(NEEDS),
) -> None:
    """Let ``op`` use the functions of its own name in ``package.cpu`` and ``package.cuda``.

    They are called where the first argument is ``dtype``; everything else, float64 above all, is the reference's.

    Args:
        op: what ``torch.library.custom_op`` returned, named ``speechaug::<name>``.
        reference: the plain-torch function that is its body.
        package: where the modules ``cpu`` and ``cuda`` are, ``__package__`` of the caller.
        dtype: of the first argument, where kernels take another.
        devices: that have kernels of it.
    """
    for device in devices:
        op.register_kernel(device)(_kernel(op._name, reference, package, device, dtype))
    without_compiler(op)


def without_compiler(op: Any) -> None:
    """Let an op be called without torch's compiler, unless that is there already.

    torch wraps the functions of an op so that they are not compiled themselves. That imports the compiler at the first
    call, which takes seconds, and each call takes longer than the kernel of a short row.

    Args:
        op: what ``torch.library.custom_op`` returned.
    """
    for device, wrapped in op._backend_fns.items():
        op._backend_fns[device] = functools.partial(_call, wrapped, wrapped.__wrapped__)


def _call(wrapped: Callable[..., Any], plain: Callable[..., Any], *args: Any) -> Any:
    return (wrapped if "torch._dynamo" in sys.modules else plain)(*args)


def _kernel(
    name: str, reference: Callable[..., Any], package: str, device: str, dtype: torch.dtype
) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if args[0].dtype != dtype or not available(device):
            return reference(*args)
        return getattr(importlib.import_module(f"{package}.{device}"), name)(*args)

    return call
