"""What a recognizer knows from its training: families are marked, clips refused, speakers and recordings told."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from speechaug.data.leak import banks_of, check_banks, recording_hashes, shared_clips, trained_with
from speechaug.data.manifest import shorten
from speechaug.robustness.catalogue import CATALOGUE, SRB
from speechaug.robustness.recognizers import Recognizer
from speechaug.robustness.spoken import Spoken
from speechaug.robustness.suite import Subset, Suite, load_suite
from speechaug.transform import Transform


def trained_marks(suite: Suite, policies: Iterable[Transform | None]) -> dict[str, bool]:
    """Say of each condition whether a training did the same, at whatever strength.

    A compound counts as trained if one of its parts does. A condition that was read from disk, without its policy, is
    what the catalogue has under the name of its corruption.

    Args:
        suite: whose conditions are asked about.
        policies: of the training.

    Example:
        >>> import speechaug as sa
        >>> marks = trained_marks(load_suite("tiny"), [sa.AddColoredNoise(exponent=(-1.0, 1.0))])
        >>> [name for name, trained in marks.items() if trained]
        ['white:3']
    """
    used = [policy for policy in policies if policy is not None]
    if not used:
        return dict.fromkeys(suite.names, False)
    entries = SRB | CATALOGUE if suite.subset != "srb" else SRB
    marks = {}
    for condition in suite.conditions:
        entry, policy = entries.get(condition.corruption), condition.policy
        if policy is None and entry is not None:
            policy = _done_by(condition.corruption, "srb" if entry is SRB.get(condition.corruption) else "full")
        marks[condition.name] = policy is not None and trained_with(used, policy, entry.marks if entry else ())
    return marks


def _done_by(corruption: str, subset: Subset) -> Transform | None:
    """Return what a corruption of the catalogue does, in its first severity: the others differ in strength alone."""
    return next(each.policy for each in load_suite(subset).conditions if each.corruption == corruption)


def check_clips(suite: Suite, policy: Transform) -> None:
    """Refuse clips that training knew, and tell of those cut from the same recording.

    Args:
        suite: that is tested.
        policy: of the training.

    Raises:
        ValueError: naming the clips.
    """
    banks = banks_of(policy), banks_of([condition.policy for condition in suite.conditions])
    check_banks(*banks)
    related = [f"{clip.trained} = {clip.tested}" for clip in shared_clips(*banks)]
    if related:
        warnings.warn(
            f"evaluate: {len(related)} clips of the test are named like clips of the training (train = test): "
            f"{shorten(related)}",
            UserWarning,
            stacklevel=3,
        )


def tell_known(recognizer: Recognizer, spoken: Spoken, speakers: Iterable[str]) -> dict[str, list[str]]:
    """Tell which speakers and recordings of a test were trained on.

    Args:
        recognizer: whose training is asked about.
        spoken: recordings as they are, before anything is done to them.
        speakers: who is tested.

    Returns:
        Names of ``speakers`` and ids of ``recordings``; only what there is.
    """
    training, tested = recognizer.training, set(speakers)
    known = sorted(tested & training.speakers)
    if known:
        warnings.warn(
            f"evaluate: {recognizer.name} was trained on speakers of these names, {len(known)} of {len(tested)}: "
            f"{shorten(known)}; if they are the same, the scores say nothing about other speakers",
            UserWarning,
            stacklevel=3,
        )
    found = recording_hashes(spoken.dataset.utterances) if training.recordings else {}
    again = sorted(name for label, name in found.items() if label in training.recordings)
    if again:
        warnings.warn(
            f"evaluate: {recognizer.name} was trained on {len(again)} of these {len(spoken.dataset)} recordings: "
            f"{shorten(again)}; the scores say nothing about others",
            UserWarning,
            stacklevel=3,
        )
    return {what: names for what, names in (("speakers", known), ("recordings", again)) if names}
