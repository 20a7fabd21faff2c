"""What the DataModule does to training speech and to each test set, from objects, plain data or names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from speechaug import presets
from speechaug.banks import Bank
from speechaug.policy_file import load_policy
from speechaug.transform import Transform, from_dict
from speechaug.waveform.interference import AddBabble
from speechaug.waveform.noise import AddNoise
from speechaug.waveform.room import Reverb

if TYPE_CHECKING:
    from speechaug.robustness.suite import Suite

PolicySource = Transform | dict[str, Any] | str | None
BankSource = Bank | dict[str, Any] | str | None
SuiteSource: TypeAlias = "Suite | str | Sequence[str]"

SNRS_DB = (20, 10, 5, 0)
"""Signal-to-noise ratios of the default noisy test sets."""


def resolve_bank(source: BankSource, sample_rate: int) -> Bank | None:
    """Return a bank for a folder, plain data or a bank; folders are read at first use.

    Args:
        source: the bank, its plain data, or a folder.
        sample_rate: of the batches, in Hz.

    Raises:
        ValueError: if the bank has another rate.
    """
    if source is None:
        return None
    if isinstance(source, Mapping):
        source = from_dict(source)
    bank = source if isinstance(source, Bank) else Bank(str(source), sample_rate=sample_rate)
    if bank.sample_rate != sample_rate:
        raise ValueError(f"SpeechDataModule: a bank must have the sample_rate {sample_rate}, got {bank.sample_rate}")
    return bank


def resolve_policy(
    source: PolicySource,
    noise: Bank | None = None,
    rooms: Bank | None = None,
    voices: Bank | None = None,
    name: str = "policy",
) -> Transform | None:
    """Return the policy for an object, plain data, a YAML file, the name of a preset or ``none``.

    Args:
        source: which policy.
        noise: bank for every ``AddNoise`` in it; None leaves them their own.
        rooms: bank for every ``Reverb`` in it; None leaves them their own.
        voices: bank for every ``AddBabble`` in it; None leaves them their own.
        name: of the argument, for messages.

    Raises:
        ValueError: if there is no such preset or file, or it acts on spectrograms.
    """
    if source in (None, "none"):
        return None
    if source == "small_sample":
        return presets.small_sample(noises=noise, rooms=rooms, voices=voices)
    if isinstance(source, Mapping):
        source = from_dict({name: value for name, value in source.items() if name != "version"})
    if not isinstance(source, Transform) and not Path(str(source)).is_file():
        raise ValueError(
            f"SpeechDataModule: {name} must be none, small_sample or an existing YAML file, got {str(source)!r}"
        )
    policy = source if isinstance(source, Transform) else load_policy(str(source))
    if policy.domain != "waveform":
        raise ValueError(f"SpeechDataModule: {name} must act on waveforms, got {policy.domain}s in {policy!r}")
    return _with_banks(policy, {AddNoise: noise, Reverb: rooms, AddBabble: voices})


def resolve_conditions(
    given: Mapping[str, PolicySource] | None, noise: Bank | None, rooms: Bank | None
) -> dict[str, Transform | None]:
    """Return what is done to each test set, by name and in order.

    Args:
        given: transforms by name, None for clean speech; without it clean, and what the banks allow.
        noise: unseen noise, for ``noise_20db`` and so on.
        rooms: unseen rooms, for ``room``.

    Raises:
        ValueError: if there is none, or as :func:`resolve_policy`.

    Example:
        >>> resolve_conditions(None, None, None)
        {'clean': None}
    """
    if given is not None:
        if not given:
            raise ValueError(f"SpeechDataModule: test_conditions must hold at least one, or be None, got {given!r}")
        return {name: resolve_policy(source, name=f"test_conditions.{name}") for name, source in given.items()}
    conditions: dict[str, Transform | None] = {"clean": None}
    if noise is not None:
        for snr_db in SNRS_DB:
            conditions[f"noise_{snr_db}db"] = AddNoise(bank=noise, snr_db=(float(snr_db), float(snr_db)))
    if rooms is not None:
        conditions["room"] = Reverb(bank=rooms)
    return conditions


def resolve_suite(source: SuiteSource, sample_rate: int, noise: BankSource = None, rooms: BankSource = None) -> Suite:
    """Return the suite for a suite, the name of a subset, or names of conditions.

    Args:
        source: ``tiny``, ``standard``, ``full`` or ``srb``; names such as ``["white:3", "babble:2"]``, clean speech is
            put before them; or a suite, which is returned.
        sample_rate: of the speech, in Hz.
        noise: folder or bank instead of the suite's noise.
        rooms: folder or bank instead of the suite's room responses.

    Raises:
        ValueError: if there is no such subset or condition, or it makes no sense at this rate.

    Example:
        >>> resolve_suite(["white:3"], 16_000).names
        ('clean', 'white:3')
    """
    from speechaug.robustness.suite import Suite, load_suite

    if isinstance(source, Suite):
        return source
    banks: dict[str, Any] = {
        name: from_dict(bank) if isinstance(bank, Mapping) else bank
        for name, bank in {"noise": noise, "rooms": rooms}.items()
    }
    if isinstance(source, str):
        return load_suite(source, sample_rate=sample_rate, **banks)  # type: ignore[arg-type]
    suites = [load_suite(subset, sample_rate=sample_rate, **banks) for subset in ("full", "srb")]
    known = {condition.name: condition for suite in reversed(suites) for condition in suite.conditions}
    unknown = [name for name in source if name not in known]
    if unknown:
        needs_more = any(unknown[0] in suite.left_out for suite in suites)
        why = f"needs a higher rate than {sample_rate} Hz" if needs_more else "is no condition"
        raise ValueError(f"suite: must hold names such as white:3, got {unknown[0]!r}, which {why}")
    names = dict.fromkeys(["clean", *source])
    return dataclasses.replace(suites[0], subset="chosen", conditions=tuple(known[name] for name in names), left_out=())


def _with_banks(policy: Transform, banks: Mapping[type[Transform], Bank | None]) -> Transform:
    members = getattr(policy, "members", None)
    if members is not None:
        return dataclasses.replace(policy, members=tuple(_with_banks(member, banks) for member in members))  # type: ignore[call-arg]
    bank = banks.get(type(policy))
    return policy if bank is None else dataclasses.replace(policy, bank=bank)  # type: ignore[call-arg]
