"""Whatever recognizes speech, as one thing: waveforms in, texts out, at its own rate and under a name that lasts."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import torch

from speechaug import _torchaudio, audio
from speechaug.audio import FloatArray
from speechaug.robustness.fingerprints import file_fingerprint, function_fingerprint, lasting, model_fingerprint

if TYPE_CHECKING:
    from speechaug.asr import SpeechRecognizer

Transcribe = Callable[[list[FloatArray]], Sequence[Any]]
"""Makes a text of each waveform ``(T,)``; an exception in place of a text says that this one failed."""

Devices = Literal["auto"] | Sequence[str]
"""``"auto"``, or names such as ``["cuda:0", "cuda:1"]``, of which each gets a copy of the model."""

SAMPLE_RATE = 16_000
"""What a function or a command hears if it does not say otherwise, in Hz."""

TIMEOUT_S = 600.0
"""How long a command may think about one utterance, in seconds."""

_OTHER_FILES = (LookupError, TypeError, AttributeError, ImportError, RuntimeError, EOFError, ValueError)
"""What reading a file as a checkpoint raises if it is something else."""

_BLANK = "-"  # torchaudio's CTC blank
_WORD_END = "|"


@dataclass(frozen=True, kw_only=True)
class Recognizer:
    """What :func:`speechaug.robustness.evaluate` asks: make one with a function of this module.

    Args:
        kind: ``function``, ``checkpoint``, ``hugging_face``, ``torchaudio`` or ``command``.
        name: what tables call it.
        fingerprint: the same as long as the same is recognized: transcripts are kept under it.
        sample_rate: of the waveforms it hears, in Hz.
        copies: one or more that do the same, each on its device.
        speakers: who it was trained on, as far as its checkpoint tells.

    Example:
        >>> import numpy as np
        >>> hears = from_function(lambda waves: ["seven" for wave in waves], name="seven")
        >>> hears([np.zeros(800, np.float32)]), hears.fingerprint, hears.sample_rate
        (['seven'], 'seven', 16000)
    """

    kind: str
    name: str
    fingerprint: str
    sample_rate: int
    copies: tuple[Transcribe, ...]
    speakers: frozenset[str] = frozenset()

    def __call__(self, waves: list[FloatArray]) -> Sequence[Any]:
        """Transcribe on the first device."""
        return self.copies[0](waves)


def as_recognizer(
    source: Any, *, sample_rate: int | None = None, devices: Devices = "auto", name: str | None = None
) -> Recognizer:
    """Return a recognizer for anything that is one.

    Args:
        source: a :class:`Recognizer`; a ``SpeechRecognizer`` or its checkpoint (a file); a folder of a Hugging Face
            model, or a pair of model and processor; a torchaudio pipeline bundle; a command with ``{wav}`` in it; or a
            function from a list of float32 waveforms ``(T,)`` to as many texts, with an attribute ``sample_rate`` if
            that is not 16,000 Hz.
        sample_rate: what a function or a command hears, in Hz; None for what it declares. Others know their own.
        devices: where a model runs; ``"auto"`` leaves a model where it is, and puts one that is loaded from a file on
            every CUDA device there is, or on the CPU.
        name: of a function, for tables and the cache of transcripts; give another name for another model. None for its
            qualified name, in the cache together with its code and what it uses, see
            :func:`speechaug.robustness.fingerprints.function_fingerprint`.

    Raises:
        ValueError: if it is none of these, or hears another rate than the one given.

    Example:
        >>> as_recognizer(lambda waves: ["seven"] * len(waves), sample_rate=8_000).sample_rate
        8000
    """
    from speechaug.asr import SpeechRecognizer

    is_path = isinstance(source, (str, Path))
    if isinstance(source, Recognizer):
        found = source
    elif isinstance(source, SpeechRecognizer):
        found = from_checkpoint(source, devices=devices)
    elif isinstance(source, str) and "{wav}" in source:
        found = from_command(source, sample_rate=sample_rate or SAMPLE_RATE)
    elif isinstance(source, tuple) or (is_path and Path(source).is_dir()):
        found = from_hugging_face(source, devices=devices)
    elif is_path:
        found = from_checkpoint(source, devices=devices)
    elif callable(getattr(source, "get_model", None)):
        found = from_bundle(source, devices=devices)
    elif callable(source):
        found = from_function(source, sample_rate=sample_rate, name=name)
    else:
        raise ValueError(
            "evaluate: transcribe must be a function, a SpeechRecognizer or its checkpoint, a Hugging Face model and "
            f"processor or their folder, a torchaudio bundle or a command with {{wav}}, got {type(source).__name__}"
        )
    if sample_rate not in (None, found.sample_rate):
        raise ValueError(f"evaluate: sample_rate must be the recognizer's, {found.sample_rate}, got {sample_rate}")
    return found


def from_function(transcribe: Transcribe, *, sample_rate: int | None = None, name: str | None = None) -> Recognizer:
    """Return a recognizer that calls a function; arguments as in :func:`as_recognizer`."""
    known = transcribe if hasattr(transcribe, "__qualname__") else type(transcribe)
    rate = sample_rate or getattr(transcribe, "sample_rate", None) or SAMPLE_RATE
    return Recognizer(
        kind="function",
        name=name or known.__name__,
        fingerprint=name or function_fingerprint(transcribe),
        sample_rate=int(rate),
        copies=(transcribe,),
    )


def from_checkpoint(source: SpeechRecognizer | str | Path, *, devices: Devices = "auto") -> Recognizer:
    """Return a recognizer for a ``SpeechRecognizer``, decoded as it decodes, or for the file of its checkpoint.

    Args:
        source: the module, or the path of a checkpoint.
        devices: as in :func:`as_recognizer`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no checkpoint of a ``SpeechRecognizer``.
    """
    from speechaug.asr import SpeechRecognizer

    if isinstance(source, SpeechRecognizer):
        fingerprint = model_fingerprint([dict(source.hparams), repr(source.decoder)], source)
        models = [source] if devices == "auto" else [_again(source).to(place) for place in _places(devices)]
    else:
        fingerprint = file_fingerprint(Path(source))
        loaded = _load_checkpoint(Path(source))
        models = [_again(loaded).to(place) for place in _places(devices)]
    rate = int(models[0].features.sample_rate)

    def hearing(model: SpeechRecognizer) -> Transcribe:
        return lambda waves: model.transcribe(waves, rate, progress=False)

    return Recognizer(
        kind="checkpoint",
        name="SpeechRecognizer" if isinstance(source, SpeechRecognizer) else _checkpoint_name(Path(source)),
        fingerprint=fingerprint,
        sample_rate=rate,
        copies=tuple(hearing(model) for model in models),
        speakers=frozenset() if isinstance(source, SpeechRecognizer) else _trained_speakers(Path(source)),
    )


def from_hugging_face(source: str | Path | tuple[Any, Any], *, devices: Devices = "auto") -> Recognizer:
    """Return a recognizer for a model of ``transformers``: one that generates (Whisper) or CTC (wav2vec2, HuBERT).

    Language and task are those of the model's ``generation_config``; set them there. Audio beyond what Whisper hears at
    once is generated in its long form. CTC models whose processor makes no attention mask hear each waveform alone, so
    that padding changes nothing.

    Args:
        source: folder that holds model and processor (nothing is downloaded), or the two.
        devices: as in :func:`as_recognizer`.

    Raises:
        ValueError: if the model does neither.
    """
    loaded = not isinstance(source, tuple)
    model, processor = source if isinstance(source, tuple) else _load_hugging_face(Path(source))
    generates = bool(getattr(model.config, "is_encoder_decoder", False))
    if not generates and not type(model).__name__.endswith("ForCTC"):
        raise ValueError(f"evaluate: model must generate text or end in ForCTC, got {type(model).__name__}")
    texts = _generated if generates else _best_path
    rate = int(getattr(processor, "feature_extractor", processor).sampling_rate)
    vocabulary: dict[str, int] = getattr(getattr(processor, "tokenizer", None), "get_vocab", dict)()
    settings = [lasting(model.config), lasting(getattr(model, "generation_config", None)), vocabulary]
    copies = _copies(model, devices, loaded)
    return Recognizer(
        kind="hugging_face",
        name=Path(str(source)).name if loaded else type(model).__name__,
        fingerprint=model_fingerprint(settings, model),
        sample_rate=rate,
        copies=tuple(_without_gradients(texts, each, processor, rate) for each in copies),
    )


def from_bundle(bundle: Any, *, devices: Devices = "auto") -> Recognizer:
    """Return a recognizer for a torchaudio pipeline bundle of CTC models, such as ``WAV2VEC2_ASR_BASE_960H``.

    Each waveform is computed alone, as these models want it; the text is that of the best path.

    Args:
        bundle: the bundle, or its name; its weights are fetched by torchaudio if they are not there yet.
        devices: as in :func:`as_recognizer`.

    Raises:
        ImportError: for a name, if torchaudio cannot be imported.
        ValueError: if there is no such bundle, or it is not of this kind.
    """
    name = bundle if isinstance(bundle, str) else type(bundle).__name__
    if isinstance(bundle, str):
        pipelines = _torchaudio.require("evaluating a pipeline bundle").pipelines
        if not hasattr(pipelines, bundle):
            raise ValueError(f"evaluate: bundle must be a name in torchaudio.pipelines, got {bundle!r}")
        bundle = getattr(pipelines, bundle)
    if not callable(getattr(bundle, "get_labels", None)):
        raise ValueError(f"evaluate: bundle must be one of CTC models, with get_labels(), got {type(bundle).__name__}")
    labels, rate, model = list(bundle.get_labels()), int(bundle.sample_rate), bundle.get_model()
    copies = _copies(model, devices, loaded=True)
    return Recognizer(
        kind="torchaudio",
        name=name,
        fingerprint=model_fingerprint([labels, rate], model),
        sample_rate=rate,
        copies=tuple(_without_gradients(_best_labels, each, labels, rate) for each in copies),
    )


def from_command(command: str, *, sample_rate: int = SAMPLE_RATE, timeout_s: float = TIMEOUT_S) -> Recognizer:
    """Return a recognizer that runs a program once for each utterance and reads what it prints.

    There is no shell: the command is split into words once, and ``{wav}`` in them becomes the path of a 16-bit WAV file
    whose name is made here, so that no name of yours is ever interpreted. What exits with another code than 0 or takes
    too long has failed on this utterance.

    Args:
        command: such as ``"my_asr --beam 8 {wav}"``; quotes keep words together.
        sample_rate: of the WAV files, in Hz.
        timeout_s: longest time for an utterance, in seconds.

    Raises:
        ValueError: if ``{wav}`` is missing, the quotes do not match, or there is no such program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"evaluate: command must be words, quotes in pairs, got {command!r} ({error})") from error
    if not any("{wav}" in word for word in words[1:]):
        raise ValueError(f"evaluate: command must hold {{wav}} after the program, got {command!r}")
    if shutil.which(words[0]) is None:
        raise ValueError(f"evaluate: command must begin with a program that can be run, got {words[0]!r}")
    if not timeout_s > 0:
        raise ValueError(f"evaluate: timeout_s must be > 0, got {timeout_s!r}")

    def transcribe(waves: list[FloatArray]) -> list[str | Exception]:
        with TemporaryDirectory(prefix="speechaug-") as folder:
            return [_run(words, Path(folder, f"{number}.wav"), wave) for number, wave in enumerate(waves)]

    def _run(words: list[str], path: Path, wave: FloatArray) -> str | Exception:
        audio.write(path, wave, sample_rate)
        given = [word.replace("{wav}", str(path)) for word in words]
        try:
            code, said, complaint = _output(given, timeout_s)
        except subprocess.TimeoutExpired:
            return TimeoutError(f"took longer than {timeout_s:g} s")
        except UnicodeDecodeError as error:
            return error
        if code:
            last = (complaint.strip().splitlines() or [""])[-1].replace(str(path), "{wav}")
            return RuntimeError(f"exit code {code}{': ' if last else ''}{last}")
        return said.strip()

    fingerprint = f"command:{hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]}"
    return Recognizer(
        kind="command",
        name=Path(words[0]).name,
        fingerprint=fingerprint,
        sample_rate=sample_rate,
        copies=(transcribe,),
    )


def _output(words: list[str], timeout_s: float) -> tuple[int, str, str]:
    """Run a program: its exit code, and what it prints; one that is stopped takes along whatever it started."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        try:
            said, complaint = process.communicate(timeout=timeout_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, said.decode(), complaint.decode(errors="replace")


# Hugging Face and torchaudio.


def _without_gradients(texts: Callable[..., list[str]], model: Any, how: Any, rate: int) -> Transcribe:
    def transcribe(waves: list[FloatArray]) -> list[str]:
        with torch.inference_mode():
            return texts(model.eval(), how, waves, rate)

    return transcribe


def _generated(model: Any, processor: Any, waves: list[FloatArray], rate: int) -> list[str]:
    extractor = getattr(processor, "feature_extractor", processor)
    options: dict[str, Any] = {"return_attention_mask": True}
    timestamps = {}
    if max(map(len, waves)) > getattr(extractor, "n_samples", float("inf")):  # Whisper would cut it
        options |= {"truncation": False, "padding": "longest"}
        timestamps = {"return_timestamps": True}
    inputs = processor(waves, sampling_rate=rate, return_tensors="pt", **options).to(model.device)
    tokens = model.generate(**inputs, **timestamps)
    return [str(text).strip() for text in processor.batch_decode(tokens, skip_special_tokens=True)]


def _best_path(model: Any, processor: Any, waves: list[FloatArray], rate: int) -> list[str]:
    lengths_of = getattr(model, "_get_feat_extract_output_lengths", None)
    masks = getattr(getattr(processor, "feature_extractor", processor), "return_attention_mask", False)
    if len(waves) > 1 and not (masks and lengths_of):
        return [text for wave in waves for text in _best_path(model, processor, [wave], rate)]
    inputs = processor(waves, sampling_rate=rate, return_tensors="pt", padding=True).to(model.device)
    best = model(**inputs).logits.argmax(-1)
    frames = [best.shape[1]] * len(waves)
    if len(waves) > 1 and lengths_of:
        frames = lengths_of(inputs["attention_mask"].sum(-1)).tolist()
    rows = [row[:count] for row, count in zip(best.tolist(), frames, strict=True)]
    return [str(text).strip() for text in processor.batch_decode(rows, skip_special_tokens=True)]


def _best_labels(model: Any, labels: Sequence[str], waves: list[FloatArray], rate: int) -> list[str]:
    device = next(model.parameters()).device
    texts = []
    for wave in waves:
        emissions, _ = model(torch.from_numpy(wave)[None].to(device))
        best = torch.unique_consecutive(emissions[0].argmax(-1)).tolist()
        said = "".join(labels[index] for index in best if labels[index] != _BLANK)
        texts.append(" ".join(said.replace(_WORD_END, " ").split()))
    return texts


def _load_hugging_face(folder: Path) -> tuple[Any, Any]:
    import transformers

    if not (folder / "config.json").is_file():
        raise ValueError(f"evaluate: model must be a folder with config.json, got {str(folder)!r}")
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    ctc = any(name.endswith("ForCTC") for name in config.architectures or ())
    kind = transformers.AutoModelForCTC if ctc else transformers.AutoModelForSpeechSeq2Seq
    model = kind.from_pretrained(folder, local_files_only=True)
    return model, transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)


# Devices.


def _places(devices: Devices) -> list[str]:
    if devices == "auto":
        count = torch.cuda.device_count()
        return [f"cuda:{number}" for number in range(count)] or ["cpu"]
    if isinstance(devices, str) or not devices:
        raise ValueError(f"evaluate: devices must be 'auto' or a list such as ['cuda:0'], got {devices!r}")
    return list(devices)


def _copies(model: Any, devices: Devices, loaded: bool) -> list[Any]:
    if devices == "auto" and not loaded:
        return [model]
    return [copy.deepcopy(model).to(place) for place in _places(devices)]


def _again(model: SpeechRecognizer) -> SpeechRecognizer:
    """Return a copy without the Trainer that a module drags along."""
    made = type(model)(**model.hparams)
    made.load_state_dict(model.state_dict())
    made.decoder = model.decoder
    return made


def _checkpoint_name(path: Path) -> str:
    """Return the file's name, or where that is the one that every training writes, its folder's."""
    return path.resolve().parent.name if path.name == "model.ckpt" else path.stem


def _trained_speakers(path: Path) -> frozenset[str]:
    """Return the speakers that a SpeechDataModule trained on, by its state; none if another one did."""
    held = torch.load(path, map_location="cpu", weights_only=True)
    states = (state for name, state in held.items() if name.endswith("DataModule") and isinstance(state, dict))
    return frozenset(speaker for state in states for speaker in state.get("speakers", ()))


def _load_checkpoint(path: Path) -> SpeechRecognizer:
    from speechaug.asr import SpeechRecognizer

    try:
        return SpeechRecognizer.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except (*_OTHER_FILES, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: is not a checkpoint of a SpeechRecognizer ({reason})") from error
