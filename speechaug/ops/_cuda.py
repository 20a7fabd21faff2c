"""What CUDA kernels share; they run on CPU tensors where ``TRITON_INTERPRET=1`` was set before their import."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def on_device(x: Tensor) -> AbstractContextManager[object]:
    """Launch on the device, and its current stream, that ``x`` is on."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
