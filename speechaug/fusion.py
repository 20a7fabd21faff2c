"""Members of a policy that run together: neighbours of one kind, in one pass over the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Draws
from speechaug.functional.linear import Member, run_group
from speechaug.functional.pointwise import Stages
from speechaug.ops.pointwise.reference import Stage
from speechaug.transform import Context, Transform, places, put_back

KINDS = ("linear", "mask", "pointwise")

Group = list[tuple[str, Transform]]
"""Neighbours with their places; one alone, where its kind has no company."""


class Pointwise(Protocol):
    """A transform whose ``fusion`` is ``"pointwise"``."""

    def stage(self, **params: Tensor) -> tuple[Stage, Tensor | float]:
        """Say what is done to each sample, and how much on each row."""


class Mask(Protocol):
    """A transform whose ``fusion`` is ``"mask"``."""

    def stripes(self, lengths: Tensor, bins: int, **params: Tensor) -> tuple[int, Tensor, Tensor]:
        """Say on which axis (1 bins, 2 frames) stripes of zeros begin and how wide they are, int64 ``(B, K)``."""


def groups(members: Sequence[Transform], kinds: Collection[str] = KINDS) -> list[Group]:
    """Split the members of a policy into groups of neighbours that run together.

    Args:
        members: of the policy.
        kinds: what is put together.

    Example:
        >>> import speechaug as sa
        >>> [[place for place, _ in group] for group in groups([sa.Gain(), sa.Polarity(), sa.Speed()])]
        [['Gain', 'Polarity'], ['Speed']]
    """
    found: list[Group] = []
    for place, member in places(members):
        if found and member.fusion in kinds and found[-1][-1][1].fusion == member.fusion:
            found[-1].append((place, member))
        else:
            found.append([(place, member)])
    return found


def run_pointwise(x: Tensor, group: Group, children: Mapping[str, Any], last: Stages, owned: bool) -> Tensor:
    """Do all stages of a group, and those in ``last``, in one pass; ``x`` itself where there is nothing to do.

    It is ``x`` itself too where that is ``owned``: the pass is then in place, over the rows that are on.
    """
    stages = list(last)
    for place, member in reversed(group):
        on, params = _acting(children[place], x.device)
        if on is not None:
            stages.insert(0, (*cast(Pointwise, member).stage(**params), on))
    return F.apply_stages(x, stages, owned=owned) if stages else x


def run_masks(x: Tensor, lengths: Tensor, group: Group, children: Mapping[str, Any]) -> Tensor:
    """Hide all stripes of a group in one pass; ``x`` itself where there are none."""
    stripes: dict[int, list[tuple[Tensor, Tensor]]] = {1: [], 2: []}
    for place, member in group:
        on, params = _acting(children[place], x.device)
        if on is not None:
            axis, first, width = cast(Mask, member).stripes(lengths, x.shape[1], **params)
            everywhere = isinstance(children[place], Draws) and children[place].count == len(x)
            stripes[axis].append((first, width if everywhere else torch.where(on[:, None], width, 0)))
    if not stripes[1] and not stripes[2]:
        return x
    y: Tensor = F.masks(x, lengths, _together(stripes[1], lengths), _together(stripes[2], lengths))
    return y


def run_linear(
    x: Tensor, lengths: Tensor, group: Group, children: Mapping[str, Any], context: Context, fuse: bool, owned: bool
) -> Tensor:
    """Run filters and responses as one, tails cut at the end; ``x`` itself where none is on.

    Args:
        x: ``(B, C, T)``.
        lengths: ``(B,)``.
        group: linear transforms with their places.
        children: their draws.
        context: of the call.
        fuse: False computes one after the other.
        owned: whether ``x`` may be written into.
    """
    members = [_member(transform, children[place], x.device) for place, transform in group]
    hosts = [member.host for member in members if member.host is not None]
    if not hosts:
        any_on = torch.stack([member.on for member in members]).any(dim=0)
        return torch.where(any_on[:, None, None], run_group(x, lengths, members, context, fuse), x)
    y = x
    for part in _parts(members, hosts, fuse and not x.is_cuda):
        # On a CPU all members, so that how far responses reach, and with it last bits, is not for other rows to say.
        acting = [m for m, host in zip(members, hosts, strict=True) if not x.is_cuda or bool(host[part].any())]
        if bool(part.all()):
            return run_group(x, lengths, acting, context, fuse)
        rows = _rows(part, acting, x)
        some = [member.of_rows(rows, part) for member in acting]
        changed = run_group(x.index_select(0, rows), lengths.index_select(0, rows), some, context, fuse)
        y, owned = put_back(y, rows, changed, owned), True
    return y


def _parts(members: Sequence[Member], hosts: Sequence[NDArray[np.bool_]], apart: bool) -> list[NDArray[np.bool_]]:
    """Say which rows run together: all that are on, or those that need no FFT apart."""
    union = np.any(hosts, axis=0)
    spectral = [host for member, host in zip(members, hosts, strict=True) if not member.is_filter]
    if not apart or not spectral:
        return [union] if union.any() else []
    first = np.any(spectral, axis=0)
    return [part for part in (first, union & ~first) if part.any()]


def _rows(part: NDArray[np.bool_], members: Sequence[Member], x: Tensor) -> Tensor:
    """Return the indices of the rows of a part; on a GPU from what is there already."""
    if not x.is_cuda:
        return torch.from_numpy(np.flatnonzero(part))
    any_on = torch.stack([member.on for member in members]).any(dim=0)
    return torch.argsort(~any_on, stable=True)[: int(part.sum())]


def _member(transform: Transform, draws: Draws | Mapping[str, Any], device: torch.device) -> Member:
    """A transform with what was drawn for it; without its parameters where the host knows that it is on nowhere."""
    on, params = _acting(draws, device)
    host = draws.on if isinstance(draws, Draws) else None
    return Member(transform, torch.zeros(len(draws), dtype=torch.bool) if on is None else on, params, host)


def _together(stripes: list[tuple[Tensor, Tensor]], lengths: Tensor) -> tuple[Tensor, Tensor]:
    if not stripes:
        none = lengths.new_zeros(lengths.shape[0], 0)
        return none, none
    if len(stripes) == 1:
        return stripes[0]
    first, width = (torch.cat(parts, dim=1) for parts in zip(*stripes, strict=True))
    return first, width


def _acting(draws: Draws | Mapping[str, Any], device: torch.device) -> tuple[Tensor | None, dict[str, Tensor]]:
    """Which rows a member acts on, None where the host knows of none, and its parameters for all rows."""
    if not isinstance(draws, Draws):
        return draws["on"], {name: value for name, value in draws.items() if name != "on"}
    if draws.count == 0:
        return None, {}
    mirror = draws.mirror(device)
    return draws.gate(device)[0], {name: mirror[name] for name in draws.values}
