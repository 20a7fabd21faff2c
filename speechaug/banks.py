"""Banks: noise clips and room responses, decoded once, kept as int16 where the batch is."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug._clips import Clips
from speechaug._contents import AUDIO_SUFFIXES as AUDIO_SUFFIXES
from speechaug._contents import LOOP_FADE_S as LOOP_FADE_S
from speechaug._contents import Contents, near, of_arrays, read_folder, sound_files
from speechaug._recent import recent
from speechaug.audio import pcm_hash
from speechaug.ops.bank_response import bank_response
from speechaug.ops.noise.reference import recorded
from speechaug.rng import Ints, Rng

RATES_KEPT = 8
"""How many rates but its own a bank is kept at, in memory for each: as many as recordings of speech usually have."""


class Bank:
    """Clips to mix in or convolve with: decoded and resampled once, stored as int16, moved to a device once.

    Of a file with several channels the first is used (a mean would comb-filter a room response). A bank is what it
    holds: two banks are equal when names, decoded samples, rate and weights are, wherever the files lie. Nothing is
    read before first use, so a policy can be loaded where the folder is absent.

    Args:
        folder: searched recursively for audio files (WAV, FLAC, OGG, Opus, MP3, AIFF, AU).
        sample_rate: rate to resample to, in Hz; policies refuse a batch of another rate.
        digest: hash the contents must have, written by ``to_dict``; None to accept any.
        weights: relative chance of each first-level subfolder, shared by its clips; equal chance per clip when None.

    Attributes:
        beside: where the file lies that names a relative folder which holds no audio there; for messages.

    Raises:
        ValueError: at first use, if the folder is missing, holds no usable audio or does not match ``digest``.

    Example:
        >>> import numpy as np, speechaug as sa
        >>> bank = sa.Bank.from_arrays([np.sin(np.arange(800) / 5), np.ones(400) / 2], sample_rate=16_000)
        >>> len(bank), bank.names
        (2, ('clip-0', 'clip-1'))
    """

    def __init__(
        self,
        folder: str | Path | None,
        *,
        sample_rate: int,
        digest: str | None = None,
        weights: dict[str, float] | None = None,
    ) -> None:
        """Remember where the clips are; see the class."""
        if sample_rate <= 0:
            raise ValueError(f"Bank: sample_rate must be positive, got {sample_rate!r}")
        self.folder = None if folder is None else str(folder)
        self.sample_rate = sample_rate
        self.weights = None if weights is None else {name: float(weight) for name, weight in weights.items()}
        if not all(0.0 <= weight < math.inf for weight in (self.weights or {}).values()):
            raise ValueError(f"Bank: weights must be finite and not negative, got {weights}")
        self.beside: Path | None = None
        self._expected = digest
        self._contents: Contents | None = None
        self._others: dict[int, Bank] = {}

    @classmethod
    def from_folder(cls, folder: str | Path, *, sample_rate: int, weights: dict[str, float] | None = None) -> Bank:
        """Decode every audio file below ``folder`` now.

        Unreadable, empty and silent files are left out and named in one warning.
        """
        bank = cls(folder, sample_rate=sample_rate, weights=weights)
        bank.load()
        return bank

    @classmethod
    def from_arrays(
        cls,
        clips: Sequence[NDArray[Any]],
        *,
        sample_rate: int,
        names: Sequence[str] | None = None,
        hashes: Sequence[str] | None = None,
    ) -> Bank:
        """Make a bank of arrays ``(T,)`` that already have the given rate.

        Clips that were computed may bring hashes of what they were computed from, so that the last bits, which differ
        between machines, do not matter.
        """
        bank = cls(None, sample_rate=sample_rate)
        named = tuple(names) if names is not None else tuple(f"clip-{index}" for index in range(len(clips)))
        arrays = [np.asarray(clip, np.float32) for clip in clips]
        usable = [clip.ndim == 1 and bool(np.isfinite(clip).all()) and bool(clip.any()) for clip in arrays]
        if not arrays or not all(usable) or len(named) != len(arrays):
            raise ValueError("Bank: clips must be one or more finite, non-silent (T,) arrays, each with a name")
        known = hashes if hashes is not None else [pcm_hash(clip, sample_rate) for clip in arrays]
        if len(known) != len(arrays):
            raise ValueError(f"Bank: hashes must be one for each clip, got {len(known)} for {len(arrays)}")
        bank._contents = of_arrays(arrays, sample_rate, named, tuple(known))
        return bank

    def look(self) -> None:
        """Look whether the folder is there and has audio files; nothing is decoded.

        Raises:
            ValueError: if it has not, or the clips were given as arrays and are not in the file.
        """
        if self._contents is not None:
            return
        if self.folder is None:
            raise ValueError(
                "Bank: its clips were given as arrays and are not in the file; "
                'pass them again: load_policy(path, banks={"AddNoise": bank}) with the member\'s name'
            )
        if any(True for _ in sound_files(self.folder)):
            return
        places = [place for place in (self.beside, Path()) if place is not None]
        tried = dict.fromkeys((place / self.folder).absolute() for place in places)
        is_there = any(place.is_dir() for place in tried)
        must, lacking = ("hold usable audio files", "audio in") if is_there else ("be an existing folder", "folder")
        raise ValueError(
            f"Bank: folder must {must}, got {self.folder!r} (no {lacking} {' or '.join(map(str, tried))}); "
            'to use another, load_policy(path, banks={"AddNoise": "folder/"}) with the member\'s name'
        )

    def load(self) -> None:
        """Decode the files unless that was done; see the class for what is raised."""
        if self._contents is not None:
            return
        self.look()
        assert self.folder is not None
        contents = read_folder(self.folder, self.sample_rate)
        self._check_weights(contents.names)
        self._check_digest(self._digest_of(contents, self.sample_rate))
        self._contents = contents

    def _check_digest(self, digest: str) -> None:
        if self._expected not in (None, digest):
            raise ValueError(
                f"Bank: the clips in {self.folder!r} must have the digest {self._expected}; they are not those the "
                'policy was saved with; to use others on purpose, load_policy(path, banks={"AddNoise": sa.Bank(...)})'
            )

    def _check_weights(self, names: Sequence[str]) -> None:
        if self.weights is None:
            return
        groups = {name.split("/")[0] for name in names}
        unknown = set(self.weights) - groups
        if unknown:
            raise ValueError(f"Bank: weights must name subfolders of {self.folder!r}, got {sorted(unknown)}")
        if not any(self.weights.get(group, 1.0) > 0 for group in groups):
            raise ValueError(f"Bank: weights must leave at least one clip a chance, got {self.weights}")

    def _loaded(self) -> Contents:
        self.load()
        assert self._contents is not None
        return self._contents

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the clips, relative to the folder."""
        return self._loaded().names

    @property
    def hashes(self) -> tuple[str, ...]:
        """Hash of each clip's decoded samples at its own rate; the same for a WAV and its FLAC copy."""
        return self._loaded().hashes

    def labels(self, clip: Ints) -> NDArray[np.str_]:
        """Return the hash of each row's clip."""
        named: NDArray[np.str_] = self._loaded().labels[clip]
        return named

    @property
    def digest(self) -> str:
        """Hash of all that makes the bank what it is."""
        if self._contents is None and self._expected is not None:
            return self._expected
        return self._digest_of(self._loaded(), self.sample_rate)

    def _digest_of(self, contents: Contents, sample_rate: int) -> str:
        """Hash what the bank would be with such contents at a rate."""
        spelled = json.dumps([sample_rate, contents.names, contents.hashes, sorted((self.weights or {}).items())])
        return hashlib.blake2b(spelled.encode(), digest_size=8).hexdigest()

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        """Compare contents."""
        return isinstance(other, Bank) and self.digest == other.digest

    def __hash__(self) -> int:
        """Hash the contents."""
        return hash(self.digest)

    def __repr__(self) -> str:
        """Say where it is from and, when loaded, what it holds."""
        held = f", {len(self._contents.names)} clips" if self._contents is not None else ""
        return f"Bank({self.folder!r}, sample_rate={self.sample_rate}{held})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: where the clips are and the hash of what they hold."""
        arguments: dict[str, Any] = {"folder": self.folder, "sample_rate": self.sample_rate, "digest": self.digest}
        if self.weights is not None:
            arguments["weights"] = dict(self.weights)
        return {"class_path": "speechaug.Bank", "init_args": arguments}

    def at_rate(self, sample_rate: int) -> Bank:
        """Return the bank at another rate: the same clips, each resampled from its source when it is first used.

        Of files that are 16-bit and have the bank's rate, the bank holds the very samples; others are decoded anew.
        What the bank is at the last few rates is kept.

        Args:
            sample_rate: in Hz.

        Raises:
            ValueError: as :meth:`load`; at first use of a clip, if its file has changed.

        Example:
            >>> bank = Bank.from_arrays([np.sin(np.arange(800) / 5)], sample_rate=16_000)
            >>> bank.at_rate(8_000).clip(0).shape, bank.at_rate(8_000).hashes == bank.hashes
            ((400,), True)
        """
        if sample_rate == self.sample_rate:
            return self
        return recent(self._others, sample_rate, lambda: self._other(sample_rate), RATES_KEPT)

    def _other(self, sample_rate: int) -> Bank:
        other = Bank(self.folder, sample_rate=sample_rate, weights=self.weights)
        held = [bank._contents for bank in (self, *self._others.values()) if bank._contents is not None]
        if held:
            other._contents = held[0].at_rate(sample_rate)
        self._check_digest(self._digest_of(other._loaded(), self.sample_rate))
        return other

    def draw(self, rng: Rng) -> Ints:
        """Draw a clip for each row."""
        if self.weights is None:
            return rng.integers(len(self))
        groups = [name.split("/")[0] for name in self.names]
        return rng.choice([self.weights.get(group, 1.0) / groups.count(group) for group in groups])

    def crop(self, clip: Tensor, offset: Tensor, width: int) -> Tensor:
        """Cut a stretch out of each row's clip, starting again with a cross-fade where the clip is too short.

        Args:
            clip: index per row, int64 ``(B,)``.
            offset: where to start, as a fraction of the clip in [0, 1), ``(B,)``.
            width: samples.

        Returns:
            float32 ``(B, width)``.
        """
        return recorded(*self.loops(clip.device, clip), clip, offset, width)

    def clip(self, index: int) -> NDArray[np.float32]:
        """Return one clip as it is stored, at the bank's rate: ``(T,)``."""
        contents = self._loaded()
        return contents.shelf[range(len(contents.names))[index]].samples

    def loops(self, device: torch.device, clip: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the clips on a device, made to start again without a seam.

        Args:
            device: where they are wanted.
            clip: which will be used, int64 of any shape: on a CPU others may hold no sound yet. None for all.

        Returns:
            int16 samples, one clip after the other; where in them each clip starts and after how many it starts again,
            int64 ``(clips,)``; what its samples are multiplied by, float32 ``(clips,)``.
        """
        loops = self._loaded().loops.on(device, clip)
        return loops.pcm, loops.start, loops.length, loops.scale

    def take(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return each row's whole clip, zero-padded to the longest of the bank, and where its largest sample is.

        Args:
            clip: index per row, int64 ``(B,)``.

        Returns:
            float32 ``(B, L)`` and int64 ``(B,)``.
        """
        clips = self._clips(clip)
        inside = torch.arange(self._loaded().longest, device=clip.device)[None] < clips.length[clip][:, None]
        index = (clips.start[clip][:, None] + torch.arange(inside.shape[1], device=clip.device)).where(inside, 0)
        samples = clips.pcm[index] * clips.scale[clip][:, None]
        return samples.where(inside, 0.0), clips.peak[clip]

    @property
    def reach(self) -> tuple[int, int]:
        """How far clips extend before and after their largest sample, at most, in samples."""
        return self._loaded().reach

    def gains(self, clip: Tensor, wet: Tensor | None) -> Tensor:
        """What scales each row's clip, as a response, to unit energy.

        Args:
            clip: index per row, int64 ``(B,)``.
            wet: ``(B,)`` scale of what is not near the peak; None for 1.

        Returns:
            float64 ``(B, 2)``: of what is near the peak and of the rest; ``(B, 1)`` where ``wet`` is None.
        """
        energy = self._clips(clip).energy[clip]
        if wet is None:
            return energy.sum(dim=1, keepdim=True).rsqrt()
        parts = torch.stack([torch.ones_like(wet), wet], dim=1).double()
        return parts * (energy * parts.square()).sum(dim=1, keepdim=True).rsqrt()

    def sign(self, clip: Tensor) -> Tensor:
        """Sign of the largest sample of each row's clip, float64 ``(B,)``."""
        clips = self._clips(clip)
        return clips.pcm[(clips.start + clips.peak)[clip]].sign().double()

    def response(self, clip: Tensor, gains: Tensor, size: int) -> Tensor:
        """Return each row's clip as a transfer function, its largest sample at time 0.

        Args:
            clip: index per row, int64 ``(B,)``.
            gains: as :meth:`gains` returns them.
            size: of the transform, more than the bank's whole reach.

        Returns:
            complex64 ``(B, size // 2 + 1)``.
        """
        clips = self._clips(clip)
        tables = (clips.pcm, clips.scale, clips.start, clips.length, clips.peak)
        spectrum: Tensor = bank_response(clip, gains, *tables, near(self.sample_rate), self._loaded().longest, size)
        return spectrum

    def _clips(self, clip: Tensor) -> Clips:
        """Return the clips where the batch is, with these in place."""
        return self._loaded().shelf.on(clip.device, clip)
