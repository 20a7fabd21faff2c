"""The sample of a rank, by counting: the bits of magnitudes are in the order of the magnitudes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run

_MAGNITUDE = 0x7FFFFFFF


@jit
def _bin(counts, rank):
    """The bin that holds the number of a rank, from the top, and its rank within."""
    which = counts.size - 1
    while rank >= counts[which]:
        rank -= counts[which]
        which -= 1
    return which, rank


@jit
def _rows(first, last, bits, rank, place, louder):
    counts = np.empty(1 << 16, np.int32)
    for row in range(first, last):
        counts[:] = 0
        for sample in bits[row]:
            counts[(sample & _MAGNITUDE) >> 16] += 1
        upper, left = _bin(counts, rank[row])
        counts[:] = 0
        for sample in bits[row]:
            if (sample & _MAGNITUDE) >> 16 == upper:
                counts[sample & 0xFFFF] += 1
        lower, left = _bin(counts, left)
        louder[row] = rank[row] - left
        index = 0
        while bits[row, index] & _MAGNITUDE != upper << 16 | lower:
            index += 1
        place[row] = index


def loudest(x: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`speechaug.ops.loudest.loudest`."""
    place, louder = torch.empty_like(rank), torch.empty_like(rank)
    run(_rows, len(rank), array(x).view(np.int32), array(rank), place.numpy(), louder.numpy())
    return place, louder
