"""The page: every recording, what was drawn for it, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from speechaug.page import make_environment
from speechaug.page.policy_words import as_yaml, describe
from speechaug.preview.excerpts import Excerpt
from speechaug.preview.facts import feature_facts, sound_facts
from speechaug.preview.figures import feature_figures, sound_figures
from speechaug.preview.policies import Source
from speechaug.preview.takes import make_take, what_is_given

if TYPE_CHECKING:
    from jinja2 import Environment

STRENGTHS = {
    0.0: "the recording itself",
    0.5: "half as strong",
    1.0: "as the policy says",
    1.5: "half as strong again",
    2.0: "twice as strong",
}
"""What the slider offers, and what it means."""


@dataclass(frozen=True)
class Gallery:
    """Recordings and a policy, to be shown.

    Args:
        excerpts: the recordings.
        source: the policy.
        seeds: of the draws on the page.
    """

    excerpts: Sequence[Excerpt]
    source: Source
    seeds: Sequence[int]

    def page(self, served: bool = False) -> str:
        """Return the page; one that is served has a button for a fresh draw."""
        policy = self.source.policy.to_dict()
        return self._environment.get_template("preview.html.jinja").render(
            title="Preview",
            source=self.source.name,
            recordings=self._recordings,
            draws=len(self.seeds),
            policy={"lines": list(describe(policy)), "yaml": as_yaml(policy)},
            is_sound=self.source.policy.domain == "waveform",
            served=served,
        )

    def card(self, place: int, seed: int) -> str:
        """Return the part of the page that shows one draw for one recording, for a page that is served.

        Raises:
            ValueError: if there are fewer recordings.
        """
        if place >= len(self.excerpts):
            raise ValueError(f"preview: recording must be below {len(self.excerpts)}, got {place}")
        return self._environment.get_template("card.html.jinja").render(card=self._card(place, seed), served=True)

    @cached_property
    def _recordings(self) -> list[dict[str, Any]]:
        return [
            {"id": excerpt.id, "said": _described(excerpt), "cards": [self._card(place, seed) for seed in self.seeds]}
            for place, excerpt in enumerate(self.excerpts)
        ]

    @cached_property
    def _environment(self) -> Environment:
        return make_environment("speechaug.preview")

    def _card(self, place: int, seed: int) -> dict[str, Any]:
        excerpt = self.excerpts[place]
        policy = self.source.at(excerpt.sample_rate)
        given = what_is_given(excerpt, policy)[0].numpy()
        made = [make_take(excerpt, policy, seed, strength) for strength in STRENGTHS]
        everything, rate = [given, *(take.x for take in made)], excerpt.sample_rate
        if policy.domain == "waveform":
            first, *figures = sound_figures(everything, rate)
            facts = [sound_facts(take.x, given, rate, take.measured) for take in made]
        else:
            first, *figures = feature_figures(everything)
            facts = [feature_facts(take.x, given) for take in made]
        shown = [
            {"take": take, "says": says, "figure": figure, "facts": said}
            for take, says, figure, said in zip(made, STRENGTHS.values(), figures, facts, strict=True)
        ]
        replay = self.source.replay(excerpt, seed)
        return {"place": place, "seed": seed, "id": excerpt.id, "before": first, "takes": shown, "replay": replay}


def _described(excerpt: Excerpt) -> str:
    """Say what kind of recording it is."""
    channels = {1: "mono", 2: "stereo"}.get(len(excerpt.samples), f"{len(excerpt.samples)} channels, one shown")
    length = f"{excerpt.duration_s:.2f} s"
    if excerpt.is_cut:
        length = f"the first {excerpt.duration_s:.3g} s of {_clock(excerpt.whole_s)}"
    return f"{length}, {excerpt.sample_rate / 1_000:g} kHz, {channels}"


def _clock(duration_s: float) -> str:
    """Write a duration.

    Example:
        >>> _clock(12.34), _clock(3_725.0)
        ('12.3 s', '1:02:05 h')
    """
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, rest = divmod(round(duration_s), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"
