"""The main job: train a small recognizer, test it clean and in noise, write down what came out."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger

from speechaug import presets
from speechaug.asr import SpeechRecognizer, Tokenizer
from speechaug.callbacks import SpectrogramAugment, StepProgress
from speechaug.data import SpeechDataModule
from speechaug.policy_file import save_policy
from speechaug.robustness import print_table, write_report
from speechaug.robustness.summary import label
from speechaug.transform import Transform

FIXTURES = Path(__file__).parent / "fixtures"
"""The recordings that ship with the package: synthetic voices, noises and rooms of our own making."""


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Attributes:
        name: of the run.
        results: one dictionary per test utterance and condition: what was said, what was heard, the edit counts.
        recognizer: as trained.
        policies: what was applied in training: the waveform policy, then the spectrogram policy, if any.
        minutes: of the training.
        details: facts for the report.
    """

    name: str
    results: list[dict[str, Any]]
    recognizer: SpeechRecognizer
    policies: list[Transform]
    minutes: float
    details: dict[str, object]


def train(
    data: SpeechDataModule,
    *,
    model: Mapping[str, Any] | None = None,
    steps: int = 3_000,
    spec_policy: str = "auto",
    val_every: int = 500,
    accelerator: str = "auto",
    output: str = "runs/train",
    name: str = "trained",
) -> Run:
    """Train a recognizer, test it in every condition of the data, and write it all to a folder.

    Writes ``model.ckpt``, ``results.jsonl`` (every utterance), ``policy.yaml``, ``metrics.csv`` and ``report.html``.

    Args:
        data: what to train and test on, with its policy.
        model: arguments of ``SpeechRecognizer`` beside the vocabulary and the sample rate.
        steps: optimizer steps.
        spec_policy: SpecAugment on the features: ``none``, a name of ``presets.specaugment``, or ``auto``: ``small`` if
            the data has a policy, else none.
        val_every: steps between two validations.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
        output: folder for the results; made if missing.
        name: of the run, in tables.

    Returns:
        The run.

    Raises:
        ValueError: if a transcript is missing or the data cannot be used; the message says which and why.
    """
    run = fit_and_test(
        data,
        model=model,
        steps=steps,
        spec_policy=spec_policy,
        val_every=val_every,
        accelerator=accelerator,
        output=output,
        name=name,
    )
    print_table({name: run.results})
    page = write_report(
        Path(output) / "report.html",
        {name: run.results},
        title="What the recognizer gets wrong",
        policies=[policy.to_dict() for policy in run.policies],
        examples=examples([run], data),
        details=run.details,
    )
    print(f"Wrote {page}")
    return run


def fit_and_test(
    data: SpeechDataModule,
    *,
    model: Mapping[str, Any] | None,
    steps: int,
    spec_policy: str,
    val_every: int,
    accelerator: str,
    output: str | Path,
    name: str,
) -> Run:
    """Do what :func:`train` does, without the table and the page."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    with _quiet():
        pl.seed_everything(data.seed, workers=True)
        data.setup("fit")
        recognizer = _build(data, dict(model or {}))
        policies = _policies(data, spec_policy)
        callbacks: list[pl.Callback] = [StepProgress(name)]
        if policies and policies[-1].domain == "spectrogram":
            callbacks.append(SpectrogramAugment(policies[-1], seed=data.seed))
        trainer = pl.Trainer(
            max_steps=steps,
            accelerator=accelerator,
            devices=1,
            callbacks=callbacks,
            logger=CSVLogger(folder, name="", version=""),
            log_every_n_steps=max(1, steps // 100),
            **_validation(data, val_every),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        started = time.monotonic()
        trainer.fit(recognizer, datamodule=data)
        minutes = (time.monotonic() - started) / 60
        trainer.save_checkpoint(folder / "model.ckpt")
        trainer.test(recognizer, datamodule=data, verbose=False)
    run = Run(name, recognizer.test_results, recognizer, policies, minutes, _details(data, recognizer, steps, minutes))
    _write(run, folder)
    return run


def examples(runs: Sequence[Run], data: SpeechDataModule, count: int = 3) -> list[dict[str, Any]]:
    """Choose test utterances to listen to: in the first condition, in noisy ones, and what each run heard."""
    heard = {run.name: {(r["condition"], r["id"]): r["hypothesis"] for r in run.results} for run in runs}
    noisy = [condition for condition in data.test_names if condition != "clean"]
    chosen = []
    for number, condition in enumerate(list(dict.fromkeys([*noisy[1:2], *noisy[-2:]]))[:count]):
        before, after = data.test_batch(data.test_names[0]), data.test_batch(condition)
        row = (len(before["id"]) // 2 + number) % len(before["id"])  # another utterance for each
        chosen.append(
            {
                "title": label(condition),
                "reference": after["text"][row],
                "before": _sound(before, row, data.sample_rate),
                "after": _sound(after, row, data.sample_rate),
                "hypotheses": {name: texts[condition, after["id"][row]] for name, texts in heard.items()},
            }
        )
    return chosen


def _sound(batch: dict[str, Any], row: int, sample_rate: int) -> tuple[Any, int]:
    return batch["waveform"][row, : int(batch["lengths"][row])].numpy(), sample_rate


def _build(data: SpeechDataModule, model: dict[str, Any]) -> SpeechRecognizer:
    tokenizer = Tokenizer.from_texts(data.texts, unit=model.pop("unit", "char"))
    torch.manual_seed(data.seed)
    return SpeechRecognizer(list(tokenizer.vocabulary), tokenizer.unit, sample_rate=data.sample_rate, **model)


def _policies(data: SpeechDataModule, spec_policy: str) -> list[Transform]:
    wave = [data.policy] if data.policy is not None else []
    chosen = ("small" if wave else "none") if spec_policy == "auto" else spec_policy
    return wave if chosen == "none" else [*wave, presets.specaugment(chosen)]


def _validation(data: SpeechDataModule, every: int) -> dict[str, Any]:
    if not data.val_utterances:
        return {"limit_val_batches": 0, "num_sanity_val_steps": 0}
    return {"val_check_interval": every, "check_val_every_n_epoch": None, "num_sanity_val_steps": 1}


def _details(data: SpeechDataModule, recognizer: SpeechRecognizer, steps: int, minutes: float) -> dict[str, object]:
    import lightning

    from speechaug import __version__

    return {
        "training recordings": len(data.train_utterances),
        "training speakers": len({utterance.speaker for utterance in data.train_utterances}),
        "test speakers": len({utterance.speaker for utterance in data.test_utterances}),
        "parameters": f"{sum(p.numel() for p in recognizer.parameters()):,}",
        "steps": steps,
        "seed": data.seed,
        "minutes": f"{minutes:.1f}",
        "device": str(recognizer.device),
        "versions": f"speechaug {__version__}, torch {torch.__version__}, lightning {lightning.__version__}",
    }


def _write(run: Run, folder: Path) -> None:
    lines = "".join(json.dumps(result, sort_keys=True) + "\n" for result in run.results)
    (folder / "results.jsonl").write_text(lines, encoding="utf-8")
    for policy in run.policies:
        save_policy(policy, folder / ("policy.yaml" if policy.domain == "waveform" else "spec_policy.yaml"))


_ANSWERED = (
    "The '.*_dataloader' does not have many workers",
    "The number of training batches",
    "You defined a `validation_step` but have no `val_dataloader`",
    "Experiment logs directory .* exists",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice about workers and devices, which this recipe has answered, off the screen."""
    import logging

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for text in _ANSWERED:
            warnings.filterwarnings("ignore", message=text)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
