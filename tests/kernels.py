"""Run an op three ways: its plain-torch reference, the CPU kernel and the CUDA kernel (interpreted without a GPU)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def reference(op: Any, *args: Any) -> Any:
    """What the body of ``op`` gives."""
    with op.set_kernel_enabled("cpu", False):
        return op(*args)


def cpu(op: Any, *args: Any) -> Any:
    """What the CPU kernel gives."""
    return _module(op, "cpu")(*args)


def cuda(op: Any, *args: Any) -> Any:
    """What the CUDA kernel gives, back on the CPU; on tensors of a GPU where there is one, else interpreted."""
    pytest.importorskip("triton")
    moved = [arg.to(DEVICE) if isinstance(arg, Tensor) else arg for arg in args]
    result = _module(op, "cuda")(*moved)
    return tuple(part.cpu() for part in result) if isinstance(result, tuple) else result.cpu()


def cuda_(op: Any, x: Tensor, *args: Any) -> None:
    """Let the CUDA kernel write into ``x``."""
    pytest.importorskip("triton")
    there, *moved = [arg.to(DEVICE) if isinstance(arg, Tensor) else arg for arg in (x, *args)]
    _module(op, "cuda")(there, *moved)
    x.copy_(there)


def kernels(op: Any, *args: Any) -> Iterator[tuple[str, Any]]:
    """Yield what each kernel gives, with its name."""
    yield "cpu", cpu(op, *args)
    yield "cuda", cuda(op, *args)


def _module(op: Any, device: str) -> Any:
    name = op._name
    return getattr(importlib.import_module(f"speechaug.ops.{_folder(op)}.{device}"), name)


def _folder(op: Any) -> str:
    return op._init_fn.__module__.split(".")[2]
