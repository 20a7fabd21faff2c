"""Configurations of audiomentations and torch-audiomentations as policies of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from speechaug.transform import Transform


class Step(NamedTuple):
    """What became of one transform.

    Attributes:
        theirs: path of its class.
        ours: name of our class.
        kind: ``"same"``, ``"approximate"`` or ``"wrapped"``.
        remark: what differs, or why it was wrapped.
    """

    theirs: str
    ours: str
    kind: str
    remark: str


class Conversion(NamedTuple):
    """A policy, and how each of its transforms came about; printed, it is a list.

    Attributes:
        policy: of ours.
        steps: one for each of their transforms, in order.
    """

    policy: Transform
    steps: tuple[Step, ...]


def convert(source: Any, *, sample_rate: int = 16_000, exact: bool = False) -> Conversion:
    """Turn a transform of another library, or a configuration of one, into a policy."""
    raise NotImplementedError


def convert_file(src: str, dst: Path | None = None, *, sample_rate: int = 16_000, exact: bool = False) -> None:
    """Write the policy that a configuration of audiomentations or torch-audiomentations amounts to.

    Args:
        src: YAML or JSON in the form of either library, or a Python file that makes the transform;
            ``train.py:augment`` names the variable, where there are several.
        dst: the policy file to write; none prints it.
        sample_rate: of the audio, in Hz: of noise and rooms, and for what other libraries count in samples.
        exact: keep as they are, slow, also the transforms that only have something similar here.
    """
    raise NotImplementedError
