"""What the commands ``speechaug evaluate``, ``corrupt`` and ``report`` do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechaug.data.findings import count_left_out, summarize
from speechaug.data.sources import read_manifest
from speechaug.robustness.corrupt import corrupt
from speechaug.robustness.evaluate import evaluate
from speechaug.robustness.recognizers import (
    TIMEOUT_S,
    Recognizer,
    from_bundle,
    from_checkpoint,
    from_command,
    from_hugging_face,
)
from speechaug.robustness.report import load_run, report
from speechaug.robustness.sets import is_noisy_sets

RECOGNIZERS = ("checkpoint", "model", "bundle", "command")
"""Options of ``evaluate`` of which one says what recognizes."""


def run_evaluate(
    *,
    data: str,
    checkpoint: str | None = None,
    model: str | None = None,
    bundle: str | None = None,
    command: str | None = None,
    suite: str | list[str] | None = "standard",
    output: str = "runs/evaluate",
    baseline: str | None = None,
    pattern: str | None = None,
    noise: str | None = None,
    rooms: str | None = None,
    seed: int = 0,
    draws: int = 1,
    limit: int | None = None,
    normaliser: str = "basic",
    policy: str | None = None,
    groups: dict[str, str] | None = None,
    name: str | None = None,
    sample_rate: int | None = None,
    timeout_s: float = TIMEOUT_S,
    batch_size: int = 16,
    workers: int | None = None,
    devices: str | list[str] = "auto",
    cache: str | None = None,
    examples: int = 6,
    progress: bool | None = None,
) -> Path:
    """Measure how robust a recognizer is in noise, rooms, telephones and faults, and write a report.

    Args:
        data: table, folder, tar or list of recordings with transcripts; or a folder of noisy test sets.
        checkpoint: file of a SpeechRecognizer.
        model: folder of a Hugging Face model with its processor: Whisper, wav2vec2 and other CTC models.
        bundle: name in torchaudio.pipelines, such as WAV2VEC2_ASR_BASE_960H.
        command: program to run for each utterance, without a shell; {wav} stands for the file, the text is printed.
        suite: tiny, standard, full, srb, or names such as '[white:3,babble:2]'; null if the folders in data are noisy
            test sets of other makers.
        output: folder for results.jsonl, evaluation.json, the report and the transcripts; a run goes on where it was.
        baseline: folder of another evaluation of the same data, which this one is compared with.
        pattern: of file names, for folders, such as '{text}_{speaker}_{take}.wav'.
        noise: folder of noise instead of the suite's own.
        rooms: folder of room responses instead of the suite's own.
        seed: of the corruptions.
        draws: how often each condition is drawn.
        limit: how many utterances to take, spread evenly over all; by default all.
        normaliser: none, text, basic or english-whisper: of both texts.
        policy: YAML file of the policy the recognizer was trained with, whose families are marked; by default that of
            the checkpoint, by which clips of noise are not compared.
        groups: what the scores are broken down by, for each speaker, such as '{ann: north, ben: south}'.
        name: of the recognizer, in tables; by default its own.
        sample_rate: what a command hears, in Hz; by default 16,000. Others know their own.
        timeout_s: longest time of a command for an utterance, in seconds.
        batch_size: most utterances the recognizer is given at once.
        workers: processes that render; 0 renders in this one; by default as many as there are cores.
        devices: auto, or such as '[cuda:0,cuda:1]': each gets a copy of the model; a command chooses its own.
        cache: file of the transcripts; by default transcripts.jsonl in the output folder.
        examples: how many utterances can be listened to in the report; 0 for none.
        progress: whether to show a bar on stderr; by default on a terminal.

    Returns:
        The page of the report.
    """
    folder = Path(output)
    if baseline is not None:
        load_run(baseline)  # what is wrong with it is told now, not after the evaluation
    spoken: Any = data if suite is None or is_noisy_sets(data) else read_manifest(data, _for_folders(data, pattern))
    with _going_on(folder):
        evaluation = evaluate(
            _recognizer(checkpoint, model, bundle, command, sample_rate, timeout_s, devices),
            spoken,
            suite=suite,
            seed=seed,
            draws=draws,
            batch_size=batch_size,
            workers=workers,
            noise=noise,
            rooms=rooms,
            normaliser=normaliser,
            output=folder,
            cache=cache,
            name=name,
            limit=limit,
            policy=policy,
            progress=progress,
            pattern=pattern,
            groups=groups,
            sample_rate=sample_rate,
            devices=devices,
        )
    if not any(record["hypothesis_raw"] for record in evaluation.records):
        told = " (a command must print it on stdout)" if command is not None else ""
        warnings.warn(f"evaluate: the recognizer gave no text for any utterance{told}", UserWarning, stacklevel=2)
    return report(
        [output],
        baseline=baseline,
        output=str(folder / "report.html"),
        data=spoken if examples else None,
        pattern=pattern,
        noise=noise,
        rooms=rooms,
        examples=examples,
    )


@contextmanager
def _going_on(folder: Path) -> Iterator[None]:
    """Tell who presses Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"the same command goes on with what is in {folder}") from stop


def _for_folders(data: str, pattern: str | None) -> str | None:
    return pattern if Path(data).is_dir() else None


def _recognizer(
    checkpoint: str | None,
    model: str | None,
    bundle: str | None,
    command: str | None,
    sample_rate: int | None,
    timeout_s: float,
    devices: Any,
) -> Recognizer:
    if command is not None:
        options = {} if sample_rate is None else {"sample_rate": sample_rate}
        return from_command(command, timeout_s=timeout_s, **options)
    if model is not None:
        return from_hugging_face(model, devices=devices)
    if bundle is not None:
        return from_bundle(bundle, devices=devices)
    return from_checkpoint(str(checkpoint), devices=devices)


def run_corrupt(
    src: str,
    dst: str,
    *,
    suite: str | list[str] = "standard",
    pattern: str | None = None,
    sample_rate: int | None = None,
    noise: str | None = None,
    rooms: str | None = None,
    seed: int = 0,
    draw: int = 0,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> None:
    """Write noisy test sets: every recording in every condition of the suite, with a manifest each.

    Args:
        src: table, folder, tar or list of recordings with transcripts.
        dst: folder to write to, outside src; a run that was stopped goes on where it was.
        suite: tiny, standard, full, srb, or names such as '[white:3,babble:2]'.
        pattern: of file names, for folders, such as '{text}_{speaker}_{take}.wav'.
        sample_rate: of the sets, in Hz; by default that of most recordings.
        noise: folder of noise instead of the suite's own.
        rooms: folder of room responses instead of the suite's own.
        seed: of the corruptions.
        draw: number of the draw, from 0.
        limit: how many recordings to take, spread evenly over all; by default all.
        workers: processes that render; 0 renders in this one; by default as many as there are cores.
        progress: whether to show a bar on stderr; by default on a terminal.
    """
    with _going_on(Path(dst)):
        written = corrupt(
            src,
            dst,
            suite=suite,
            pattern=pattern,
            sample_rate=sample_rate,
            noise=noise,
            rooms=rooms,
            seed=seed,
            draw=draw,
            limit=limit,
            workers=workers,
            progress=progress,
        )
    lost = count_left_out(written.findings)
    if lost:
        total = written.files // len(written.suite) + lost
        warnings.warn(f"corrupt: {summarize(written.findings, total)}", UserWarning, stacklevel=2)
    new = "" if written.made == written.files else f", {written.made} of them new"
    print(f"Wrote {written.files} files{new}, {len(written.suite)} conditions, to {written.folder}")
