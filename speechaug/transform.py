"""The one base class: a transform decides on the host (``draw``) and computes on the device (``apply``)."""

from __future__ import annotations

import dataclasses
import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from speechaug.banks import Bank
from speechaug.draws import Draws, Values, replay_values
from speechaug.rng import Floats, Ints, Rng

Range = tuple[float, float]
Domain = Literal["waveform", "spectrogram"]
Scale = Literal["linear", "log"]
Fusion = Literal["linear", "pointwise", "mask"]
T = TypeVar("T", bound="Transform")

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)
_NO_BOUND: Ints = np.zeros(0, np.int64)

TRANSFORMS: dict[str, type[Transform]] = {}
"""Every transform by name, filled by defining one."""


class Span(NamedTuple):
    """How the strength of a range is measured: from ``neutral`` (no effect) to ``limit`` (the most one would use)."""

    neutral: float
    limit: Range
    scale: Scale = "linear"
    lowest: float = -math.inf
    integer: bool = False

    def move(self, value: float, strength: float) -> float:
        """Return ``value`` moved to ``strength`` times its distance from neutral, at most to the limit."""
        if self.scale == "log":
            moved = self.neutral * (value / self.neutral) ** strength
        else:
            moved = self.neutral + strength * (value - self.neutral)
        ends = (*self.limit, value, self.neutral)
        moved = min(max(moved, min(ends)), max(ends))
        return float(round(moved)) if self.integer else moved


def span(
    default: Range,
    *,
    neutral: float,
    limit: Range,
    scale: Scale = "linear",
    lowest: float = -math.inf,
    integer: bool = False,
) -> Any:
    """Declare a ``(low, high)`` field: its default and how its strength is measured.

    Args:
        default: the range drawn from.
        neutral: the value without effect, or the least audible one where there is none (60 dB SNR).
        limit: the ends at strength 1 of ``Class.at(strength)``; equal ends for a one-sided effect.
        scale: ``"log"`` for frequencies and rates, ``"linear"`` for everything else, dB included.
        lowest: the least value allowed.
        integer: whether scaled values are rounded.
    """
    return dataclasses.field(default=default, metadata={"span": Span(neutral, limit, scale, lowest, integer)})


class Augmented(NamedTuple):
    """What ``policy.run`` returns: the batch, its lengths and by-products such as the SNR achieved, by place."""

    x: Tensor
    lengths: Tensor
    extras: dict[str, Tensor]


@dataclass
class Context:
    """What ``apply`` may know beside its row parameters.

    Attributes:
        sample_rate: of the waveforms, in Hz; 0 for spectrograms.
        width: samples or frames the output must have; more than the input's only where lengths grow.
        extras: by-products recorded so far; None when nobody asked for any.
        rows: where the given rows stand in the batch; None when all of them are given.
        into: the same, where ``x`` is the whole batch all the same, to be written into there; else None. Only for a
            transform that ``writes_rows``.
        on: which rows are on, where all of them are given all the same (fixed shapes); else None.
        batch: number of rows of the whole batch.
        place: the transform's place in the policy.
    """

    sample_rate: int
    width: int
    batch: int = 0
    place: str = ""
    rows: Tensor | None = None
    into: Tensor | None = None
    on: Tensor | None = None
    extras: dict[str, Tensor] | None = None

    def record(self, name: str, values: Tensor) -> None:
        """Keep a by-product, ``values`` of shape ``(B, ...)``; rows that are off hold NaN."""
        if self.extras is None:
            return
        if self.rows is not None:
            whole = values.new_full((self.batch, *values.shape[1:]), math.nan)
            values = whole.index_copy(0, self.rows, values)
        elif self.on is not None:
            values = torch.where(self.on.view(-1, *[1] * (values.ndim - 1)), values, math.nan)
        else:
            values = values.clone()  # it may be the batch itself, which others write into
        self.extras[f"{self.place}.{name}" if self.place else name] = values


@dataclass
class Call:
    """One call of a policy on its way through the members.

    Attributes:
        sample_rate: in Hz.
        extras: by-products.
        bound: how long each row can be by now, at most.
        owned: whether the batch, as it is by now, was made in this call and may be written into.
    """

    sample_rate: int
    extras: dict[str, Tensor] | None
    bound: Ints
    owned: bool = False

    @property
    def in_place(self) -> bool:
        """Whether to write into the batch; not in the execution with fixed shapes, whose operations are pure."""
        return self.owned and self.bound is not _NO_BOUND


@dataclass(frozen=True, kw_only=True)
class Transform(ABC):
    """One augmentation: ``draw`` decides (random, host, tiny), ``apply`` computes (device, pure, batched).

    Subclasses are frozen dataclasses that override the two; everything else is sealed. The effect acts on each
    example with its own probability ``p`` and its own parameters. On a CPU, in float32, an example comes out to the
    last bit as if it were alone, whatever batch it is in.

    Attributes:
        domain: ``"waveform"`` (``(B, T)`` or ``(B, C, T)``) or ``"spectrogram"`` (``(B, F, T)``); time is last.
        differentiable: whether gradients reach the input.
        mixes_rows: whether examples of a batch are mixed with each other.
        on_host: whether the effect is computed on the host, by a codec for instance: what is on a GPU is copied there
            and back, and it can be neither compiled nor part of a CUDA graph.
        writes_rows: whether ``apply`` can write into some rows of a batch, see :class:`Context`; it keeps lengths.
        time_accuracy_ms: how far a moment may land from where ``warp_times`` says, in ms.
        by_products: names of what ``run`` reports beside the output.
        fusion: what it can be run together with: neighbours in a policy of the same kind. ``"pointwise"`` has
            ``stage``, ``"mask"`` has ``stripes``, ``"linear"`` has ``reach`` and ``response``, see
            :mod:`speechaug.fusion`.
    """

    domain: ClassVar[Domain] = "waveform"
    differentiable: ClassVar[bool] = True
    mixes_rows: ClassVar[bool] = False
    on_host: ClassVar[bool] = False
    writes_rows: ClassVar[bool] = False
    time_accuracy_ms: ClassVar[float] = 0.1
    by_products: ClassVar[tuple[str, ...]] = ()
    fusion: ClassVar[Fusion | None] = None

    p: float = 1.0

    def __init_subclass__(cls) -> None:
        """Enter the class into the registry; refuse to extend a finished transform."""
        if any(base.__name__ in TRANSFORMS for base in cls.__mro__[1:]):
            raise TypeError(f"{cls.__name__}: a transform is final, subclass Transform instead")
        if not cls.__name__.startswith("_"):
            known = TRANSFORMS.get(cls.__name__)
            if known is not None and known.__module__ != cls.__module__:
                raise TypeError(f"{cls.__name__}: the name is taken by {known.__module__}.{known.__name__}")
            TRANSFORMS[cls.__name__] = cls
        if "__repr__" not in vars(cls):
            cls.__repr__ = Transform.__repr__  # type: ignore[method-assign]  # else every dataclass gets its own

    def __repr__(self) -> str:
        """Show what differs from the defaults."""
        shown: list[str] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "members":
                shown.insert(0, f"[{self._members_in_words()}]")
            elif value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _members_in_words(self) -> str:
        """Show the members of a policy."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        """Check the configuration before any data is seen."""
        chance: Any = self.p
        self._check(isinstance(chance, Real) and 0.0 <= float(chance) <= 1.0, "p", "a number in [0, 1]")
        object.__setattr__(self, "p", float(chance))
        if hasattr(self, "bank"):
            self._check(isinstance(self.bank, Bank), "bank", "a Bank")
        for name, spread in self._spans().items():
            value = getattr(self, name)
            is_pair = isinstance(value, (tuple, list)) and len(value) == 2
            self._check(is_pair and all(isinstance(v, Real) for v in value), name, "a (low, high) pair")
            object.__setattr__(self, name, (float(value[0]), float(value[1])))
            low, high = getattr(self, name)
            self._check(math.isfinite(low) and math.isfinite(high) and low <= high, name, "finite with low <= high")
            self._check(low >= spread.lowest, name, f"at least {spread.lowest:g}")
            self._check(low > 0 or spread.scale == "linear", name, "positive")

    def _check(self, holds: bool, name: str, constraint: str) -> None:
        if not holds:
            raise ValueError(f"{type(self).__name__}: {name} must be {constraint}, got {getattr(self, name)!r}")

    @classmethod
    def _spans(cls) -> dict[str, Span]:
        return {field.name: field.metadata["span"] for field in dataclasses.fields(cls) if "span" in field.metadata}

    # What an author writes.

    @abstractmethod
    def draw(self, rng: Rng) -> Values:
        """Decide on each row's parameters: numbers ``(B,)`` or ``(B, K)``; fractions where its length matters."""

    @abstractmethod
    def apply(self, x: Tensor, lengths: Tensor, context: Context, *args: Any, **params: Any) -> tuple[Tensor, Tensor]:
        """Compute the effect: pure, batched, never reading a value back to the host.

        Args:
            x: ``(B, C, T)`` waveforms or ``(B, F, T)`` spectrograms, float32 or float64, zero beyond ``lengths``.
            lengths: valid samples or frames, int64 ``(B,)``.
            context: sample rate, output width and a place for by-products.
            params: what :meth:`draw` returned, as tensors on ``x.device``.

        Returns:
            The output, ``context.width`` wide and zero beyond its new lengths, and those lengths.
        """

    def out_lengths(self, lengths: Ints, **params: NDArray[Any]) -> Ints:
        """Say on the host how long rows of ``lengths`` become; the same rule as :meth:`apply`."""
        return lengths

    def warp(self, times_s: Floats, lengths_s: Floats, sample_rate: float, **params: NDArray[Any]) -> Floats:
        """Say on the host where moments ``(B, N)`` go, in seconds; ``lengths_s`` is ``(B, 1)``."""
        return times_s

    @property
    def growth(self) -> float:
        """Return how many times longer a row can become at most, where the transform is on."""
        return 1.0

    # What everybody uses. Sealed.

    @property
    def changes_length(self) -> bool:
        """Whether rows can become longer or shorter."""
        return type(self).out_lengths is not Transform.out_lengths

    @property
    def moves_time(self) -> bool:
        """Whether moments of the input end up elsewhere in the output: drawn once for all views of an utterance."""
        return self.changes_length or type(self).warp is not Transform.warp

    def most(self) -> float:
        """Return how many times longer a row can become at most."""
        return 1.0 if self.p == 0.0 else self.growth

    def sample(self, rng: Rng) -> Draws:
        """Draw the parameters of a batch: one row per stream of ``rng``; the same each time for the same ``rng``.

        Several views of the same examples come from ``Rng.from_ids(..., views=...)``.
        """
        return self._sample(rng.fork(type(self).__name__), np.ones(len(rng), bool))

    def __call__(
        self,
        x: Tensor,
        lengths: Tensor | None,
        draws: Draws | Mapping[str, Any],
        *,
        sample_rate: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Apply what was drawn; inputs are left untouched.

        Args:
            x: waveforms ``(B, T)`` or ``(B, C, T)``, or spectrograms ``(B, F, T)``; floating, zero beyond ``lengths``.
            lengths: valid samples or frames, int64 ``(B,)``; None when all are valid.
            draws: what :meth:`sample` returned. Its plain tree of tensors (:meth:`Draws.tensors`) selects the
                execution with fixed shapes for ``torch.compile`` and CUDA graphs: every row computed and gated,
                output as wide as the configuration can make it.
            sample_rate: in Hz; required for waveforms.

        Returns:
            The batch in the shape and dtype given (its width may change) and its lengths.

        Raises:
            ValueError: if shapes, row counts or rates do not fit.
            TypeError: if ``x`` is not floating.
        """
        out = self._run(x, lengths, draws, sample_rate, None)
        return out.x, out.lengths

    def run(
        self,
        x: Tensor,
        lengths: Tensor | None,
        draws: Draws | Mapping[str, Any],
        *,
        sample_rate: int | None = None,
    ) -> Augmented:
        """Do the same as a call and return by-products too: ``extras["AddNoise.snr_db"]``, NaN where a row was off."""
        return self._run(x, lengths, draws, sample_rate, {})

    def warp_times(
        self, times: ArrayLike | Tensor, lengths: ArrayLike | Tensor, draws: Draws, *, sample_rate: float
    ) -> Tensor:
        """Say where moments of the input are in the output.

        Args:
            times: moments in seconds, ``(B, N)``.
            lengths: valid samples (frames) of the input, ``(B,)``.
            draws: what the batch was augmented with.
            sample_rate: samples (frames, for a spectrogram policy) per second.

        Returns:
            The moments in the output in seconds, float64 ``(B, N)``; what was cut off lies at the nearest end.
        """
        moments = torch.as_tensor(times).cpu().double().numpy()
        frames = torch.as_tensor(lengths).cpu().long().numpy()
        if moments.ndim != 2 or len(moments) != len(draws) or frames.shape != (len(draws),):
            raise ValueError(
                f"{type(self).__name__}: times must be ({len(draws)}, N) and lengths ({len(draws)},), "
                f"got {moments.shape} and {frames.shape}"
            )
        return torch.from_numpy(self._warp(moments, frames, draws, float(sample_rate))[0])

    def replay(self, data: Mapping[str, Any]) -> Draws:
        """Rebuild draws from their plain data (:meth:`Draws.to_dict`), to do the same again."""
        bank = getattr(self, "bank", None)
        clips = None if bank is None else {name: index for index, name in enumerate(bank.hashes)}
        values, labels = replay_values({name: value for name, value in data.items() if name != "on"}, clips)
        return Draws(np.asarray(data["on"], bool), values, labels)

    def scaled(self: T, strength: float) -> T:
        """Return the policy at another strength: 0 is the identity, 1 itself, beyond 1 it moves toward the limits.

        Ranges move along their scale; a transform without one changes its probability.

        Raises:
            ValueError: if ``strength`` is negative.
        """
        if not 0.0 <= strength < math.inf:
            raise ValueError(f"{type(self).__name__}: strength must be at least 0 and finite, got {strength!r}")
        if strength == 0.0:
            return dataclasses.replace(self, p=0.0)
        moved: dict[str, Any] = {}
        for name, spread in self._spans().items():
            ends = [spread.move(end, strength) for end in getattr(self, name)]
            moved[name] = (min(ends), max(ends))
        return dataclasses.replace(self, **(moved or {"p": min(1.0, self.p * strength)}))

    @classmethod
    def at(cls: type[T], strength: float, **fixed: Any) -> T:
        """Return the transform at a point between neutral (0) and its limits (1): RandAugment's one axis.

        Args:
            strength: in [0, 1].
            fixed: fields to set, such as ``bank``.
        """
        if not 0.0 <= strength <= 1.0:
            raise ValueError(f"{cls.__name__}: strength must be in [0, 1], got {strength!r}")
        points: dict[str, Any] = {"p": float(strength > 0.0) if cls._spans() else strength}
        for name, spread in cls._spans().items():
            ends = [spread.move(end, strength) for end in spread.limit]
            points[name] = (min(ends), max(ends))
        return cls(**{**points, **fixed})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: ``class_path`` and ``init_args``, the dialect of jsonargparse and LightningCLI."""
        fields = {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {"class_path": class_path(type(self)), "init_args": fields}

    # The machinery behind.

    def _sample(self, rng: Rng, gate: NDArray[np.bool_]) -> Draws:
        if self.moves_time:
            rng = rng.shared()
        else:
            gate = gate & ~rng.clean
        on = rng.chance(self.p) & gate
        values = self.draw(rng)
        bank = getattr(self, "bank", None)
        labels = {"clip": bank.labels(values["clip"])} if bank is not None else {}
        return Draws(on, values, labels)

    def _run(
        self,
        x: Tensor,
        lengths: Tensor | None,
        draws: Draws | Mapping[str, Any],
        sample_rate: int | None,
        extras: dict[str, Tensor] | None,
    ) -> Augmented:
        rate = self._check_call(x, lengths, draws, sample_rate)
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[-1], dtype=torch.int64, device=x.device)
        work = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mono = self.domain == "waveform" and x.ndim == 2
        work = work.unsqueeze(1) if mono else work
        bound = np.full(len(draws), x.shape[-1], np.int64) if isinstance(draws, Draws) else _NO_BOUND
        frames = lengths.to(torch.int64)
        call = Call(rate, extras, bound, owned=work.dtype != x.dtype)
        with _in_full_precision(x.device.type):
            y, y_lengths = self._step(work, frames, draws, call, "")
        y = y if call.owned else y.clone()  # the caller may write into the result
        y_lengths = y_lengths.clone() if y_lengths is lengths else y_lengths
        return Augmented((y.squeeze(1) if mono else y).to(x.dtype), y_lengths, {} if extras is None else extras)

    def _check_call(
        self, x: Tensor, lengths: Tensor | None, draws: Draws | Mapping[str, Any], sample_rate: int | None
    ) -> int:
        owner, shape = type(self).__name__, tuple(x.shape)
        ranks = (2, 3) if self.domain == "waveform" else (3,)
        wanted = "(B, T) or (B, C, T)" if self.domain == "waveform" else "(B, F, T)"
        if x.ndim not in ranks:
            raise ValueError(f"{owner}: x must be {wanted}, got shape {shape}")
        if not x.is_floating_point():
            raise TypeError(f"{owner}: x must be floating, got {x.dtype}")
        if lengths is not None and (not isinstance(lengths, Tensor) or lengths.dtype not in _INTEGERS):
            raise TypeError(f"{owner}: lengths must be integers in a tensor, got {getattr(lengths, 'dtype', lengths)}")
        if lengths is not None and lengths.shape != x.shape[:1]:
            raise ValueError(f"{owner}: lengths must be of shape ({shape[0]},), got {tuple(lengths.shape)}")
        drawn = len(draws) if isinstance(draws, Draws) else draws["on"].shape[0]
        if drawn != shape[0]:
            raise ValueError(f"{owner}: draws must hold {shape[0]} rows, got {drawn}")
        if self.domain == "waveform" and not (sample_rate and sample_rate > 0 and int(sample_rate) == sample_rate):
            raise ValueError(f"{owner}: sample_rate must be given in whole Hz for waveforms, got {sample_rate!r}")
        self._check_rate(int(sample_rate or 0))
        return int(sample_rate or 0)

    def _check_rate(self, sample_rate: int) -> None:
        bank = getattr(self, "bank", None)
        if bank is not None and bank.sample_rate != sample_rate:
            raise ValueError(
                f"{type(self).__name__}: bank must have the batch's rate of {sample_rate} Hz, got {bank.sample_rate} Hz"
            )

    def _step(
        self, x: Tensor, lengths: Tensor, draws: Draws | Mapping[str, Any], call: Call, place: str
    ) -> tuple[Tensor, Tensor]:
        if isinstance(draws, Draws):
            return self._eager(x, lengths, draws, call, place)
        width, on = math.ceil(x.shape[-1] * self.most()), draws["on"]
        context = Context(call.sample_rate, width, x.shape[0], place, on=on, extras=call.extras)
        params = {name: value for name, value in draws.items() if name != "on"}
        y, y_lengths = self.apply(x, lengths, context, **params)
        call.owned = True
        return torch.where(on.view(-1, 1, 1), y, fit(x, width)), torch.where(on, y_lengths, lengths)

    def _eager(self, x: Tensor, lengths: Tensor, draws: Draws, call: Call, place: str) -> tuple[Tensor, Tensor]:
        """Compute the rows that are on and leave the others as they are."""
        context = Context(call.sample_rate, x.shape[-1], len(draws), place, extras=call.extras)
        if draws.count == 0:
            for name in self.by_products:
                context.record(name, torch.full((len(draws),), math.nan, dtype=torch.float64, device=x.device))
            return x, lengths
        mirror, on = draws.mirror(x.device), draws.order[: draws.count]
        if self.changes_length:
            host = {name: value[on] for name, value in draws.values.items()}
            call.bound = call.bound.copy()
            call.bound[on] = self.out_lengths(call.bound[on], **host)
        context.width, widest = int(call.bound[on].max()), int(call.bound.max())
        everywhere = draws.count == len(draws)
        in_place = self.writes_rows and x.device.type == "cpu" and x.is_contiguous() and not x.requires_grad
        if everywhere and not (in_place and call.owned):
            y, y_lengths = self.apply(x, lengths, context, **{name: mirror[name] for name in draws.values})
            made_here = call.owned or y.untyped_storage() is not x.untyped_storage()
            call.owned = made_here and 0 not in y.stride()  # what was expanded cannot be written into
            return y, y_lengths
        rows = context.rows = draws.gate(x.device)[1][: draws.count]
        params = {name: mirror[name].index_select(0, rows) for name in draws.values}
        if in_place:
            whole, call.owned, context.into = x if call.owned else x.clone(), True, rows
            return self.apply(whole, lengths.index_select(0, rows), context, **params)[0], lengths
        y, y_lengths = self.apply(x.index_select(0, rows), lengths.index_select(0, rows), context, **params)
        wide = fit(x, widest)
        joined = put_back(wide, rows, fit(y, widest), call.owned or wide is not x)
        call.owned = True
        return joined, lengths.index_copy(0, rows, y_lengths)

    def _warp(self, times_s: Floats, lengths: Ints, draws: Draws, sample_rate: float) -> tuple[Floats, Ints]:
        moved = self.warp(times_s, lengths[:, None] / sample_rate, sample_rate, **draws.values)
        longer = self.out_lengths(lengths, **draws.values)
        moved = np.clip(moved, 0.0, longer[:, None] / sample_rate)
        return np.where(draws.on[:, None], moved, times_s), np.where(draws.on, longer, lengths)


def _in_full_precision(device: str) -> AbstractContextManager[object]:
    """Switch autocast off, where it is on."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def put_back(x: Tensor, rows: Tensor, y: Tensor, owned: bool) -> Tensor:
    """Return ``x`` with its ``rows`` replaced by ``y``; written into ``x`` itself where that is ``owned``."""
    return x.index_copy_(0, rows, y) if owned and not x.requires_grad else x.index_copy(0, rows, y)


def fit(x: Tensor, width: int) -> Tensor:
    """Return ``x`` cut or zero-padded at the end of its time axis."""
    extra = width - x.shape[-1]
    if extra > 0:  # one pass; pad makes two
        return torch.cat([x, x.new_zeros(*x.shape[:-1], extra)], dim=-1)
    return x if extra == 0 else torch.nn.functional.pad(x, (0, extra))


def class_path(cls: type) -> str:
    """Return where a class is imported from; ours are all named ``speechaug.<Name>``."""
    return (
        f"speechaug.{cls.__name__}"
        if cls.__module__.startswith("speechaug.")
        else f"{cls.__module__}.{cls.__qualname__}"
    )


def plain(value: Any) -> Any:
    """Return ``value`` as plain data: tuples as lists, transforms and banks as dictionaries."""
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value.to_dict() if hasattr(value, "to_dict") else value


def from_dict(data: Mapping[str, Any]) -> Any:
    """Rebuild what ``to_dict`` returned.

    Raises:
        ValueError: if the class is unknown or is neither a transform nor a bank.
    """
    if set(data) - {"class_path", "init_args"} or "class_path" not in data:
        raise ValueError(f"from_dict: data must hold class_path and init_args, got the keys {sorted(data)}")
    module, _, name = str(data["class_path"]).rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"from_dict: class_path must name a class, got {data['class_path']!r} ({error})") from error
    if not (isinstance(cls, type) and hasattr(cls, "to_dict")):
        raise ValueError(f"from_dict: class_path must name a transform or a bank, got {data['class_path']!r}")
    arguments = {name: _revive(value) for name, value in dict(data.get("init_args") or {}).items()}
    return cls(**arguments)


def _revive(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_revive(item) for item in value)
    return from_dict(value) if isinstance(value, Mapping) and "class_path" in value else value


def places(members: Sequence[Transform]) -> Iterator[tuple[str, Transform]]:
    """Yield each member with its place: the class name, with its ordinal from the second of a class on."""
    seen: dict[str, int] = {}
    for member in members:
        name = type(member).__name__
        ordinal = seen[name] = seen.get(name, -1) + 1
        yield (name if ordinal == 0 else f"{name}.{ordinal}"), member
