"""The demonstration: the same recognizer twice, without and with augmentation, on unseen voices in unseen noise."""

from __future__ import annotations

from pathlib import Path

from speechaug.data import SpeechDataModule
from speechaug.recipe import FIXTURES, Run, clear, fit_and_test, sounds
from speechaug.robustness import print_table, write_report


def demo(*, steps: int = 900, seed: int = 0, output: str = "runs/demo") -> dict[str, Run]:
    """Show what augmentation does for a small recognizer trained on a small sample.

    Trains the same recognizer twice on the synthetic voices that ship with the package, for the same number of steps:
    without and with the ``small_sample`` preset. Both are tested on voices, noises and a room they have not met.
    Prints the word error rates and writes ``report.html``.

    Args:
        steps: optimizer steps of each training.
        seed: of both trainings.
        output: folder for the report and both runs; made if missing.

    Returns:
        Both runs by name.

    Raises:
        ValueError: if there is no step to train.
    """
    runs: dict[str, Run] = {}
    clear(Path(output))
    for name, policy in (("no augmentation", None), ("small_sample", "small_sample")):
        data = demo_data(policy, seed)
        print(f"Training {'without' if policy is None else 'with'} augmentation, {steps} steps", flush=True)
        runs[name] = fit_and_test(
            data,
            model={"unit": "word", "size": "xs", "subsampling": 4},
            steps=steps,
            spec_policy="none",  # masks pay in longer trainings only
            val_every=max(1, steps),
            output=Path(output) / (policy or "none"),
            name=name,
        )
    evaluations = [run.evaluation for run in runs.values()]
    print_table(*evaluations)
    augmented = runs["small_sample"]
    minutes = {f"minutes, {name}": f"{run.minutes:.1f}" for name, run in runs.items()}
    details = {key: value for key, value in augmented.details.items() if key != "minutes"} | minutes
    page = write_report(
        Path(output) / "report.html",
        *evaluations,
        title="The same recognizer, without and with augmentation",
        policies=[policy.to_dict() for policy in augmented.policies],
        sounds=sounds(data),
        details=details,
    )
    print(f"Wrote {page}: open it in a browser to see and hear")
    return runs


def demo_data(policy: str | None, seed: int) -> SpeechDataModule:
    """Return the data of the demonstration: synthetic voices speaking strings of one to six digits."""
    return SpeechDataModule(
        train=FIXTURES / "train.jsonl",
        test=FIXTURES / "test.jsonl",
        sample_rate=16_000,
        concat=(1, 6),
        passes=8,
        policy=policy,
        noise=str(FIXTURES / "noise" / "train"),
        rooms=str(FIXTURES / "rir" / "train"),
        test_noise=str(FIXTURES / "noise" / "test"),
        test_rooms=str(FIXTURES / "rir" / "test"),
        seed=seed,
    )
