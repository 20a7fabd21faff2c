"""What was decided: the drawn parameters of a batch, on the host and on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug.rng import Ints

Values = dict[str, NDArray[Any]]


class Draws:
    """The drawn parameters of a batch: host arrays that are always kept, and one packed mirror on the device.

    ``policy.sample(rng)`` makes them; they print, go to plain data (:meth:`to_dict`) and back
    (``policy.replay(data)``), and move to a device in one copy (:meth:`to`, which Lightning calls too). Which rows are
    on, gather lists and output widths come from the host part, so nothing is ever read back from a device.

    Args:
        on: which rows the transform acts on, bool ``(B,)``.
        values: the parameters, numbers of shape ``(B,)`` or ``(B, K)``.
        labels: texts of shape ``(B,)`` that identify a value elsewhere, such as a clip's hash.
        members: the draws of a policy's members, by place.

    Example:
        >>> import speechaug as sa
        >>> policy = sa.Compose([sa.Gain(gain_db=(-6.0, 6.0)), sa.Polarity(p=0.5)])
        >>> draws = policy.sample(sa.Rng.from_ids(seed=7, epoch=0, ids=["utt-1", "utt-2"]))
        >>> print(draws)
        [0] Gain(gain_db=1.74)
        [1] Gain(gain_db=-2.8), Polarity()
        >>> policy.replay(draws.to_dict()) == draws
        True
    """

    def __init__(
        self,
        on: NDArray[np.bool_],
        values: Values,
        labels: Values | None = None,
        members: dict[str, Draws] | None = None,
    ) -> None:
        """Keep the host part; the device part is made on first use."""
        self.on = np.asarray(on, bool)
        self.values = {name: _eight_bytes(value) for name, value in values.items()}
        self.labels = labels or {}
        self.members = members or {}
        self.order: Ints = np.argsort(~self.on, kind="stable")
        self.count = int(np.count_nonzero(self.on))
        if {"on", *self.members} & set(self.values):
            raise ValueError(f"Draws: values must not be named 'on' or like a member, got {sorted(self.values)}")
        self._device: torch.device | None = None
        self._packed: tuple[Tensor, int] | None = None  # there, and from which line on it is this node's
        self._mirror: dict[str, Tensor] = {}
        self._gate: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.on)

    def __eq__(self, other: object) -> bool:
        """Compare the host parts, bit for bit."""
        return isinstance(other, Draws) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the host part alone."""
        return {**self.__dict__, "_device": None, "_packed": None, "_mirror": {}, "_gate": None}

    def walk(self, place: str = "") -> Iterator[tuple[str, Draws]]:
        """Yield each transform's place and draws, depth first."""
        if not self.members:
            yield place, self
        for name, member in self.members.items():
            yield from member.walk(f"{place}/{name}" if place else name)

    def to(self, device: torch.device | str, non_blocking: bool = True, **_: Any) -> Draws:
        """Copy every parameter to ``device`` in one transfer (from pinned memory where that is a GPU); returns self.

        On the CPU nothing is copied: there the host arrays are the parameters.
        """
        target = torch.device(device)
        if target.type == "cpu":
            for node in self._nodes():
                node._device, node._packed, node._gate = target, None, None
            return self
        packed = self.pack()
        if target.type == "cuda":
            packed = packed.pin_memory().to(target, non_blocking=non_blocking)
        return self.unpack(packed.to(target))

    def pack(self) -> Tensor:
        """Return every parameter in one int64 tensor ``(N, B)`` on the host; N depends on the policy alone."""
        nodes = list(self._nodes())
        lines = np.empty((sum(map(Draws._lines, nodes)), len(self)), np.int64)
        start = 0
        for node in nodes:
            start = node._pack(lines, start)
        return torch.from_numpy(lines)

    def unpack(self, packed: Tensor) -> Draws:
        """Use ``packed``, what :meth:`pack` returned, moved to a device, as the parameters there; returns self."""
        start = 0
        for node in self._nodes():
            node._device, node._packed, node._gate = packed.device, (packed, start), None
            start += node._lines()
        return self

    def mirror(self, device: torch.device) -> dict[str, Tensor]:
        """Return the values as tensors on ``device``, float64 or int64."""
        self.gate(device)
        return self._mirror

    def gate(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return on ``device`` which rows are on, and the rows' indices, those that are on first."""
        if self._device != device:
            self.to(device)
        if self._gate is None:
            self._gate = self._unpacked() if self._packed else self._as_they_are()
        return self._gate

    def tensors(self, device: torch.device | str = "cpu") -> dict[str, Any]:
        """Return a plain tree of tensors: what a compiled or captured call takes (fixed shapes, every row gated)."""
        own = {"on": self.gate(torch.device(device))[0], **self.mirror(torch.device(device))}
        return {**own, **{name: member.tensors(device) for name, member in self.members.items()}}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON keeps exactly; a clip is named by its hash."""
        own = {name: (self.labels.get(name, value)).tolist() for name, value in self.values.items()}
        return {"on": self.on.tolist(), **own, **{name: member.to_dict() for name, member in self.members.items()}}

    def take(self, index: int) -> Draws:
        """Return what was drawn for one row, as if it had been drawn alone."""
        own = {name: value[index : index + 1] for name, value in self.values.items()}
        labels = {name: label[index : index + 1] for name, label in self.labels.items()}
        members = {name: member.take(index) for name, member in self.members.items()}
        return Draws(self.on[index : index + 1], own, labels, members)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the plain data of each row alone: that of ``take(index).to_dict()`` for every ``index``."""
        rows: list[dict[str, Any]] = [{"on": [on]} for on in self.on.tolist()]
        told: dict[str, list[Any]] = {
            name: [[one] for one in self.labels.get(name, value).tolist()] for name, value in self.values.items()
        }
        told.update({name: member.to_rows() for name, member in self.members.items()})
        for name, each in told.items():
            for row, one in zip(rows, each, strict=True):
                row[name] = one
        return rows

    def row(self, index: int) -> list[tuple[str, dict[str, Any]]]:
        """Return what is on for one row: each transform's place and parameters."""
        return [
            (place, {name: leaf.labels.get(name, value)[index].tolist() for name, value in leaf.values.items()})
            for place, leaf in self.walk()
            if leaf.on[index]
        ]

    def __str__(self) -> str:
        """Say in a line per row what is done to it."""
        return "\n".join(f"[{index}] {_in_words(self.row(index))}" for index in range(len(self)))

    def _nodes(self) -> Iterator[Draws]:
        yield self
        for member in self.members.values():
            yield from member._nodes()

    def _lines(self) -> int:
        return 2 + sum(1 if value.ndim == 1 else value.shape[1] for value in self.values.values())

    def _pack(self, lines: Ints, start: int) -> int:
        """Write this node's lines from ``start`` on; returns where they end."""
        lines[start], lines[start + 1] = self.on, self.order
        end = start + 2
        for value in self.values.values():
            first, end = end, end + (1 if value.ndim == 1 else value.shape[1])
            lines[first:end] = value.view(np.int64).T
        return end

    def _as_they_are(self) -> tuple[Tensor, Tensor]:
        """Make tensors of the host arrays: the same memory."""
        self._mirror = {name: torch.from_numpy(value) for name, value in self.values.items()}
        return torch.from_numpy(self.on), torch.from_numpy(self.order)

    def _unpacked(self) -> tuple[Tensor, Tensor]:
        """Cut this node's lines out of what was packed, when they are asked for."""
        assert self._packed is not None
        packed, start = self._packed
        gate, place, self._mirror = (packed[start] != 0, packed[start + 1]), start + 2, {}
        for name, value in self.values.items():
            width = 1 if value.ndim == 1 else value.shape[1]
            block = packed[place : place + width]
            block = block.view(torch.float64) if value.dtype == np.float64 else block
            self._mirror[name] = block[0] if value.ndim == 1 else block.T
            place += width
        return gate


def replay_values(data: Mapping[str, Any], clips: Mapping[str, int] | None) -> tuple[Values, Values]:
    """Turn one transform's plain data back into values and labels; a clip's hash is looked up in ``clips``.

    Raises:
        ValueError: if a hash is not among the clips of the bank.
    """
    values: Values = {}
    labels: Values = {}
    for name, drawn in data.items():
        if name == "clip" and clips is not None:
            named = labels[name] = np.asarray(drawn, dtype=np.str_)
            unknown = sorted(set(named.flat) - set(clips))
            if unknown:
                raise ValueError(f"Draws: clip must be one of the bank's hashes, got {[str(name) for name in unknown]}")
            values[name] = np.asarray([clips[label] for label in named.flat], np.int64).reshape(named.shape)
        else:
            values[name] = np.asarray(drawn)
    return values, labels


def _eight_bytes(value: NDArray[Any]) -> NDArray[Any]:
    kept = np.ascontiguousarray(value, dtype=np.int64 if value.dtype.kind in "iu" else np.float64)
    return kept if kept.flags.writeable else kept.copy()  # torch shares no memory that must not be written


def _in_words(row: list[tuple[str, dict[str, Any]]]) -> str:
    def spell(value: Any) -> str:
        if isinstance(value, list):
            return "[" + ", ".join(map(spell, value)) + "]"
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    parts = [(place, ", ".join(f"{name}={spell(value)}" for name, value in drawn.items())) for place, drawn in row]
    return ", ".join(f"{place}({inside})" if place else inside or "on" for place, inside in parts) or "nothing"
