"""What was drawn, in words: the members of a policy with their parameters, also those that were off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from speechaug.augmenter import leaves
from speechaug.draws import Draws
from speechaug.page.words import quantity
from speechaug.transform import Transform

_UNHEARD = ("key", "offset", "phase", "start")  # where in the noise, which noise: numbers that tell nobody anything


@dataclass(frozen=True, kw_only=True)
class Member:
    """One transform of a policy and what it does to a recording.

    Args:
        name: its class, also of another library.
        on: whether it acts.
        said: the parameters drawn, in words; empty where it is off or has none.
    """

    name: str
    on: bool
    said: str


def members_of(policy: Transform, draws: Draws, shape: tuple[int, ...]) -> list[Member]:
    """Say what every transform of a policy does to the first row.

    Args:
        policy: what was drawn from.
        draws: what was drawn.
        shape: of the row, ``(C, T)`` or ``(F, T)``.

    Example:
        >>> import speechaug as sa
        >>> policy = sa.Compose([sa.Gain(gain_db=(-6.0, -6.0)), sa.Polarity(p=0.0)])
        >>> draws = policy.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=["a"]))
        >>> [(member.name, member.on, member.said) for member in members_of(policy, draws, (1, 8_000))]
        [('Gain', True, 'gain −6 dB'), ('Polarity', False, '')]
    """
    members = []
    for (_, transform), (_, drawn) in zip(leaves(policy), draws.walk(), strict=True):
        on = bool(drawn.on[0])
        said = ", ".join(_said(transform, drawn, shape)) if on else ""
        name = getattr(transform, "transform", type(transform).__name__)  # one of another library
        members.append(Member(name=name, on=on, said=said))
    return members


def _said(transform: Transform, drawn: Draws, shape: tuple[int, ...]) -> Iterator[str]:
    values = {name: value[0] for name, value in drawn.values.items()}
    if hasattr(transform, "stripes"):
        yield _stripes(transform, drawn, shape)
        return
    if "clip" in values:
        yield ", ".join(_clips(transform, values))
    for name, value in values.items():
        if name != "clip" and name not in _UNHEARD:
            yield quantity(name, *(value.tolist() if value.ndim else [value.item()]))


def _clips(transform: Any, values: Mapping[str, Any]) -> Iterable[str]:
    """Name the clips of a bank, each once; of as many voices as are heard."""
    places = values["clip"].reshape(-1).tolist()
    return dict.fromkeys(transform.bank.names[place] for place in places[: values.get("talkers", len(places))])


def _stripes(transform: Any, drawn: Draws, shape: tuple[int, ...]) -> str:
    """Say how wide the stripes of a mask are."""
    lengths = torch.tensor([shape[1]])
    axis, _, widths = transform.stripes(lengths, shape[0], **drawn.mirror(lengths.device))
    hidden = [int(width) for width in widths[0].tolist() if width]
    unit = "frames" if axis == 2 else "bands"
    return f"{' and '.join(map(str, hidden))} {unit} hidden" if hidden else "nothing hidden"
