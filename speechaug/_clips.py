"""Clips in memory: 16 bits a sample, one after the other, each put in when it is first wanted."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

FULL = 32767.0
"""What the largest sample of a clip is stored as."""

_FEW = 4  # done before threads have begun

T = TypeVar("T")
V = TypeVar("V")


class Clips(NamedTuple):
    """The clips of a bank, one after the other, with their tables (all tensors on one device)."""

    pcm: Tensor
    scale: Tensor
    start: Tensor
    length: Tensor
    peak: Tensor
    energy: Tensor  # float64 (clips, 2): near the peak, where a response's direct path is, and of the rest


class Packed(NamedTuple):
    """One clip in 16 bits: its samples, and its row of each table of :class:`Clips`."""

    pcm: NDArray[np.int16]
    scale: np.float32
    peak: int
    energy: NDArray[np.float64]

    @property
    def samples(self) -> NDArray[np.float32]:
        """The clip as it is stored, ``(T,)``."""
        return np.multiply(self.pcm, self.scale, dtype=np.float32)


def pack(clip: NDArray[np.float32], near: int) -> Packed:
    """Store a clip in 16 bits, as loud as they can hold.

    Args:
        clip: ``(T,)``, not silent.
        near: how far from the largest sample is near it, for the energies.

    Example:
        >>> packed = pack(np.array([0.0, 0.25, -0.5], np.float32), near=0)
        >>> packed.pcm, packed.peak, packed.samples
        (array([     0,  16384, -32767], dtype=int16), 2, array([ 0.        ,  0.25000763, -0.5       ], dtype=float32))
    """
    work = np.abs(clip)
    peak, loudest = int(work.argmax()), work.max()
    np.divide(clip, loudest, out=work)
    work *= FULL
    pcm = np.rint(work, out=work).astype(np.int16)
    squares, largest = np.multiply(pcm, pcm, dtype=np.int32), int(np.abs(pcm).argmax())
    close = squares[max(largest - near, 0) : largest + near + 1].sum(dtype=np.int64)
    rest = squares.sum(dtype=np.int64) - close
    step = np.float64(loudest) / FULL
    return Packed(pcm, loudest / np.float32(FULL), peak, np.array([close, rest]) * (step * step))


def looped(clip: Packed, fade: int) -> Packed:
    """Shorten a clip by the fade and blend its end into its beginning, so that it repeats without a seam.

    Args:
        clip: which.
        fade: in samples, less than the clip has.
    """
    period = len(clip.pcm) - fade
    rise, fall = _fades(fade)
    head = np.rint(clip.pcm[:fade] * rise + clip.pcm[period:] * fall).clip(-FULL, FULL).astype(np.int16)
    return clip._replace(pcm=np.concatenate([head, clip.pcm[fade:period]]))


@functools.lru_cache(maxsize=64)
def _fades(fade: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with _disable_current_modes():  # with real numbers also where the batch has none
        rise = (torch.arange(fade) + 0.5) / max(fade, 1)
        return rise.sqrt().numpy(), (1.0 - rise).sqrt().numpy()


class Shelf:
    """Room for clips of known lengths; each is made when it is first wanted, and the room of others costs no memory.

    Nothing is locked: where two threads put the same clip in they write the same, and it counts as there only
    afterwards. So a process may also be copied at any time.

    Args:
        lengths: of the clips.
        make: makes one, always the same.
    """

    _missing: set[int]
    _make: Callable[[int], Packed] | None

    def __init__(self, lengths: NDArray[np.int64], make: Callable[[int], Packed]) -> None:
        """Reserve the room."""
        count, ends = len(lengths), np.cumsum(lengths)
        pcm, scale = np.empty(int(ends[-1]), np.int16), np.zeros(count, np.float32)
        self._hold((pcm, scale, ends - lengths, lengths, np.zeros(count, np.int64), np.zeros((count, 2))))
        self._missing, self._make = set(range(count)), make

    def _hold(self, tables: tuple[NDArray[Any], ...]) -> None:
        self._tables = tables
        self._clips = Clips(*map(torch.from_numpy, tables))
        self._copies: dict[torch.device, Clips] = {}
        self._missing, self._make = set(), None

    @property
    def length(self) -> NDArray[np.int64]:
        """Lengths of the clips."""
        return self._tables[3]

    @property
    def peak(self) -> NDArray[np.int64]:
        """Where the largest sample of each clip is, as far as they are there."""
        return self._tables[4]

    def __getitem__(self, index: int) -> Packed:
        """Return one clip."""
        self.put_in([index])
        pcm, scale, _, _, peak, energy = self._tables
        return Packed(pcm[self._place(index)], scale[index], int(peak[index]), energy[index])

    def __getstate__(self) -> dict[str, Any]:
        """Pickle whole, without the copies on devices."""
        self.put_all_in()
        return {"tables": self._tables}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Hold what was pickled."""
        self._hold(state["tables"])

    def on(self, device: torch.device, clip: Tensor | None = None) -> Clips:
        """Return the clips on a device.

        Args:
            device: where they are wanted.
            clip: which will be used: on a CPU others may be missing still. None for all.
        """
        if self._missing:
            if clip is None or _is_hidden(clip) or device.type != "cpu":
                _put_all_in(self)
            else:
                self.put_in(clip.flatten().tolist())
        if device.type == "cpu":
            return self._clips
        if device not in self._copies:
            self._copies[device] = Clips(*(table.to(device) for table in self._clips))
        return self._copies[device]

    def put_in(self, wanted: Iterable[int]) -> None:
        """Make those of the wanted clips that are missing."""
        make = self._make
        if make is None:
            return
        missing = sorted(self._missing.intersection(wanted))
        pcm, scale, _, _, peak, energy = self._tables
        for index, packed in zip(missing, each(make, missing), strict=True):
            pcm[self._place(index)] = packed.pcm
            scale[index], peak[index], energy[index] = packed[1:]
            self._missing.discard(index)
        if not self._missing:
            self._make = None  # and with it all that it holds

    def put_all_in(self) -> None:
        """Make those that are missing."""
        self.put_in(range(len(self.length)))

    def _place(self, index: int) -> slice:
        start, length = self._tables[2][index], self._tables[3][index]
        return slice(start, start + length)


def _put_all_in(shelf: Shelf) -> bool:
    shelf.put_all_in()
    return True


# What torch.compiler.assume_constant_result does, without importing the compiler, which takes seconds.
_put_all_in._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _is_hidden(clip: Tensor) -> bool:
    """Say whether numbers cannot be read: of a tensor that holds none, or while a graph is made."""
    return type(clip) is not Tensor or torch.compiler.is_compiling()


def each(make: Callable[[T], V], wanted: Sequence[T]) -> Iterator[V]:
    """Yield what is made of each, in order; many are made on all processors.

    Decoding, hashing and resampling let other threads run meanwhile.

    Args:
        make: makes one.
        wanted: of what.

    Example:
        >>> list(each(abs, range(-3, 3)))
        [3, 2, 1, 0, 1, 2]
    """
    if len(wanted) <= _FEW:
        yield from map(make, wanted)
        return
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(make, wanted)
