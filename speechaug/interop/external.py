"""Transforms of other libraries within our policies."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from speechaug.draws import Draws, Values
from speechaug.interop.description import build, describe, is_plain, name_of
from speechaug.rng import Floats, Ints, Rng
from speechaug.transform import Context, Transform

_ONE_AT_A_TIME = threading.RLock()  # the global generators are one for all threads
_MOVING = frozenset(
    {
        *("AdjustDuration", "RepeatPart", "Resample", "Reverse", "Shift", "Speed", "SpeedPerturbation", "SpliceOut"),
        *("TimeInversion", "TimeStretch", "Trim", "Vad"),
    }
)
"""Classes of the three libraries after which moments are elsewhere."""


@dataclass(frozen=True)
class External(Transform):
    """Apply a transform of audiomentations, torch-audiomentations or torchaudio, or any callable like theirs. Slow.

    Runs on the host, one example after the other, without its padding; what is on a GPU is copied there and back. The
    global generators of ``random``, NumPy and torch, which those libraries draw from, are seeded for each example from
    its own stream, and are afterwards as they were: so a result depends on seed, epoch and id, as everything here. Not
    where a library draws elsewhere, as the ray tracing of audiomentations' ``RoomSimulator`` does.

    A transform whose arguments can be told from it (all of audiomentations, nearly all of torch-audiomentations, most
    of torchaudio) is kept as the path of its class and its arguments, so that the policy can be written as YAML, and
    its own ``p`` becomes this one's. Any other object is kept as it is, with its own ``p``.

    Args:
        transform: an object, or the path of its class, such as ``"audiomentations.TanhDistortion"``. Called with
            samples as an array, ``(T,)`` or ``(C, T)``, and the sample rate; a ``torch.nn.Module`` with a tensor
            ``(C, T)``, or ``(1, C, T)`` and the sample rate, where it has an argument for that.
        arguments: of the class, as plain data; with a path only. A class that is nested in another is a dictionary
            of ``transform`` and ``arguments``. A missing ``p`` is 1, a missing ``sample_rate`` that of the batch.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; channels are treated as the other library does.

    Length: kept. What comes out longer is cut at the end, what comes out shorter is followed by zeros. Of classes of
    those libraries that move time (``Shift``, ``TimeStretch``, ``Speed``, ``Trim`` and their like, also within others)
    nobody is told where moments went: ``warp_times`` refuses, a folder job leaves word times out and says so. Use our
    own ``Speed``, ``TimeStretch`` and ``TimeShift`` beside time stamps. All else is taken to leave moments where they
    are. Gradient: none. Silence: as the other library does. An example that came out not finite stays as it was.

    Raises:
        ValueError: if ``transform`` is neither callable nor the path of a class, ``arguments`` are not plain data or
            come with an object; when written, if the arguments of an object cannot be told; in ``warp_times``, if
            time was moved.
        ImportError: at the call, if the class cannot be imported.
        RuntimeError: at the call, if the transform refuses an example.

    Source: the other library.

    Example:
        >>> import audiomentations, torch, speechaug as sa
        >>> louder = sa.External(audiomentations.Gain(min_gain_db=6.0, max_gain_db=6.0, p=0.75))
        >>> louder
        External(audiomentations.Gain(min_gain_db=6.0, max_gain_db=6.0), p=0.75, slow: one example at a time)
        >>> draws = louder.sample(sa.Rng.from_ids(seed=5, epoch=0, ids=["a", "b"]))
        >>> louder(torch.ones(2, 3), torch.tensor([3, 2]), draws, sample_rate=16_000)[0]
        tensor([[1.9953, 1.9953, 1.9953],
                [1.0000, 1.0000, 1.0000]])
    """

    differentiable: ClassVar[bool] = False
    on_host: ClassVar[bool] = True

    transform: Any
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        """Check the configuration, and describe an object."""
        super().__post_init__()
        self._check(self._is_path() or callable(self.transform), "transform", "callable or the path of a class")
        self._check(isinstance(self.arguments, dict) and is_plain(self.arguments), "arguments", "plain data")
        if self._is_path():
            object.__setattr__(self, "arguments", json.loads(json.dumps(self.arguments)))
            self._note({"transform": self.transform, "arguments": self.arguments})
            return
        self._check(not self.arguments, "arguments", "empty beside an object")
        described = describe(self.transform)
        self._note(described)
        if described is not self.transform and is_plain(described):
            object.__setattr__(self, "p", self.p * described["arguments"].pop("p", 1.0))
            object.__setattr__(self, "transform", described["transform"])
            object.__setattr__(self, "arguments", described["arguments"])

    def _note(self, described: Any) -> None:
        """Keep whether time is moved, as the names of the classes tell."""
        object.__setattr__(self, "_moves_time", not _MOVING.isdisjoint(_classes(described)))

    @property
    def moves_time(self) -> bool:
        """Whether moments are known to end up elsewhere: drawn once for all views of an utterance."""
        moves: bool = self._moves_time  # type: ignore[attr-defined]
        return moves

    def _is_path(self) -> bool:
        return isinstance(self.transform, str) and "." in self.transform

    def __hash__(self) -> int:
        """Hash the class, the names of its arguments and the probability; an object by what it is."""
        return hash((self.transform, frozenset(self.arguments), self.p))

    def __repr__(self) -> str:
        """Show what is applied, and that it is slow."""
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        what = f"{self.transform}({shown})" if self._is_path() else f"<{name_of(self.transform)}>"
        return f"External({what}, p={self.p:g}, slow: one example at a time)"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, see :meth:`Transform.to_dict`."""
        self._check(self._is_path(), "transform", "the path of a class with plain arguments, to be written")
        return super().to_dict()

    def draw(self, rng: Rng) -> Values:
        """Draw a seed for each row."""
        return {"key": rng.key()}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, key: Tensor) -> tuple[Tensor, Tensor]:
        """Apply to one row after the other."""
        given = x.detach().float().cpu()
        y = given.clone()
        for row, (length, seed) in enumerate(zip(lengths.tolist(), key.tolist(), strict=True)):
            if length > 0:
                y[row, :, :length] = self._applied(given[row, :, :length], seed, context.sample_rate)
        return y.to(x.device, x.dtype), lengths

    def _warp(self, times_s: Floats, lengths: Ints, draws: Draws, sample_rate: float) -> tuple[Floats, Ints]:
        if self.moves_time and draws.on.any():
            raise ValueError(f"{self!r} does not tell where moments went; Speed, TimeStretch and TimeShift do")
        return super()._warp(times_s, lengths, draws, sample_rate)

    def _applied(self, samples: Tensor, seed: int, sample_rate: int) -> Tensor:
        """Apply to the samples ``(C, T)`` of one row."""
        channels, width = samples.shape
        try:
            with _ONE_AT_A_TIME, _seeded(seed), torch.no_grad():
                out = _call(self._made(sample_rate), samples.clone(), sample_rate)
        except ImportError:
            raise
        except Exception as error:
            shape = f"{channels} channels of {width} samples at {sample_rate} Hz"
            raise RuntimeError(f"{self!r} refused {shape}: {type(error).__name__}: {error}") from error
        out = torch.nn.functional.pad(out[:, :width], (0, max(0, width - out.shape[1])))
        return out if bool(torch.isfinite(out).all()) else samples

    def _made(self, sample_rate: int) -> Any:
        if not self._is_path():
            return self.transform
        return _built(json.dumps({"transform": self.transform, "arguments": self.arguments}), sample_rate)


@functools.lru_cache(maxsize=64)
def _built(description: str, sample_rate: int) -> Any:
    """Make the transform of a description, once in each process."""
    return build(json.loads(description), sample_rate, p=1.0)


def _call(transform: Any, samples: Tensor, sample_rate: int) -> Tensor:
    """Call a transform as its library does: samples ``(C, T)`` in and out."""
    if not isinstance(transform, nn.Module):
        mono = samples.shape[0] == 1
        out = transform(samples[0].numpy() if mono else samples.numpy(), sample_rate)
        return torch.from_numpy(np.array(out, np.float32, ndmin=2))
    if "sample_rate" in inspect.signature(transform.forward).parameters:
        batch = transform(samples[None], sample_rate=sample_rate)
        return torch.as_tensor(getattr(batch, "samples", batch))[0].float()
    out = transform(samples)
    return torch.as_tensor(out[0] if isinstance(out, tuple) else out).reshape(len(samples), -1).float()


@contextmanager
def _seeded(key: int) -> Iterator[None]:
    """Seed the global generators of the host, and leave them as they were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        random.seed(key)
        np.random.seed(key % 2**32)  # noqa: NPY002
        torch.default_generator.manual_seed(key)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def _classes(described: Any) -> Iterator[str]:
    """Yield the names of the classes in a description; of what could not be described, that of the object."""
    if isinstance(described, Mapping) and "transform" in described:
        yield str(described["transform"]).rpartition(".")[2]
        yield from _classes(list(described.get("arguments", {}).values()))
    elif isinstance(described, list):
        for member in described:
            yield from _classes(member)
    elif not is_plain(described):
        yield type(described).__name__


def _shown(value: Any) -> str:
    """Show an argument, a nested transform as a call."""
    if isinstance(value, Mapping) and "transform" in value:
        inside = ", ".join(f"{name}={_shown(inner)}" for name, inner in value.get("arguments", {}).items())
        return f"{value['transform']}({inside})"
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list) else repr(value)
