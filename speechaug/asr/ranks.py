"""What the modules here do so that neither ranks nor interruptions change a training or its results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule

from speechaug.rng import Rng


@contextmanager
def step_rng(module: LightningModule, batch_idx: int) -> Iterator[None]:
    """Let a training step draw from generators of its own what it would draw from torch's global ones: dropout.

    They depend on the seed given to ``seed_everything`` (0 without), the step and the rank alone, so a training that
    was interrupted goes on bit for bit: Lightning keeps no random state in checkpoints. Outside, the global generators
    are as if nothing had been drawn.

    Args:
        module: whose training step this is.
        batch_idx: as in ``training_step``.

    Example:
        >>> from types import SimpleNamespace as Fake
        >>> trainer = Fake(accumulate_grad_batches=1, global_rank=0, global_step=7)
        >>> module = Fake(trainer=trainer, device=torch.device("cpu"))
        >>> drawn = []
        >>> for _ in range(2):
        ...     with step_rng(module, batch_idx=0):
        ...         drawn.append(torch.rand(3))
        >>> torch.equal(*drawn)
        True
    """
    trainer = module.trainer
    place = f"step-{trainer.global_step}/{batch_idx % trainer.accumulate_grad_batches}/rank-{trainer.global_rank}"
    seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))  # torch's own is another one in every process
    key = int(Rng.from_ids(seed=seed, epoch=0, ids=[place]).key()[0])
    devices = [module.device] if module.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(key)
        for device in devices:
            torch.cuda.default_generators[device.index or 0].manual_seed(key)
        yield


def all_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of all ranks on every rank, those of the first rank first; a copy of ``rows`` without ranks.

    Example:
        >>> all_rows([{"id": "u1"}])
        [{'id': 'u1'}]
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return list(rows)
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, rows)
    return [row for part in parts for row in part]
