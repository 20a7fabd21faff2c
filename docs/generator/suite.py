"""The page of the robustness suite: every corruption, what it is made of, and how strong it is."""

from __future__ import annotations

from itertools import groupby

from speechaug.compose import Compose
from speechaug.page.words import ABBREVIATIONS, compact, split_unit, words_of
from speechaug.robustness import Condition, load_suite
from speechaug.robustness.suite import VERSION

from .docstrings import Link, table

INTRODUCTION = """\
# The suite

`speechaug-C`, version {version}: {single} corruptions and {compounds} compounds of them, each at five severities. What
is heard depends on the version, a seed and the utterance's id alone, and is frozen by tests. The sounds are severity 3
of one utterance. **Held out** (◇) are faults that no preset trains on. A dot marks what is in `standard`; `tiny` has
{tiny}.

Of Speech Robust Bench (Shah et al., ICLR 2025), `srb` has the corruptions that need no neural network, at its own four
severities."""


def families() -> dict[str, list[list[Condition]]]:
    """Return the corruptions of each family: its conditions, by severity."""
    noisy = load_suite("full").conditions[1:]
    corruptions = [list(steps) for _, steps in groupby(noisy, key=lambda condition: condition.corruption)]
    return {family: list(group) for family, group in groupby(corruptions, key=lambda steps: steps[0].family)}


def page(link: Link) -> str:
    """Return the page, with a place for the figures of each family."""
    standard = {condition.corruption for condition in load_suite("standard").conditions}
    tiny = ", ".join(f"`{name}`" for name in load_suite("tiny").names[1:])
    sizes = {family: len(corruptions) for family, corruptions in families().items()}
    compounds = sizes.pop("compound")
    numbers = {"version": VERSION, "single": sum(sizes.values()), "compounds": compounds}
    parts = [INTRODUCTION.format(**numbers, tiny=tiny)]
    for family, corruptions in families().items():
        rows = [
            (f"`{steps[0].corruption}`", "•" * (steps[0].corruption in standard), _made_of(steps[0], link), _set(steps))
            for steps in corruptions
        ]
        held_out = " ◇" if corruptions[0][0].held_out else ""
        parts += [f"## {words_of(family).capitalize()}{held_out}", f"<!-- figure: suite_{family} -->"]
        parts.append(table(("corruption", "standard", "made of", "severity 1 to 5"), rows))
    return "\n\n".join(parts)


def _made_of(condition: Condition, link: Link) -> str:
    assert isinstance(condition.policy, Compose)
    return ", ".join(dict.fromkeys(link(type(member).__name__) for member in condition.policy.members))


def _set(steps: list[Condition]) -> str:
    """Say what is set at each severity: ``SNR 20, 15, 10, 5, 0 dB``."""
    said = []
    for name in steps[-1].nominal:
        stem, unit = split_unit(name)
        values = ", ".join(compact(step.nominal[name], unit) if name in step.nominal else "–" for step in steps)
        said.append(f"{ABBREVIATIONS.get(stem, words_of(stem))} {values} {unit}".rstrip())
    return "; ".join(said)
