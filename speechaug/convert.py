"""Configurations of audiomentations and torch-audiomentations as policies of ours."""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from speechaug.compose import Compose, OneOf, SomeOf
from speechaug.interop import from_audiomentations, from_torch_audiomentations  # noqa: F401  they fill COUNTERPARTS
from speechaug.interop.counterpart import COUNTERPARTS, Counterpart, NoCounterpart
from speechaug.interop.description import describe, imported, name_of
from speechaug.interop.external import External
from speechaug.interop.source import CONVERTED, read_source
from speechaug.policy_file import policy_text, save_policy
from speechaug.transform import Transform

_SEQUENCES = ("Compose", "OneOf", "SomeOf")
_SHARED = ("mode", "p_mode", "sample_rate", "target_rate", "output_type")  # arguments of all of torch-audiomentations
_MAX_GROWTH = 2.0
_THEIR_P = 0.5


class Step(NamedTuple):
    """What became of one transform.

    Attributes:
        theirs: path of its class.
        ours: name of our class.
        kind: ``"same"`` in effect, ``"similar"`` or ``"wrapped"`` and slow.
        remark: what differs, or why it was wrapped.
    """

    theirs: str
    ours: str
    kind: Literal["same", "similar", "wrapped"]
    remark: str


class Conversion(NamedTuple):
    """A policy, and how each of its transforms came about; printed, it is a list.

    Attributes:
        policy: of ours.
        steps: one for each of their transforms, in order.
    """

    policy: Transform
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        """Say in a line for each transform what became of it."""
        counts = {kind: sum(step.kind == kind for step in self.steps) for kind in ("same", "similar", "wrapped")}
        head = ", ".join(f"{count} {kind}{' (slow)' * (kind == 'wrapped')}" for kind, count in counts.items() if count)
        names = [(step.theirs.rpartition(".")[2], step.ours) for step in self.steps]
        wide = [max((len(name[column]) for name in names), default=0) for column in (0, 1)]
        lines = [
            f"  {theirs:{wide[0]}}  {ours:{wide[1]}}  {step.kind}: {step.remark}".removesuffix(": ")
            for (theirs, ours), step in zip(names, self.steps, strict=True)
        ]
        return "\n".join([f"{len(self.steps)} transforms: {head}", *lines])


def convert(source: Any, *, sample_rate: int = 16_000, exact: bool = False) -> Conversion:
    """Turn a transform of audiomentations or torch-audiomentations, or a configuration of one, into a policy.

    What has a counterpart here becomes that, at the same strengths in our units. What has none goes on as
    :class:`speechaug.External`: the same effect, slow. The list says which is which.

    Args:
        source: an object; a dictionary, as their ``to_dict`` or ``from_dict`` have it; the path of a YAML or JSON file
            of that; or of a Python file that makes the object, which is run (``train.py:augment`` names the variable).
        sample_rate: of the audio, in Hz: of noise and rooms, and for what is counted in samples.
        exact: wrap also what only has something similar here.

    Raises:
        FileNotFoundError: if there is no such file, or a folder of sounds is missing.
        ValueError: if the source is none of these, or a transform or an argument is unknown.

    Example:
        >>> import audiomentations as am
        >>> print(convert(am.Compose([am.Gain(-6.0, 6.0, p=1.0), am.PolarityInversion(), am.Reverse()])))
        3 transforms: 2 same, 1 wrapped (slow)
          Gain               Gain      same
          PolarityInversion  Polarity  same
          Reverse            External  wrapped: Speech backwards is no speech.
    """
    converter = _Converter(sample_rate, exact)
    policy = converter.policy(read_source(source))
    return Conversion(policy, tuple(converter.steps))


def convert_file(src: str, dst: Path | None = None, *, sample_rate: int = 16_000, exact: bool = False) -> None:
    """Write the policy that a configuration of audiomentations or torch-audiomentations amounts to.

    Args:
        src: YAML or JSON in the form of either library, or a Python file that makes the transform and is run;
            ``train.py:augment`` names the variable, where there are several.
        dst: the policy file to write; none prints it.
        sample_rate: of the audio, in Hz: of noise and rooms, and for what is counted in samples.
        exact: keep as they are, slow, also the transforms that only have something similar here.
    """
    conversion = convert(src, sample_rate=sample_rate, exact=exact)
    if dst is None:
        print(policy_text(conversion.policy), end="")
        print(conversion, file=sys.stderr)
    else:
        save_policy(conversion.policy, dst)
        print(f"{dst}: {conversion}")


def migration_table(library: str) -> str:
    """Return the transforms of a library and what they are here, as a Markdown table."""
    rows = [one for path, one in COUNTERPARTS.items() if path.partition(".")[0] == library]
    lines = [
        f"| `{row.theirs.rpartition('.')[2]}` | {f'`{row.ours}`' if row.ours else 'wrap it'} | {row.text} |"
        for row in sorted(rows, key=lambda row: row.theirs.rpartition(".")[2])
    ]
    return "\n".join([f"| {library} | speechaug | arguments, and what differs |", "|---|---|---|", *lines, ""])


class _Converter:
    """Walks through a configuration and keeps the list."""

    def __init__(self, sample_rate: int, exact: bool) -> None:
        self.sample_rate = sample_rate
        self.exact = exact
        self.steps: list[Step] = []

    def policy(self, source: Any) -> Transform:
        """Convert an object or its description."""
        held = getattr(source, "policy", None)
        if isinstance(held, Transform):  # one of ours, used as one of theirs
            return held
        described = source if isinstance(source, Mapping) else describe(source)
        if not isinstance(described, Mapping):
            return self._wrapped(source, name_of(source), {}, "its arguments cannot be told")
        path, arguments = described["transform"], dict(described.get("arguments", {}))
        library, _, name = path.partition(".")
        if library in CONVERTED and name in _SEQUENCES:
            members = arguments["transforms"] if isinstance(source, Mapping) else list(source.transforms)
            return self._sequence(source, path, arguments, members)
        return self._single(source, path, arguments)

    def _sequence(self, source: Any, path: str, arguments: dict[str, Any], members: Sequence[Any]) -> Transform:
        shuffled = bool(arguments.get("shuffle"))
        if shuffled and self.exact:
            return self._wrapped(source, path, arguments, "its members change places")
        if shuffled:
            self.steps.append(Step(path, "Compose", "similar", "always in the order listed"))
        p, own = float(arguments.get("p", 1.0)), tuple(self.policy(member) for member in members)
        if path.endswith(".Compose"):
            return _roomy(Compose(own, p=p, max_growth=math.inf))
        if path.endswith(".OneOf"):
            weights = tuple(arguments.get("weights") or ())
            return _roomy(OneOf(own, p=p, weights=weights, max_growth=math.inf))
        if "num_transforms" not in arguments:
            raise ValueError(f"convert: {path} must have num_transforms, which its dictionaries lack: pass the object")
        count = arguments["num_transforms"]
        low, high = (count, count) if isinstance(count, int) else count
        return _roomy(SomeOf(own, p=p, count=(low, len(own) if high is None else high), max_growth=math.inf))

    def _single(self, source: Any, path: str, arguments: dict[str, Any]) -> Transform:
        known = COUNTERPARTS.get(path)
        if known is None and path.partition(".")[0] in CONVERTED:
            _check_there(path)
        if known is None or known.build is None:
            return self._wrapped(source, path, arguments, known.text if known else "not known here")
        own = {name: value for name, value in arguments.items() if name != "p" and name not in _SHARED}
        given = self._checked(known, own)
        try:
            built = known.build(**given)
        except (NoCounterpart, ValueError) as reason:
            return self._wrapped(source, path, arguments, str(reason))
        remark = "; ".join(filter(None, [built.remark, _grouped(arguments)]))
        if remark and self.exact:
            return self._wrapped(source, path, arguments, remark)
        self.steps.append(Step(path, known.ours, "similar" if remark else "same", remark))
        return dataclasses.replace(built.transform, p=float(arguments.get("p", _THEIR_P)))

    def _checked(self, known: Counterpart, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a builder, older names as they are called now."""
        assert known.build is not None
        names = inspect.signature(known.build).parameters
        given = {name if name in names else name.replace("_in_db", "_db"): value for name, value in arguments.items()}
        needed = {name for name, parameter in names.items() if parameter.default is parameter.empty}
        if set(given) - set(names) or needed - set(given) - {"rate"}:
            wanted = sorted(set(names) - {"rate"})
            raise ValueError(f"convert: {known.theirs} must have arguments among {wanted}, got {sorted(given)}")
        return {**given, "rate": self.sample_rate} if "rate" in names else given

    def _wrapped(self, source: Any, path: str, arguments: dict[str, Any], reason: str) -> External:
        self.steps.append(Step(path, "External", "wrapped", reason.replace("`", "")))
        if not isinstance(source, Mapping):
            return External(source)
        p = arguments.pop("p", None)
        return External(path, p=float(_usual_p(path) if p is None else p), arguments=arguments)


def _check_there(path: str) -> None:
    """Check that a library has a class which has no entry here: it may be newer, or misspelt."""
    try:
        imported(path)
    except ImportError as error:
        raise ValueError(f"convert: {error}") from error


def _roomy(policy: Compose | OneOf | SomeOf) -> Transform:
    """Allow a policy to lengthen as much as it can."""
    return dataclasses.replace(policy, max_growth=max(_MAX_GROWTH, policy.growth))


def _usual_p(path: str) -> float:
    """Return the probability that a class has where none is given."""
    if path in COUNTERPARTS:
        return _THEIR_P
    try:
        return float(inspect.signature(imported(path)).parameters["p"].default)
    except (ImportError, KeyError):
        return 1.0


def _grouped(arguments: Mapping[str, Any]) -> str:
    """Say what differs where torch-audiomentations draws for a batch or for each channel."""
    modes = {arguments.get("mode") or "per_example", arguments.get("p_mode") or "per_example"}
    return "drawn for each example" if modes - {"per_example"} else ""
