"""The main job: train a small recognizer, test it clean and in noise, write down what came out."""

from __future__ import annotations

import json
import math
import signal
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
from speechaug.data.leak import banks_of
from speechaug.data.manifest import Utterance, shorten
from speechaug.policy_file import save_policy
from speechaug.robustness import Evaluation, print_table, write_report
from speechaug.robustness.examples import Sounds
from speechaug.transform import Transform

FIXTURES = Path(__file__).parent / "fixtures"
"""The recordings that ship with the package: synthetic voices, noises and rooms of our own making."""

OUTPUTS = (
    "config.yaml",
    "policy.yaml",
    "spec_policy.yaml",
    "metrics.csv",
    "hparams.yaml",
    "model.ckpt",
    "interrupted.ckpt",
    "results.jsonl",
    "report.html",
)
"""Files a run writes."""


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

    @property
    def evaluation(self) -> Evaluation:
        """The test, to score and to report."""
        return Evaluation.from_results(self.name, self.results)


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
    config: Mapping[str, Any] | None = None,
) -> Run:
    """Train a recognizer, test it in every condition of the data, and write it all to a folder.

    Writes ``config.yaml`` (to do it again: ``speechaug train --config``), ``policy.yaml``, ``metrics.csv``,
    ``model.ckpt``, ``results.jsonl`` (every utterance) and ``report.html``. Such files of an earlier run in the folder
    are deleted when training begins. Stopped by Ctrl-C it leaves the weights so far as ``interrupted.ckpt``.

    Args:
        data: what to train and test on, with its policy.
        model: arguments of ``SpeechRecognizer`` beside the vocabulary and the sample rate.
        steps: optimizer steps.
        spec_policy: SpecAugment on the features: ``none``, a name of ``presets.specaugment``, or ``auto``: ``small`` if
            the data has a policy, else none.
        val_every: steps between two validations; there is one at the end too.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
        output: folder for the results; made if missing.
        name: of the run, in tables.
        config: what to write to ``config.yaml``; None for these arguments and those of the data.

    Returns:
        The run.

    Raises:
        ValueError: if the data cannot be used: nothing to train or test on, a missing transcript, a validation
            transcript that training cannot spell, noise, rooms or voices that the policy does not use; the message
            says which.
        KeyboardInterrupt: if stopped; it says where the weights are.
    """
    for given, bank in {"noise": data.noise, "rooms": data.rooms, "voices": data.voices}.items():
        if bank is not None and not any(used is bank for used in banks_of(data.policy)):
            raise ValueError(f"{given} is given, but the policy adds none: use --data.policy small_sample")
    run = fit_and_test(
        data,
        model=model,
        steps=steps,
        spec_policy=spec_policy,
        val_every=val_every,
        accelerator=accelerator,
        output=output,
        name=name,
        config=config,
    )
    print_table(run.evaluation)
    if not any(record["hypothesis_raw"] for record in run.evaluation.records):
        print(f"The recognizer says nothing yet: {steps} steps were too few for it.")
    page = write_report(
        Path(output) / "report.html",
        run.evaluation,
        title="What the recognizer gets wrong",
        policies=[policy.to_dict() for policy in run.policies],
        sounds=sounds(data),
        details=run.details,
    )
    print(f"Wrote {page}")
    return run


def fit_and_test(
    data: SpeechDataModule,
    *,
    model: Mapping[str, Any] | None = None,
    steps: int,
    spec_policy: str = "auto",
    val_every: int,
    accelerator: str = "auto",
    output: str | Path,
    name: str,
    config: Mapping[str, Any] | None = None,
) -> Run:
    """Do what :func:`train` does, without the table and the page."""
    for option, value in {"steps": steps, "val_every": val_every}.items():
        if value < 1:
            raise ValueError(f"train: {option} must be >= 1, got {value}")
    options = {"steps": steps, "spec_policy": spec_policy, "val_every": val_every, "accelerator": accelerator}
    options |= {"output": str(output), "name": name, "model": dict(model or {})}
    folder = Path(output)
    with _quiet():
        pl.seed_everything(data.seed, workers=True)
        recognizer = _build(data, dict(model or {}))
        policies = _policies(data, spec_policy)
        trainer = _trainer(data, policies, folder, options)
        clear(folder)
        _write_config(config or {"data": dict(data.hparams), **options}, folder)
        started = time.monotonic()
        with _stoppable(trainer, folder):
            metrics = _fit(trainer, recognizer, data)
            minutes = (time.monotonic() - started) / 60
            trainer.save_checkpoint(folder / "model.ckpt")
            trainer.test(recognizer, datamodule=data, verbose=False)
    details = _details(data, recognizer, trainer, minutes, metrics)
    run = Run(name, recognizer.test_results, recognizer, policies, minutes, details)
    _write(run, folder)
    return run


def clear(folder: Path) -> None:
    """Make a folder for a run and delete what an earlier run wrote there, so that nothing of it is left."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in OUTPUTS:
        (folder / name).unlink(missing_ok=True)


def sounds(data: SpeechDataModule) -> Sounds:
    """Give test utterances before and after a condition, just as they are tested."""
    batches = list(data.test_dataloader()[0].sampler)
    places = {row.id: (index, place) for index, rows in enumerate(batches) for place, row in enumerate(rows)}

    def before_and_after(condition: str, utterance: str) -> tuple[Any, Any, int]:
        index, row = places[utterance]
        before, after = (_sound(data.test_batch(name, index), row) for name in (None, condition))
        return before, after, data.sample_rate

    return before_and_after


def _sound(batch: dict[str, Any], row: int) -> Any:
    return batch["waveform"][row, : int(batch["lengths"][row])].numpy()


def _build(data: SpeechDataModule, model: dict[str, Any]) -> SpeechRecognizer:
    """Look at the data and make a recognizer that can spell it."""
    data.setup("fit")
    if not data.train_utterances:
        raise ValueError("train: data.train must name recordings to train on, got none")
    if not data.test_utterances:
        raise ValueError("train: data.test_speakers or data.test must name recordings to test on, got none")
    if not data.test_names:
        raise ValueError("train: data.test_conditions must hold at least one condition, got none")
    unit = model.pop("unit", "char")
    tokenizer = Tokenizer.from_texts(data.texts, unit=unit)
    unknown = {said.id: tokens for said in data.val_utterances if (tokens := _unknown(said, tokenizer))}
    if unknown:
        named = shorten([f"{name} ({', '.join(map(repr, tokens))})" for name, tokens in unknown.items()])
        total = len(data.val_utterances)
        raise ValueError(f"val: {len(unknown)} of {total} transcripts hold tokens that training lacks: {named}")
    torch.manual_seed(data.seed)
    return SpeechRecognizer(list(tokenizer.vocabulary), unit, sample_rate=data.sample_rate, **model)


def _unknown(said: Utterance, tokenizer: Tokenizer) -> list[str]:
    tokens = Tokenizer.from_texts([said.text], unit=tokenizer.unit).vocabulary
    return [token for token in tokens if token not in tokenizer.vocabulary]


def _policies(data: SpeechDataModule, spec_policy: str) -> list[Transform]:
    wave = [data.policy] if data.policy is not None else []
    chosen = ("small" if wave else "none") if spec_policy == "auto" else spec_policy
    return wave if chosen == "none" else [*wave, presets.specaugment(chosen)]


def _trainer(
    data: SpeechDataModule, policies: Sequence[Transform], folder: Path, options: Mapping[str, Any]
) -> pl.Trainer:
    callbacks: list[pl.Callback] = [StepProgress(options["name"])]
    if policies and policies[-1].domain == "spectrogram":
        callbacks.append(SpectrogramAugment(policies[-1], seed=data.seed))
    validation: dict[str, Any] = {"limit_val_batches": 0, "num_sanity_val_steps": 0}
    if data.val_utterances:
        every = min(options["val_every"], options["steps"])
        validation = {"val_check_interval": every, "check_val_every_n_epoch": None, "num_sanity_val_steps": 1}
    return pl.Trainer(
        max_steps=options["steps"],
        accelerator=options["accelerator"],
        devices=1,
        callbacks=callbacks,
        logger=CSVLogger(folder, name="", version=""),
        log_every_n_steps=max(1, options["steps"] // 100),
        **validation,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _fit(trainer: pl.Trainer, recognizer: SpeechRecognizer, data: SpeechDataModule) -> dict[str, float]:
    """Train, validate at the end, and return the last metrics."""
    trainer.fit(recognizer, datamodule=data)
    metrics = dict(trainer.callback_metrics)
    if data.val_utterances and trainer.max_steps % int(trainer.val_check_interval):
        trainer.validate(recognizer, datamodule=data, verbose=False)
        metrics |= trainer.callback_metrics
    return {name: float(value) for name, value in metrics.items()}


@contextmanager
def _stoppable(trainer: pl.Trainer, folder: Path) -> Iterator[None]:
    """Turn the exit with which Lightning answers Ctrl-C back into a KeyboardInterrupt, after keeping the weights."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if not trainer.interrupted:
            raise
        weights = folder / "model.ckpt"
        if not weights.exists():
            weights = folder / "interrupted.ckpt"
            trainer.save_checkpoint(weights)
        signal.signal(signal.SIGINT, handler)  # Lightning has made the process deaf to it
        raise KeyboardInterrupt(f"the weights after step {trainer.global_step} are in {weights}") from stop


def _details(
    data: SpeechDataModule,
    recognizer: SpeechRecognizer,
    trainer: pl.Trainer,
    minutes: float,
    metrics: Mapping[str, float],
) -> dict[str, object]:
    import lightning

    from speechaug import __version__

    return {
        "training recordings": _count(data, "train", data.train_utterances),
        "training speakers": len({utterance.speaker for utterance in data.train_utterances}),
        "validation recordings": _count(data, "val", data.val_utterances),
        "test recordings": _count(data, "test", data.test_utterances),
        "test speakers": len({utterance.speaker for utterance in data.test_utterances}),
        **_new_tokens(data, recognizer.tokenizer),
        "recordings per string": " to ".join(map(str, sorted(set(data.concat)))),
        "model size": recognizer.hparams["size"],
        "parameters": f"{sum(p.numel() for p in recognizer.parameters()):,}",
        "learning rate": recognizer.hparams["lr"],
        "batch size": data.batch_size,
        "steps": trainer.max_steps,
        "seed": data.seed,
        **_outcome(metrics),
        "minutes": f"{minutes:.1f}",
        "device": str(trainer.strategy.root_device),
        "versions": f"speechaug {__version__}, torch {torch.__version__}, lightning {lightning.__version__}",
    }


def _count(data: SpeechDataModule, side: str, usable: Sequence[Utterance]) -> str:
    left_out = data.left_out.get(side, 0)
    return f"{len(usable)} ({left_out} left out)" if left_out else str(len(usable))


def _new_tokens(data: SpeechDataModule, tokenizer: Tokenizer) -> dict[str, object]:
    """Tell what is tested but was never trained, so cannot be recognized: it explains errors."""
    new = sorted({token for said in data.test_utterances for token in _unknown(said, tokenizer)})
    what = "words" if tokenizer.unit == "word" else "characters"
    return {f"test {what} never trained": f"{len(new)} ({shorten(list(map(repr, new)))})" if new else "none"}


def _outcome(metrics: Mapping[str, float]) -> dict[str, object]:
    said: dict[str, object] = {}
    if math.isfinite(metrics.get("val_wer", math.nan)):
        said["validation word error rate"] = f"{metrics['val_wer']:.1%}"
    lost = {"train_infeasible": "too short for their transcript", "train_nonfinite": "not finite"}
    for name, why in lost.items():
        if metrics.get(name, 0) > 0:
            said[f"left out of the last epoch, {why}"] = int(metrics[name])
    return said


def _write_config(config: Mapping[str, Any], folder: Path) -> None:
    import yaml

    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    (folder / "config.yaml").write_text(text, encoding="utf-8")


def _write(run: Run, folder: Path) -> None:
    lines = "".join(json.dumps(result, sort_keys=True) + "\n" for result in run.results)
    (folder / "results.jsonl").write_text(lines, encoding="utf-8")
    for policy in run.policies:
        save_policy(policy, folder / ("policy.yaml" if policy.domain == "waveform" else "spec_policy.yaml"))


_ANSWERED = (
    "The '.*_dataloader' does not have many workers",
    "Consider setting `persistent_workers=True` in 'test_dataloader'",
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
