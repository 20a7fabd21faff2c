"""Who trains and who is tested: by speaker, with held-out takes of the training speakers for validation."""

from __future__ import annotations

from collections.abc import Sequence

from speechaug.data.manifest import Utterance, natural, shorten


def split_speakers(
    utterances: Sequence[Utterance], train_speakers: Sequence[str] | None, test_speakers: Sequence[str] | None
) -> tuple[list[Utterance], list[Utterance]]:
    """Split one source by speaker.

    Args:
        utterances: all of the source.
        train_speakers: who trains; None for all who are not tested.
        test_speakers: who is tested; None for all who do not train.

    Returns:
        Utterances to train and to test on.

    Raises:
        ValueError: if neither list is given, a speaker is unknown or in both, or a side is left empty.

    Example:
        >>> spoken = [Utterance(id=s, audio="", text="", speaker=s) for s in ("ann", "ben", "cem")]
        >>> train, test = split_speakers(spoken, None, ["ben"])
        >>> [u.id for u in train], [u.id for u in test]
        (['ann', 'cem'], ['ben'])
    """
    known = {utterance.speaker for utterance in utterances}
    if train_speakers is None and test_speakers is None:
        raise ValueError("train and test are the same source: train_speakers or test_speakers must be given")
    train = known - set(test_speakers or ()) if train_speakers is None else set(train_speakers)
    test = known - train if test_speakers is None else set(test_speakers)
    if test_speakers is None and not test:
        raise ValueError(f"train_speakers: all speakers ({shorten(sorted(known))}) train, nobody is left to test")
    if train_speakers is None and not train:
        raise ValueError(f"test_speakers: all speakers ({shorten(sorted(known))}) are tested, nobody is left to train")
    if train & test:
        raise ValueError(f"train_speakers and test_speakers must not share anyone, got {shorten(sorted(train & test))}")
    chosen = [only_speakers(utterances, side, name) for side, name in ((train, "train"), (test, "test"))]
    return chosen[0], chosen[1]


def only_speakers(utterances: Sequence[Utterance], speakers: set[str], side: str) -> list[Utterance]:
    """Keep the utterances of some speakers.

    Args:
        utterances: of a source.
        speakers: whose to keep.
        side: ``train`` or ``test``, for messages.

    Raises:
        ValueError: if a speaker is unknown or none is left.
    """
    known = {utterance.speaker for utterance in utterances}
    unknown = sorted(speakers - known)
    if unknown or not speakers:
        wrong = shorten(unknown) if unknown else "nobody"
        raise ValueError(f"{side}_speakers: must be among {shorten(sorted(known))}, got {wrong}")
    return [utterance for utterance in utterances if utterance.speaker in speakers]


def hold_out_takes(
    utterances: Sequence[Utterance], *, takes: int | None, val_takes: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Split the takes of each text by each speaker: the first for validation, the next for training.

    Takes are in natural order (9 before 10). One take at least is left for training.

    Args:
        utterances: of the training speakers.
        takes: takes to train on; None for all that are left.
        val_takes: takes to hold out.

    Returns:
        Utterances to train on and to validate on.

    Raises:
        ValueError: if takes are to be held out and no text has two.

    Example:
        >>> spoken = [Utterance(id=f"7-{n}", audio="", text="7", take=str(n)) for n in (10, 9, 8)]
        >>> train, val = hold_out_takes(spoken, takes=1, val_takes=1)
        >>> [u.id for u in train], [u.id for u in val]
        (['7-9'], ['7-8'])
    """
    groups: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault((utterance.speaker, utterance.text), []).append(utterance)
    train: list[Utterance] = []
    val: list[Utterance] = []
    for group in groups.values():
        group.sort(key=lambda utterance: (natural(utterance.take), natural(utterance.id)))
        held = min(val_takes, len(group) - 1)
        val += group[:held]
        train += group[held:][:takes]
    if val_takes and train and not val:
        raise ValueError(f"val_takes: needs texts that a speaker says twice, got {len(train)} texts said once")
    return train, val
