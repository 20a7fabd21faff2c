"""One draw for one recording, as the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from speechaug.preview.excerpts import Excerpt
from speechaug.preview.facts import Facts, feature_facts, sound_facts
from speechaug.preview.figures import Figure, feature_figures, sound_figures
from speechaug.preview.policies import Source
from speechaug.preview.takes import Take, make_take, what_is_given

STRENGTHS = {
    0.0: "the recording itself",
    0.5: "half as strong",
    1.0: "as the policy says",
    1.5: "half as strong again",
    2.0: "twice as strong",
}
"""What the slider offers, and what it means."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A take, what its strength means, how it looks and sounds, and what changed."""

    take: Take
    says: str
    figure: Figure
    facts: Facts


@dataclass(frozen=True, kw_only=True)
class Card:
    """A draw for a recording.

    Args:
        place: of the recording on the page.
        id: of the recording.
        seed: of the draw.
        before: the recording.
        takes: what became of it, by strength.
        replay: Python that does the same.
    """

    place: int
    id: str
    seed: int
    before: Figure
    takes: Sequence[Shown]
    replay: str


def make_card(place: int, excerpt: Excerpt, source: Source, seed: int) -> Card:
    """Draw for a recording, and make everything that is shown of it.

    Args:
        place: of the recording on the page.
        excerpt: the recording.
        source: the policy.
        seed: of the draw.
    """
    policy, rate = source.at(excerpt.sample_rate), excerpt.sample_rate
    given = what_is_given(excerpt, policy)[0].numpy()
    takes = [make_take(excerpt, policy, seed, strength) for strength in STRENGTHS]
    everything = [given, *(take.x for take in takes)]
    if policy.domain == "waveform":
        before, *after = sound_figures(everything, rate)
        facts = [sound_facts(take.x, given, rate, take.measured) for take in takes]
    else:
        before, *after = feature_figures(everything)
        facts = [feature_facts(take.x, given) for take in takes]
    shown = [
        Shown(take=take, says=says, figure=figure, facts=said)
        for take, says, figure, said in zip(takes, STRENGTHS.values(), after, facts, strict=True)
    ]
    replay = source.replay(excerpt, seed)
    return Card(place=place, id=excerpt.id, seed=seed, before=before, takes=shown, replay=replay)
