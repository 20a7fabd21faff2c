"""Ids for what is augmented without a name."""

from __future__ import annotations

import torch.distributed
from torch.utils.data import get_worker_info


def call_id(call: int) -> str:
    """Name the ``call``-th call of an object in this process: unlike in other ranks and DataLoader workers.

    A worker is known by its seed, which differs in each epoch and follows from torch's global generator in the process
    that made the loader (``seed_everything``).

    Example:
        >>> call_id(3)
        'rank-0/worker-0/call-3'
    """
    spread = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank, worker = torch.distributed.get_rank() if spread else 0, get_worker_info()
    return f"rank-{rank}/worker-{worker.seed if worker else 0}/call-{call}"
