"""Random numbers that depend on what is augmented, never on when, where or beside whom.

One counter-based stream per example, Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), the generator Triton has. The key comes from (seed, epoch, example id), the upper half of the counter from
the place in the policy, the lower half counts the numbers drawn there.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint32]

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

CLEAN = -1
"""The view of an utterance in which nothing happens but what moves time, see :meth:`Rng.from_ids`."""


def philox4x32(counter: Words, key: Words) -> Words:
    """Ten rounds of Philox4x32: the block cipher behind every draw.

    Args:
        counter: 32-bit words, shape ``(..., 4)``.
        key: 32-bit words, shape ``(..., 2)``, broadcast against ``counter``.

    Returns:
        Random 32-bit words, shape ``(..., 4)``.

    Source: Salmon et al. 2011; the Random123 known-answer vectors are in the tests.

    Example:
        >>> words = philox4x32(np.zeros(4, np.uint32), np.zeros(2, np.uint32))
        >>> [f"{int(word):08x}" for word in words]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    counter, _ = np.broadcast_arrays(counter, np.concatenate([key, key], axis=-1))
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key[..., 0].astype(np.uint64), key[..., 1].astype(np.uint64)
    for _ in range(10):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT) ^ c1 ^ k0,
            product1 & _MASK,
            (product0 >> _SHIFT) ^ c3 ^ k1,
            product0 & _MASK,
        )
        k0, k1 = (k0 + np.uint64(_WEYL[0])) & _MASK, (k1 + np.uint64(_WEYL[1])) & _MASK
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def philox_blocks(keys: Words, place: Words, first: int, size: int) -> Words:
    """Return ``size`` blocks from counter ``first`` on, for each key ``(B, 2)``, at a place of two words.

    Example:
        >>> philox_blocks(np.zeros((1, 2), np.uint32), np.zeros(2, np.uint32), 0, 3).shape
        (1, 3, 4)
    """
    counter = np.zeros((len(keys), size, 4), np.uint32)
    counter[..., 0] = np.arange(first, first + size, dtype=np.uint32)
    counter[..., 2:] = place
    return philox4x32(counter, keys[:, None, :])


def philox_units(keys: Words, place: Words, first: int, size: int) -> Floats:
    """Return numbers in [0, 1), of 53 bits each, one from each block of :func:`philox_blocks`: float64 ``(B, size)``.

    Example:
        >>> f"{philox_units(np.zeros((1, 2), np.uint32), np.zeros(2, np.uint32), 0, 1)[0, 0]:.3f}"
        '0.399'
    """
    words = philox_blocks(keys, place, first, size)
    units: Floats = ((words[..., 0] >> 5).astype(np.float64) * 2.0**26 + (words[..., 1] >> 6)) * 2.0**-53
    return units


def philox_key(keys: Words, place: Words, first: int) -> Ints:
    """Return the first 64 bits of a block: int64 ``(B,)``.

    Example:
        >>> f"{philox_key(np.zeros((1, 2), np.uint32), np.zeros(2, np.uint32), 0)[0] & 0xFFFFFFFF:08x}"
        '6627e8d5'
    """
    return np.ascontiguousarray(philox_blocks(keys, place, first, 1)[:, 0, :2]).view(np.int64)[:, 0]


@functools.cache
def _compiled() -> tuple[Callable[[Words, Words, int, int], Floats], Callable[[Words, Words, int], Ints]]:
    """:func:`philox_units` and :func:`philox_key`, compiled where that is possible."""
    from speechaug.ops._op import available

    if not available("cpu"):
        return philox_units, philox_key
    from speechaug._philox import key, units

    return units, key


def _spelled(*parts: str) -> str:
    """Join texts so that no two lists of them read alike."""
    return "".join([f"{len(part)}:{part}" for part in parts])


def _hashed(texts: Iterable[str]) -> Words:
    """Return 64 bits of a hash of each text, ``(B, 2)``."""
    digests = [blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u4").reshape(-1, 2)


@functools.lru_cache(maxsize=1_024)
def _place_words(place: tuple[str, ...]) -> Words:
    """Return the upper half of the counter for a place in a policy."""
    return _hashed([_spelled(*place)])[0] if place else np.zeros(2, np.uint32)


class Rng:
    """A stream of random numbers for each example of a batch.

    Numbers depend on the seed, the epoch, the example's id, the place (see :meth:`fork`) and how many were drawn there
    before: not on the batch, its order, the worker, the rank or the device, and no global generator is read or written.

    Example:
        >>> alone = Rng.from_ids(seed=7, epoch=0, ids=["utt-2"])
        >>> batch = Rng.from_ids(seed=7, epoch=0, ids=["utt-1", "utt-2"])
        >>> bool(alone.uniform()[0] == batch.uniform()[1])
        True
    """

    def __init__(
        self,
        keys: Words,
        place: tuple[str, ...] = (),
        *,
        shared: Words | None = None,
        clean: NDArray[np.bool_] | None = None,
    ) -> None:
        """Start the streams of some 64-bit ``keys`` (shape ``(B, 2)``, 32-bit words) at a place.

        Args:
            keys: of the examples.
            place: in the policy.
            shared: the keys that all views of an example have in common; None for ``keys``.
            clean: which rows are clean views; None for none.
        """
        self._keys = keys
        self._shared = keys if shared is None else shared
        self.clean = np.zeros(len(keys), bool) if clean is None else clean
        self._place = place
        self._place_words = _place_words(place)
        self._drawn = 0

    @classmethod
    def from_ids(
        cls, *, seed: int, epoch: int | Sequence[int], ids: Sequence[str], views: Sequence[int] | None = None
    ) -> Rng:
        """Make the streams of a batch from its examples' ids.

        An id that occurs again in ``ids`` (in the same view and epoch) gets a stream of its own, by its occurrence.

        Several rows can be views of one utterance, for consistency training: each view draws for itself, but what
        moves time (speed, shift, warp) is drawn once for all of them, so that their frames stay aligned. View 0 draws
        what the utterance draws without views. In view ``CLEAN`` only what moves time happens.

        Args:
            seed: of the whole run.
            epoch: counted from 0, one for all or one for each; 0 for everything that must be the same each time, such
                as a noisy test set.
            ids: one text per example.
            views: which view of its utterance each row is, counted from 0, or ``CLEAN``; None for one view of each.

        Raises:
            TypeError: if ``ids`` is one text instead of a list of them.
            ValueError: if there are not as many views or epochs as ids, or a view is below ``CLEAN``.

        Example:
            >>> rng = Rng.from_ids(seed=7, epoch=0, ids=["a", "a"], views=[0, 1])
            >>> drawn, same = rng.fork("Gain").uniform(), rng.fork("Speed").shared().uniform()
            >>> bool(drawn[0] == drawn[1]), bool(same[0] == same[1])
            (False, True)
        """
        if isinstance(ids, str):
            raise TypeError(f"Rng.from_ids: ids must be a list of texts, got the text {ids!r}")
        names = [str(name) for name in ids]
        which = [0] * len(names) if views is None else [int(view) for view in views]
        if len(which) != len(names) or min(which, default=0) < CLEAN:
            raise ValueError(f"Rng.from_ids: views must be {len(names)} numbers, at least {CLEAN}, got {which}")
        epochs = list(epoch) if isinstance(epoch, Sequence) else [epoch] * len(names)
        if len(epochs) != len(names):
            raise ValueError(f"Rng.from_ids: epoch must be one number or {len(names)}, got {len(epochs)}")
        runs = [_spelled(str(seed), str(one)) for one in epochs]
        texts = [f"{run}{len(name)}:{name}1:0" for run, name in zip(runs, names, strict=True)]
        if len(set(names)) < len(names):
            seen = Counter[tuple[str, int, int]]()
            for row, told in enumerate(zip(names, epochs, which, strict=True)):
                texts[row] = runs[row] + _spelled(told[0], str(seen[told]))
                seen[told] += 1
        shared = _hashed(texts)
        if not any(which):
            return cls(shared)
        own = [text + _spelled(f"view-{view}") if view else text for text, view in zip(texts, which, strict=True)]
        return cls(_hashed(own), shared=shared, clean=np.equal(which, CLEAN).reshape(len(which)))

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._keys)

    def fork(self, place: str) -> Rng:
        """Return independent streams of the same examples for another place, such as a member of a policy."""
        return Rng(self._keys, (*self._place, place), shared=self._shared, clean=self.clean)

    def shared(self) -> Rng:
        """Return streams at the same place that draw the same for all views of an utterance."""
        return Rng(self._shared, self._place, shared=self._shared, clean=self.clean)

    def _units(self, size: int | None) -> Floats:
        first, count = self._drawn, 1 if size is None else size
        self._drawn += count
        units = _compiled()[0](self._keys, self._place_words, first, count)
        return units[:, 0] if size is None else units

    def chance(self, p: float) -> NDArray[np.bool_]:
        """Toss a coin that shows true with probability ``p``: bool of shape ``(B,)``."""
        if 0.0 < p < 1.0:
            return self._units(None) < p
        self._drawn += 1  # what is certain counts all the same: the numbers after it stay as they are
        return np.full(len(self), p > 0.0)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: int | None = None) -> Floats:
        """Draw from ``[low, high)``: float64 of shape ``(B,)``, or ``(B, size)``."""
        units = self._units(size)
        return units if (low, high) == (0.0, 1.0) else low + (high - low) * units

    def log_uniform(self, low: float, high: float) -> Floats:
        """Draw from ``[low, high)`` so that equal ratios are equally likely; float64 of shape ``(B,)``."""
        # One by one, by the C library: the last bits of NumPy's own depend on the processor's vector units.
        drawn = np.array([math.exp(value) for value in self.uniform(math.log(low), math.log(high))])
        clipped: Floats = np.clip(drawn, low, high)
        return clipped

    def integers(self, high: int) -> Ints:
        """Draw from ``0 .. high - 1``, each as likely; int64 of shape ``(B,)``."""
        return np.minimum(np.floor(self._units(None) * high), high - 1).astype(np.int64)

    def choice(self, weights: Sequence[float]) -> Ints:
        """Draw an index in proportion to ``weights``; int64 of shape ``(B,)``."""
        edges = np.cumsum(np.asarray(weights, np.float64))
        return np.searchsorted(edges[:-1] / edges[-1], self._units(None), side="right").astype(np.int64)

    def key(self) -> Ints:
        """Draw 64 random bits, the key of a generator that runs on the device; int64 of shape ``(B,)``."""
        bits = _compiled()[1](self._keys, self._place_words, self._drawn)
        self._drawn += 1
        return bits
