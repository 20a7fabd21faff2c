"""Models of ``transformers``: those that generate text, and CTC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechaug.audio import FloatArray
from speechaug.robustness.fingerprints import lasting, model_fingerprint
from speechaug.robustness.recognizers.recognizer import Devices, Recognizer, copies_of, without_gradients


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
    copies = copies_of(model, devices, loaded)
    return Recognizer(
        kind="hugging_face",
        name=Path(str(source)).name if loaded else type(model).__name__,
        fingerprint=model_fingerprint(settings, model),
        sample_rate=rate,
        copies=tuple(without_gradients(texts, each, processor, rate) for each in copies),
    )


def _generated(model: Any, processor: Any, waves: list[FloatArray], rate: int) -> list[str]:
    extractor = getattr(processor, "feature_extractor", processor)
    options: dict[str, Any] = {"return_attention_mask": True}
    timestamps = {}
    if max(map(len, waves)) > getattr(extractor, "n_samples", float("inf")):  # Whisper would cut it
        options |= {"truncation": False, "padding": "longest"}
        timestamps = {"return_timestamps": True}
    inputs = processor(waves, sampling_rate=rate, return_tensors="pt", **options)
    tokens = model.generate(**inputs.to(model.device, model.dtype), **timestamps)
    return [str(text).strip() for text in processor.batch_decode(tokens, skip_special_tokens=True)]


def _best_path(model: Any, processor: Any, waves: list[FloatArray], rate: int) -> list[str]:
    lengths_of = getattr(model, "_get_feat_extract_output_lengths", None)
    masks = getattr(getattr(processor, "feature_extractor", processor), "return_attention_mask", False)
    if len(waves) > 1 and not (masks and lengths_of):
        return [text for wave in waves for text in _best_path(model, processor, [wave], rate)]
    inputs = processor(waves, sampling_rate=rate, return_tensors="pt", padding=True)
    inputs = inputs.to(model.device, model.dtype)
    best = model(**inputs).logits.argmax(-1)
    frames = [best.shape[1]] * len(waves)
    if len(waves) > 1 and lengths_of:
        frames = lengths_of(inputs["attention_mask"].sum(-1)).tolist()
    rows = [row[:count] for row, count in zip(best.tolist(), frames, strict=True)]
    return [str(text).strip() for text in processor.batch_decode(rows, skip_special_tokens=True)]


def _load_hugging_face(folder: Path) -> tuple[Any, Any]:
    import transformers

    if not (folder / "config.json").is_file():
        raise ValueError(f"evaluate: model must be a folder with config.json, got {str(folder)!r}")
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    ctc = any(name.endswith("ForCTC") for name in config.architectures or ())
    kind = transformers.AutoModelForCTC if ctc else transformers.AutoModelForSpeechSeq2Seq
    model = kind.from_pretrained(folder, local_files_only=True)
    return model, transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
