"""Policies: transforms in sequence, one of several, some of several."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from speechaug import functional as F
from speechaug import fusion
from speechaug.draws import Draws, Values
from speechaug.functional.pointwise import Stages
from speechaug.ops.pointwise.reference import Stage
from speechaug.rng import Floats, Ints, Rng
from speechaug.transform import Call, Context, Transform, fit, places

RangePolicy = Literal["none", "rescale", "clip"]
S = TypeVar("S", bound="_Sequence")


@dataclass(frozen=True)
class _Sequence(Transform):
    """What every policy shares; they differ only in how the members' gates are drawn."""

    members: Sequence[Transform] = ()  # kept as a tuple

    p: float = dataclasses.field(default=1.0, kw_only=True)
    range_policy: RangePolicy = dataclasses.field(default="none", kw_only=True)
    max_growth: float = dataclasses.field(default=2.0, kw_only=True)
    fuse: bool = dataclasses.field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        super().__post_init__()
        owner = type(self).__name__
        if not self.members or not all(isinstance(member, Transform) for member in self.members):
            raise ValueError(f"{owner}: members must be one or more transforms, got {self.members!r}")
        domains = {member.domain for member in self.members}
        if len(domains) > 1:
            raise ValueError(f"{owner}: members must share one domain, got {sorted(domains)}")
        self._check(self.range_policy in ("none", "rescale", "clip"), "range_policy", "none, rescale or clip")
        if any(isinstance(member, _Sequence) and member.range_policy != "none" for member in self.members):
            raise ValueError(f"{owner}: range_policy must be set once, on the outermost policy")
        if self.range_policy != "none" and self.domain != "waveform":
            raise ValueError(f"{owner}: range_policy must be none for spectrograms, got {self.range_policy!r}")
        if self.growth > self.max_growth:
            named = ", ".join(f"{type(m).__name__} {m.most():.3g}x" for m in self.members if m.most() > 1.0)
            raise ValueError(
                f"{owner}: members must together lengthen a row at most max_growth={self.max_growth:g} times, "
                f"got {self.growth:.3g} ({named})"
            )

    @property
    def domain(self) -> Literal["waveform", "spectrogram"]:  # type: ignore[override]
        return self.members[0].domain

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        return all(member.differentiable for member in self.members)

    @property
    def mixes_rows(self) -> bool:  # type: ignore[override]
        return any(member.mixes_rows for member in self.members)

    @property
    def on_host(self) -> bool:  # type: ignore[override]
        return any(member.on_host for member in self.members)

    @property
    def time_accuracy_ms(self) -> float:  # type: ignore[override]
        return sum(member.time_accuracy_ms for member in self.members)

    @property
    def growth(self) -> float:
        return math.prod([member.most() for member in self.members])

    @property
    def changes_length(self) -> bool:
        return any(member.changes_length for member in self.members)

    @property
    def moves_time(self) -> bool:
        return any(member.moves_time for member in self.members)

    def _members_in_words(self) -> str:
        grouped = fusion.groups(self.members, fusion.KINDS if self.fuse else ())
        return ", ".join(" + ".join(repr(member) for _, member in group) for group in grouped)

    @abstractmethod
    def gates(self, rng: Rng) -> NDArray[np.bool_]:
        """Decide which members act on which rows: bool ``(len(members), B)``."""

    def draw(self, rng: Rng) -> Values:
        return {}

    def apply(self, x: Tensor, lengths: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("a policy's members are applied one by one")

    def scaled(self: S, strength: float) -> S:
        members = tuple(member.scaled(strength) for member in self.members)
        loose = dataclasses.replace(self, members=members, max_growth=math.inf)
        return dataclasses.replace(loose, max_growth=max(self.max_growth, loose.growth))

    @classmethod
    def at(cls: type[S], strength: float, **fixed: Any) -> S:
        raise TypeError(f"{cls.__name__}: at() is for single transforms; scale a policy with scaled()")

    def replay(self, data: Mapping[str, Any]) -> Draws:
        self._check_places(data)
        members = {place: member.replay(data[place]) for place, member in places(self.members)}
        return Draws(np.asarray(data["on"], bool), {}, members=members)

    def _sample(self, rng: Rng, gate: NDArray[np.bool_]) -> Draws:
        choosing = rng.shared() if self.moves_time else rng
        gates = self.gates(choosing) & gate & choosing.chance(self.p)
        named = list(places(self.members))
        members = {place: member._sample(rng.fork(place), gates[i]) for i, (place, member) in enumerate(named)}
        on = np.any([draws.on for draws in members.values()], axis=0)
        return Draws(on, {}, members=members)

    def _check_rate(self, sample_rate: int) -> None:
        for member in self.members:
            member._check_rate(sample_rate)

    def _check_places(self, found: Iterable[str]) -> None:
        expected = [place for place, _ in places(self.members)]
        if set(found) - {"on"} != set(expected):
            owner, got = type(self).__name__, sorted(set(found) - {"on"})
            raise ValueError(f"{owner}: draws must be of this policy, for {expected}, got {got}")

    def _step(
        self, x: Tensor, lengths: Tensor, draws: Draws | Mapping[str, Any], call: Call, place: str
    ) -> tuple[Tensor, Tensor]:
        children = draws.members if isinstance(draws, Draws) else draws
        self._check_places(children)
        y, y_lengths = x, lengths
        # Tails of linear members are cut once, at the end of their group, fused or not.
        grouped = fusion.groups(self.members, fusion.KINDS if self.fuse else ("linear",))
        last = self._range_stage(draws, x)
        for group in grouped:
            with_range = last if group is grouped[-1] and group[0][1].fusion == "pointwise" and self.fuse else ()
            y, y_lengths = self._run_group(group, y, y_lengths, children, call, place, with_range)
        if not isinstance(draws, Draws):  # members gate rows one by one: together they lengthen less than each could
            y = fit(y, min(y.shape[-1], math.ceil(x.shape[-1] * self.most())))
        return (y if with_range or not last else F.apply_stages(y, last, owned=call.in_place)), y_lengths

    def _run_group(
        self,
        group: fusion.Group,
        x: Tensor,
        lengths: Tensor,
        children: Mapping[str, Any],
        call: Call,
        place: str,
        last: Stages,
    ) -> tuple[Tensor, Tensor]:
        """Run neighbours, together where they can."""
        kind = group[0][1].fusion
        if kind == "pointwise" and self.fuse:
            y = fusion.run_pointwise(x, group, children, last, call.in_place)
        elif kind == "mask" and self.fuse:
            y = fusion.run_masks(x, lengths, group, children)
        elif len(group) > 1:
            context = Context(call.sample_rate, x.shape[-1], x.shape[0], place)
            y = fusion.run_linear(x, lengths, group, children, context, self.fuse, call.owned)
        else:
            ((name, member),) = group
            return member._step(x, lengths, children[name], call, f"{place}/{name}" if place else name)
        call.owned = call.owned or y is not x
        return y, lengths

    def _range_stage(self, draws: Draws | Mapping[str, Any], x: Tensor) -> Stages:
        """Return what brings changed rows into range, if that is wanted and there are any."""
        if self.range_policy == "none" or (isinstance(draws, Draws) and draws.count == 0):
            return ()
        on = draws.gate(x.device)[0] if isinstance(draws, Draws) else draws["on"]
        return [(Stage.RESCALE if self.range_policy == "rescale" else Stage.LIMIT, 1.0, on)]

    def _warp(self, times_s: Floats, lengths: Ints, draws: Draws, sample_rate: float) -> tuple[Floats, Ints]:
        for name, member in places(self.members):
            times_s, lengths = member._warp(times_s, lengths, draws.members[name], sample_rate)
        return times_s, lengths


@dataclass(frozen=True)
class Compose(_Sequence):
    """Apply every member in turn, each with its own probability.

    A member's numbers depend on its class and on how many of its class stand before it, so adding a member of another
    class changes nothing for the rest.

    Args:
        members: transforms of one domain, or further policies of it.
        p: probability per example that the policy acts at all.
        range_policy: what happens to rows that were changed: ``"none"``, ``"rescale"`` (peaks above 1 scale the row
            down, so the SNR stays) or ``"clip"`` (samples are clipped to [-1, 1]). Set on the outermost policy.
        max_growth: how many times longer a row may become; a policy that could exceed it is refused.
        fuse: whether neighbours that can be run in one pass are: their repr joins them by ``+``. The result is the same
            to rounding.

    Shape:
        Waveforms ``(B, T)`` or ``(B, C, T)``, or spectrograms ``(B, F, T)``; the same out, width may change.

    Raises:
        ValueError: if members are missing, mix domains or could exceed ``max_growth``.

    Example:
        >>> import torch, speechaug as sa
        >>> policy = sa.Compose([sa.Gain(gain_db=(6.0, 6.0)), sa.Polarity(p=0.5)])
        >>> x, lengths = torch.ones(2, 4), torch.tensor([4, 2])
        >>> draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a", "b"]))
        >>> y, y_lengths = policy(x, lengths, draws, sample_rate=16_000)
        >>> y.abs()[0, 0].item() == 10 ** (6 / 20)
        False
        >>> round(y.abs()[0, 0].item(), 4)
        1.9953
    """

    def gates(self, rng: Rng) -> NDArray[np.bool_]:
        """Let every member act on every row."""
        return np.ones((len(self.members), len(rng)), bool)


@dataclass(frozen=True)
class OneOf(_Sequence):
    """Apply exactly one member, chosen for each example.

    Args:
        members: transforms of one domain; a member's own ``p`` is a second toss after it was chosen.
        weights: relative chances of the members; equal when empty.
        p: probability per example that the policy acts at all.
        range_policy: see :class:`Compose`.
        max_growth: see :class:`Compose`.
        fuse: see :class:`Compose`.

    Shape:
        As :class:`Compose`.

    Raises:
        ValueError: as :class:`Compose`, or if ``weights`` do not fit the members.

    Example:
        >>> import speechaug as sa
        >>> policy = sa.OneOf([sa.Gain(), sa.Polarity(p=1.0)], weights=(3.0, 1.0))
        >>> draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=[str(i) for i in range(1000)]))
        >>> draws.members["Gain"].count + draws.members["Polarity"].count
        1000
    """

    weights: tuple[float, ...] = dataclasses.field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(map(float, self.weights)))
        super().__post_init__()
        fits = not self.weights or (len(self.weights) == len(self.members) and min(self.weights) >= 0)
        self._check(
            fits and (not self.weights or 0 < sum(self.weights) < math.inf), "weights", "one per member, not negative"
        )

    @property
    def growth(self) -> float:
        return max([member.most() for member in self.members])

    def gates(self, rng: Rng) -> NDArray[np.bool_]:
        """Let one member act on a row."""
        chosen = rng.choice(self.weights or (1.0,) * len(self.members))
        return np.equal(np.arange(len(self.members))[:, None], chosen)


@dataclass(frozen=True)
class SomeOf(_Sequence):
    """Apply some of the members, a set drawn for each example, in the order in which they are listed.

    Args:
        members: transforms of one domain.
        count: least and most members that act, each number as likely.
        p: probability per example that the policy acts at all.
        range_policy: see :class:`Compose`.
        max_growth: see :class:`Compose`.
        fuse: see :class:`Compose`.

    Shape:
        As :class:`Compose`.

    Raises:
        ValueError: as :class:`Compose`, or if ``count`` is not a range within the number of members.

    Example:
        >>> import numpy as np, speechaug as sa
        >>> policy = sa.SomeOf([sa.Gain(), sa.Speed(), sa.TimeShift()], count=(2, 2))
        >>> draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a", "b"]))
        >>> np.sum([member.on for member in draws.members.values()], axis=0).tolist()
        [2, 2]
    """

    count: tuple[int, int] = dataclasses.field(default=(1, 2), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", tuple(self.count))
        super().__post_init__()
        low, high = self.count
        self._check(0 <= low <= high <= len(self.members), "count", f"(low, high) within 0 and {len(self.members)}")

    @property
    def growth(self) -> float:
        return math.prod(sorted([member.most() for member in self.members], reverse=True)[: self.count[1]])

    def gates(self, rng: Rng) -> NDArray[np.bool_]:
        """Let the members with the smallest of random keys act."""
        wanted = self.count[0] + rng.integers(self.count[1] - self.count[0] + 1)
        rank = np.argsort(np.argsort(rng.uniform(size=len(self.members)), axis=1), axis=1)
        chosen: NDArray[np.bool_] = np.less(rank, wanted[:, None]).T
        return chosen
