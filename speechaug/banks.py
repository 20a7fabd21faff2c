"""Banks: noise clips and room responses, decoded once, kept as int16 where the batch is."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug._recent import recent
from speechaug.functional.room import DIRECT_S
from speechaug.ops.bank_response import bank_response
from speechaug.ops.noise.reference import recorded
from speechaug.rng import Ints, Rng

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"})
RATES_KEPT = 8
"""How many rates but its own a bank is kept at, in memory for each: as many as recordings of speech usually have."""

LOOP_FADE_S = 0.010
"""Length of the cross-fade where a clip shorter than the speech starts again."""


class Clips(NamedTuple):
    """The decoded clips of a bank, one after the other, with their tables (all tensors on one device)."""

    pcm: Tensor
    scale: Tensor
    start: Tensor
    length: Tensor
    peak: Tensor
    energy: Tensor  # float64 (clips, 2): near the peak, where a response's direct path is, and of the rest


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
        beside: where the file lies that names a relative folder which is not there; for messages.

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
        self._names: tuple[str, ...] = ()
        self._hashes: tuple[str, ...] = ()
        self._labels: NDArray[np.str_] = np.zeros(0, np.str_)
        self._longest = 0
        self._reach = (0, 0)
        self._clips: Clips | None = None
        self._loops: dict[torch.device, Clips] = {}
        self._raw: dict[torch.device, Clips] = {}
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
        from speechaug.audio import pcm_hash

        bank = cls(None, sample_rate=sample_rate)
        named = tuple(names) if names is not None else tuple(f"clip-{index}" for index in range(len(clips)))
        arrays = [np.asarray(clip, np.float32) for clip in clips]
        usable = [clip.ndim == 1 and bool(np.isfinite(clip).all()) and bool(clip.any()) for clip in arrays]
        if not arrays or not all(usable) or len(named) != len(arrays):
            raise ValueError("Bank: clips must be one or more finite, non-silent (T,) arrays, each with a name")
        known = hashes if hashes is not None else [pcm_hash(clip, sample_rate) for clip in arrays]
        if len(known) != len(arrays):
            raise ValueError(f"Bank: hashes must be one for each clip, got {len(known)} for {len(arrays)}")
        bank._fill(named, tuple(known), arrays)
        return bank

    def load(self) -> None:
        """Decode the files unless that was done; see the class for what is raised."""
        if self._clips is not None:
            return
        if self.folder is None:
            raise ValueError(
                "Bank: its clips were given as arrays and are not in the file; "
                'pass them again: load_policy(path, banks={"AddNoise": bank}) with the member\'s name'
            )
        if not Path(self.folder).is_dir():
            places = [place for place in (self.beside, Path()) if place is not None]
            tried = " or ".join(str((place / self.folder).absolute()) for place in places)
            raise ValueError(
                f"Bank: folder must be an existing folder, got {self.folder!r} (no folder {tried}); "
                'to use another, load_policy(path, banks={"AddNoise": "folder/"}) with the member\'s name'
            )
        names, hashes, clips, bad = _decode(Path(self.folder), self.sample_rate)
        if bad:
            listed = "; ".join(bad[:10]) + (f"; and {len(bad) - 10} more" if len(bad) > 10 else "")
            warnings.warn(f"Bank: {len(bad)} files of {self.folder} were left out: {listed}", stacklevel=3)
        if not clips:
            raise ValueError(f"Bank: folder must hold usable audio files, got {self.folder!r}")
        self._check_weights(names)
        self._fill(tuple(names), tuple(hashes), clips)
        try:
            self._check_digest(self._digest_at(self.sample_rate))
        except ValueError:
            self._clips = None
            raise

    def _check_digest(self, digest: str) -> None:
        if self._expected not in (None, digest):
            raise ValueError(
                f"Bank: the clips in {self.folder!r} must have the digest {self._expected}; they are not those the "
                'policy was saved with; to use others on purpose, load_policy(path, banks={"AddNoise": sa.Bank(...)})'
            )

    def _fill(self, names: tuple[str, ...], hashes: tuple[str, ...], clips: list[NDArray[np.float32]]) -> None:
        scales = np.array([np.abs(clip).max() for clip in clips], np.float32)
        lengths = np.array([len(clip) for clip in clips], np.int64)
        pcm = np.concatenate(
            [np.rint(clip / s * 32767.0).astype(np.int16) for clip, s in zip(clips, scales, strict=True)]
        )
        self._clips = Clips(
            torch.from_numpy(pcm),
            torch.from_numpy(scales / np.float32(32767.0)),
            torch.from_numpy(np.cumsum(lengths) - lengths),
            torch.from_numpy(lengths),
            torch.from_numpy(np.array([np.abs(clip).argmax() for clip in clips], np.int64)),
            torch.from_numpy(_energies(pcm, scales, lengths, int(DIRECT_S * self.sample_rate))),
        )
        self._reach = max(int(np.abs(clip).argmax()) for clip in clips), max(_after(clip) for clip in clips)
        self._names, self._hashes, self._longest = names, hashes, int(lengths.max())
        self._labels = np.asarray(hashes)

    def _check_weights(self, names: Sequence[str]) -> None:
        if self.weights is None:
            return
        groups = {name.split("/")[0] for name in names}
        unknown = set(self.weights) - groups
        if unknown:
            raise ValueError(f"Bank: weights must name subfolders of {self.folder!r}, got {sorted(unknown)}")
        if not any(self.weights.get(group, 1.0) > 0 for group in groups):
            raise ValueError(f"Bank: weights must leave at least one clip a chance, got {self.weights}")

    def _loaded(self) -> Clips:
        self.load()
        assert self._clips is not None
        return self._clips

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the clips, relative to the folder."""
        self.load()
        return self._names

    @property
    def hashes(self) -> tuple[str, ...]:
        """Hash of each clip's decoded samples at its own rate; the same for a WAV and its FLAC copy."""
        self.load()
        return self._hashes

    def labels(self, clip: Ints) -> NDArray[np.str_]:
        """Return the hash of each row's clip."""
        self.load()
        named: NDArray[np.str_] = self._labels[clip]
        return named

    @property
    def digest(self) -> str:
        """Hash of all that makes the bank what it is."""
        if self._clips is None and self._expected is not None:
            return self._expected
        return self._digest_at(self.sample_rate)

    def _digest_at(self, sample_rate: int) -> str:
        """Hash what the bank would be at a rate."""
        spelled = json.dumps([sample_rate, self.names, self.hashes, sorted((self.weights or {}).items())])
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

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the copies on devices."""
        return {**self.__dict__, "_loops": {}, "_raw": {}}

    def __repr__(self) -> str:
        """Say where it is from and, when loaded, what it holds."""
        held = f", {len(self._names)} clips" if self._clips is not None else ""
        return f"Bank({self.folder!r}, sample_rate={self.sample_rate}{held})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: where the clips are and the hash of what they hold."""
        arguments: dict[str, Any] = {"folder": self.folder, "sample_rate": self.sample_rate, "digest": self.digest}
        if self.weights is not None:
            arguments["weights"] = dict(self.weights)
        return {"class_path": "speechaug.Bank", "init_args": arguments}

    def at_rate(self, sample_rate: int) -> Bank:
        """Return the bank at another rate: the same clips, decoded anew where they came from files.

        What it is at the last few rates is kept.

        Args:
            sample_rate: in Hz.

        Raises:
            ValueError: as :meth:`load`.

        Example:
            >>> bank = Bank.from_arrays([np.sin(np.arange(800) / 5)], sample_rate=16_000)
            >>> bank.at_rate(8_000).clip(0).shape, bank.at_rate(8_000).hashes == bank.hashes
            ((400,), True)
        """
        if sample_rate == self.sample_rate:
            return self
        make = self._from_files if self.folder else self._resampled
        return recent(self._others, sample_rate, lambda: make(sample_rate), RATES_KEPT)

    def _from_files(self, sample_rate: int) -> Bank:
        other = Bank(self.folder, sample_rate=sample_rate, weights=self.weights)
        other.load()
        self._check_digest(other._digest_at(self.sample_rate))
        return other

    def _resampled(self, sample_rate: int) -> Bank:
        from speechaug.audio import resample

        clips = [resample(self.clip(index)[None], self.sample_rate, sample_rate)[0] for index in range(len(self))]
        other = Bank.from_arrays(clips, sample_rate=sample_rate, names=self.names, hashes=self.hashes)
        other.weights = self.weights
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
        return recorded(*self.loops(clip.device), clip, offset, width)

    def clip(self, index: int) -> NDArray[np.float32]:
        """Return one clip as it is stored, at the bank's rate: ``(T,)``."""
        clips = self._loaded()
        first, count = int(clips.start[index]), int(clips.length[index])
        samples: NDArray[np.float32] = (clips.pcm[first : first + count] * clips.scale[index]).numpy()
        return samples

    def loops(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the clips on a device, made to start again without a seam.

        Returns:
            int16 samples, one clip after the other; where in them each clip starts and after how many it starts again,
            int64 ``(clips,)``; what its samples are multiplied by, float32 ``(clips,)``.
        """
        loops = self._on(self._loops, device, _looped)
        return loops.pcm, loops.start, loops.length, loops.scale

    def take(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return each row's whole clip, zero-padded to the longest of the bank, and where its largest sample is.

        Args:
            clip: index per row, int64 ``(B,)``.

        Returns:
            float32 ``(B, L)`` and int64 ``(B,)``.
        """
        clips = self._on(self._raw, clip.device, lambda raw, _: raw)
        inside = torch.arange(self._longest, device=clip.device)[None] < clips.length[clip][:, None]
        index = (clips.start[clip][:, None] + torch.arange(inside.shape[1], device=clip.device)).where(inside, 0)
        samples = clips.pcm[index] * clips.scale[clip][:, None]
        return samples.where(inside, 0.0), clips.peak[clip]

    @property
    def reach(self) -> tuple[int, int]:
        """How far clips extend before and after their largest sample, at most, in samples."""
        self.load()
        return self._reach

    def gains(self, clip: Tensor, wet: Tensor | None) -> Tensor:
        """What scales each row's clip, as a response, to unit energy.

        Args:
            clip: index per row, int64 ``(B,)``.
            wet: ``(B,)`` scale of what is not near the peak; None for 1.

        Returns:
            float64 ``(B, 2)``: of what is near the peak and of the rest; ``(B, 1)`` where ``wet`` is None.
        """
        energy = self._on(self._raw, clip.device, lambda raw, _: raw).energy[clip]
        if wet is None:
            return energy.sum(dim=1, keepdim=True).rsqrt()
        parts = torch.stack([torch.ones_like(wet), wet], dim=1).double()
        return parts * (energy * parts.square()).sum(dim=1, keepdim=True).rsqrt()

    def sign(self, clip: Tensor) -> Tensor:
        """Sign of the largest sample of each row's clip, float64 ``(B,)``."""
        clips = self._on(self._raw, clip.device, lambda raw, _: raw)
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
        clips = self._on(self._raw, clip.device, lambda raw, _: raw)
        tables = (clips.pcm, clips.scale, clips.start, clips.length, clips.peak)
        spectrum: Tensor = bank_response(clip, gains, *tables, int(DIRECT_S * self.sample_rate), self._longest, size)
        return spectrum

    def _on(self, cache: dict[torch.device, Clips], device: torch.device, make: Any) -> Clips:
        if device not in cache:
            cache[device] = Clips(*(table.to(device) for table in make(self._loaded(), self.sample_rate)))
        return cache[device]


def _energies(
    pcm: NDArray[np.int16], scales: NDArray[np.float32], lengths: NDArray[np.int64], near: int
) -> NDArray[np.float64]:
    """Energy of each clip as it is stored, near its largest sample and of the rest: ``(clips, 2)``."""
    energies = np.zeros((len(lengths), 2))
    for row, clip in enumerate(np.split(pcm, np.cumsum(lengths)[:-1])):
        squares, peak = clip.astype(np.float64) ** 2, int(np.abs(clip).argmax())
        energies[row, 0] = squares[max(peak - near, 0) : peak + near + 1].sum()
        energies[row, 1] = squares.sum() - energies[row, 0]
    stored: NDArray[np.float64] = energies * (scales[:, None].astype(np.float64) / 32767.0) ** 2
    return stored


def _after(clip: NDArray[np.float32]) -> int:
    return len(clip) - 1 - int(np.abs(clip).argmax())


def _decode(folder: Path, sample_rate: int) -> tuple[list[str], list[str], list[NDArray[np.float32]], list[str]]:
    from speechaug import audio

    names, hashes, clips, bad = [], [], [], []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES):
        name = path.relative_to(folder).as_posix()
        try:
            samples, rate = audio.read(path)
        except (ValueError, OSError) as error:
            bad.append(f"{name} ({error})")
            continue
        clip = audio.resample(samples[:1], rate, sample_rate)[0]
        if not clip.any():
            bad.append(f"{name} (silent)")
            continue
        names.append(name)
        hashes.append(audio.pcm_hash(samples, rate))
        clips.append(clip)
    return names, hashes, clips, bad


def _looped(clips: Clips, sample_rate: int) -> Clips:
    """Shorten each clip by the fade and blend its end into its beginning, so that it repeats without a seam."""
    parts = []
    for start, length in zip(clips.start.tolist(), clips.length.tolist(), strict=True):
        clip = clips.pcm[start : start + length].float()
        fade = min(int(LOOP_FADE_S * sample_rate), length // 2)
        period = length - fade
        rise = (torch.arange(fade) + 0.5) / max(fade, 1)
        head = clip[:fade] * rise.sqrt() + clip[period:] * (1.0 - rise).sqrt()
        parts.append(torch.cat([head.round().clamp(-32767, 32767), clip[fade:period]]).to(torch.int16))
    length = torch.tensor([len(part) for part in parts])
    return clips._replace(pcm=torch.cat(parts), start=torch.cumsum(length, 0) - length, length=length)
