"""The page: every recording, what was drawn for it, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from speechaug._progress import progress_bar
from speechaug.page import make_environment
from speechaug.page.policy_words import as_yaml, describe
from speechaug.preview.cards import Card, make_card
from speechaug.preview.excerpts import Excerpt
from speechaug.preview.policies import Source

if TYPE_CHECKING:
    from jinja2 import Environment


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
            recordings=[
                {"id": excerpt.id, "said": _described(excerpt), "cards": [c for c in self._cards if c.place == place]}
                for place, excerpt in enumerate(self.excerpts)
            ],
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
        card = make_card(place, self.excerpts[place], self.source, seed)
        return self._environment.get_template("card.html.jinja").render(card=card, served=True)

    @cached_property
    def _cards(self) -> list[Card]:
        cards = []
        with progress_bar("Drawing", None, len(self.excerpts) * len(self.seeds)) as advance:
            for place, excerpt in enumerate(self.excerpts):
                for seed in self.seeds:
                    cards.append(make_card(place, excerpt, self.source, seed))
                    advance(1)
        return cards

    @cached_property
    def _environment(self) -> Environment:
        return make_environment("speechaug.preview")


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
