"""The guide's recipes for other training frameworks, each run as written and compared with the policy itself."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from torch import nn
from torch.utils.data import DataLoader

import speechaug as sa
from speechaug import _torchaudio, audio
from speechaug.interop import AugmentingCollator, EpochDataset

GUIDE = (Path(__file__).parents[1] / "docs" / "guides" / "frameworks.md").read_text(encoding="utf-8")

RATE = 16_000
POLICY = sa.Compose([sa.Speed(factor=(0.8, 1.25)), sa.Gain(), sa.AddColoredNoise()])


def needs(*names):
    """Skip where a framework that the package does not need is not installed."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def snippet(heading):
    """Return the Python block under a heading of the guide, up to the next heading."""
    section = f"\n{GUIDE}".split(f"\n{heading}\n", 1)[1]
    section = re.split(r"\n## ", section, maxsplit=1)[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 1, heading
    return blocks[0]


def run(heading, scope, replace=()):
    code = snippet(heading)
    for old, new in replace:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    exec(compile(code, f"frameworks.md, {heading}", "exec"), scope)
    return scope


def waves(count=4):
    generator = np.random.default_rng(0)
    return {f"utt-{i}": (generator.standard_normal(6_000 - 700 * i) * 0.1).astype(np.float32) for i in range(count)}


def augmented(name, epoch, policy=POLICY, seed=0):
    """Return an utterance of :func:`waves` as the policy makes it, alone."""
    x = torch.from_numpy(waves()[name])[None]
    draws = policy.sample(sa.Rng.from_ids(seed=seed, epoch=epoch, ids=[name]))
    y, lengths = policy(x, None, draws, sample_rate=RATE)
    return y[0, : lengths[0]]


class Head(nn.Module):
    """A model that remembers the rows it saw; the loss is its output, as the recipes have it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, x, lengths, target):
        for row, length, name in zip(x, lengths.tolist(), target, strict=True):
            assert not row[length:].any()
            self.seen.append((name if isinstance(name, str) else int(name), row[:length].detach().clone()))
        return self.scale * x.square().mean()


def given():
    """Make what the recipes name as given."""
    scope = {}
    exec(compile(snippet("# Other training frameworks"), "frameworks.md", "exec"), scope)
    rows = [{"audio": wave, "id": name, "target": i} for i, (name, wave) in enumerate(waves().items())]
    model = Head()
    return {
        "policy": POLICY,
        "loader": DataLoader(rows, batch_size=3, collate_fn=scope["pad"]),
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "device": torch.device("cpu"),
    }


@pytest.mark.parametrize("heading", ["## Plain PyTorch", "## Lightning Fabric"])
@pytest.mark.global_rng
def test_loops(heading):
    scope = given()
    model = scope["model"]
    run(heading, scope)
    assert model.scale.item() != 1.0
    assert [row for row, _ in model.seen] == [0, 1, 2, 3] * 2
    for place, (row, wave) in enumerate(model.seen):
        expected = augmented(f"utt-{row}", epoch=place // 4)
        torch.testing.assert_close(wave, expected, rtol=1e-4, atol=1e-6)


def whisper():
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=20,
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_mel_bins=80,
        max_source_positions=50,
        max_target_positions=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        begin_suppress_tokens=None,
    )
    return WhisperForConditionalGeneration(config), WhisperFeatureExtractor(chunk_length=1, return_attention_mask=True)


def wav2vec2():
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8, 8),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 8),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        mask_time_prob=0.0,
    )
    return Wav2Vec2ForCTC(config), Wav2Vec2FeatureExtractor(return_attention_mask=True)


def labelled():
    """Make rows whose first label tells who they are."""
    return [{"audio": wave, "id": name, "labels": [3 + i, 10, 11]} for i, (name, wave) in enumerate(waves().items())]


QUIET = {"disable_tqdm": True, "use_cpu": True, "seed": 0, "save_strategy": "no", "eval_strategy": "epoch"}


def train_with_trainer(tmp_path, monkeypatch, model, extractor, padding, workers=2, **options):
    """Run the recipe; return its scope and the inputs of each training and evaluation batch."""
    monkeypatch.chdir(tmp_path)
    seen = {True: [], False: []}
    model.register_forward_pre_hook(lambda module, _, inputs: seen[module.training].append(inputs), with_kwargs=True)
    scope = {
        "policy": POLICY,
        "extractor": extractor,
        "model": model,
        "train_rows": labelled(),
        "eval_rows": labelled(),
    }
    settings = ", ".join(f"{name}={value!r}" for name, value in {**QUIET, **options}.items())
    changes = [
        ('padding="max_length"', f"padding={padding!r}"),
        ("dataloader_num_workers=2", f"dataloader_num_workers={workers}, {settings}"),
    ]
    run("## Hugging Face Trainer", scope, changes)
    return scope, seen[True], seen[False]


def features_of(name, epoch, extractor, padding):
    """Return the features of an utterance as the policy makes it, alone; of the clean one where there is no epoch."""
    wave = waves()[name] if epoch is None else augmented(name, epoch).numpy()
    return extractor(wave, sampling_rate=RATE, padding=padding, return_tensors="pt")


def check_inputs(batches, extractor, padding, key, epoch, count=4):
    """Compare every row of some batches with the features it should have; ``count`` rows, each once."""
    names = list(waves())
    rows = [row for batch in batches for row in zip(batch[key], batch["attention_mask"], batch["labels"], strict=True)]
    assert len({int(labels[0]) for *_, labels in rows}) == len(rows) == count
    for features, mask, labels in rows:
        expected = features_of(names[int(labels[0]) - 3], epoch, extractor, padding)
        torch.testing.assert_close(features[..., : expected[key].shape[-1]], expected[key][0], rtol=1e-5, atol=1e-6)
        assert int(mask.sum()) == int(expected["attention_mask"].sum())


@pytest.mark.global_rng
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
@needs("transformers", "accelerate")
class TestTrainer:
    @pytest.fixture(autouse=True)
    def _feature_extractors(self):
        if importlib.util.find_spec("torchaudio") is not None and not _torchaudio.available():
            pytest.skip(f"transformers imports torchaudio, which fails: {_torchaudio.why_not()}")

    @pytest.mark.parametrize(
        ("make", "padding", "key"), [(whisper, "max_length", "input_features"), (wav2vec2, "longest", "input_values")]
    )
    def test_the_recipe(self, tmp_path, monkeypatch, make, padding, key):
        """Each epoch has draws of its own; evaluation, between the epochs, stays clean."""
        model, extractor = make()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        scope, train, evaluation = train_with_trainer(tmp_path, monkeypatch, model, extractor, padding)
        assert scope["trainer"].state.global_step == 2
        assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())
        for epoch in (0, 1):
            check_inputs(train[epoch : epoch + 1], extractor, padding, key, epoch)
            check_inputs(evaluation[epoch : epoch + 1], extractor, padding, key, None)

    @pytest.mark.parametrize("accumulated", [1, 3])
    def test_other_batches(self, tmp_path, monkeypatch, accumulated):
        """Neither the batch size nor the workers nor gradient accumulation change what a row becomes."""
        model, extractor = whisper()
        options = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": accumulated}
        scope, train, _ = train_with_trainer(tmp_path, monkeypatch, model, extractor, "max_length", 0, **options)
        for epoch in (0, 1):
            check_inputs(train[4 * epoch : 4 * epoch + 4], extractor, "max_length", "input_features", epoch)
        assert scope["trainer"].state.epoch == 2.0

    def test_rows_of_datasets(self, tmp_path, monkeypatch):
        """A table of Hugging Face, its sound read by soundfile through the utterances: the recipe's rows."""
        datasets = pytest.importorskip("datasets")
        sounds = []
        for name, wave in waves().items():
            soundfile.write(tmp_path / f"{name}.wav", wave, RATE, subtype="FLOAT")
            sounds.append(str(tmp_path / f"{name}.wav"))
        table = datasets.Dataset.from_dict({"audio": sounds, "id": list(waves()), "text": list("abcd")})
        spoken = sa.read_manifest(table.cast_column("audio", datasets.Audio()))

        def rows(utterances):
            for i, said in enumerate(utterances):
                yield {"audio": audio.read(said.audio, sample_rate=RATE)[0][0], "id": said.id, "labels": [3 + i, 10]}

        stored = datasets.Dataset.from_list(list(rows(spoken))).with_format("numpy")
        monkeypatch.setattr(f"{__name__}.labelled", lambda: stored)
        model, extractor = whisper()
        _, train, evaluation = train_with_trainer(tmp_path, monkeypatch, model, extractor, "max_length", 0)
        for epoch in (0, 1):
            check_inputs(train[epoch : epoch + 1], extractor, "max_length", "input_features", epoch)
            check_inputs(evaluation[epoch : epoch + 1], extractor, "max_length", "input_features", None)

    def test_resumed_within_an_epoch(self, tmp_path, monkeypatch):
        model, extractor = whisper()
        options = {
            "per_device_train_batch_size": 3,
            "save_strategy": "steps",
            "save_steps": 3,
            "save_only_model": False,
        }
        scope, train, _ = train_with_trainer(tmp_path, monkeypatch, model, extractor, "max_length", 0, **options)
        rest = train[3:]
        train.clear()
        scope["train"].set_epoch(0)
        scope["trainer"].train(resume_from_checkpoint="runs/asr/checkpoint-3")
        check_inputs(train, extractor, "max_length", "input_features", epoch=1, count=1)
        assert torch.equal(train[0]["input_features"], rest[0]["input_features"])


@needs("lhotse")
@pytest.mark.global_rng
def test_lhotse(tmp_path):
    """Cuts of a folder of recordings, one of them with two supervisions; read by soundfile."""
    from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

    cuts = []
    for name, wave in waves().items():
        soundfile.write(tmp_path / f"{name}.wav", wave, RATE, subtype="FLOAT")
        recording = Recording.from_file(tmp_path / f"{name}.wav", recording_id=name)
        half = recording.duration / 2
        parts = [SupervisionSegment(f"{name}-{i}", name, i * half, half, text=t) for i, t in enumerate((name, "b"))]
        cuts.append(MonoCut(name, 0.0, recording.duration, 0, supervisions=parts, recording=recording))
    model = Head()
    run(
        "## lhotse",
        {"policy": POLICY, "cuts": CutSet(cuts), "model": model, "device": torch.device("cpu")},
        [("max_duration=60.0", "max_duration=0.8")],
    )
    assert len(model.seen) == 8
    assert sorted(text for text, _ in model.seen) == sorted([f"{name} b" for name in waves()] * 2)
    for place, (text, wave) in enumerate(model.seen):
        expected = augmented(text.split()[0], epoch=place // 4)
        torch.testing.assert_close(wave, expected, rtol=1e-4, atol=1e-6)


def speechbrain_scope(policy, count=4, epoch=0):
    """Make a batch as SpeechBrain pads it: lengths are fractions of the longest row."""
    rows = waves(count)
    longest = max(map(len, rows.values()))
    wavs = torch.zeros(count, longest)
    for row, wave in zip(wavs, rows.values(), strict=True):
        row[: len(wave)] = torch.from_numpy(wave)
    lens = torch.tensor([len(wave) / longest for wave in rows.values()])
    brain = SimpleNamespace(hparams=SimpleNamespace(epoch_counter=SimpleNamespace(current=epoch)))
    return {"policy": policy, "batch": SimpleNamespace(sig=(wavs, lens), id=list(rows)), "self": brain}


def test_speechbrain():
    scope = run("## SpeechBrain", speechbrain_scope(POLICY, epoch=3))
    wavs, wav_lens = scope["wavs"], scope["wav_lens"]
    assert wav_lens.dtype == torch.float32
    assert len(wavs) == 4
    for row, fraction, name in zip(wavs, wav_lens, waves(), strict=True):
        length = int((fraction * wavs.shape[1]).round())
        torch.testing.assert_close(row[:length], augmented(name, epoch=3), rtol=1e-4, atol=1e-6)
        assert not row[length:].any()


def test_speechbrain_lengths_survive_being_fractions():
    """A fraction in float32 gives its number of samples back, up to four minutes at 16 kHz."""
    scope = run("## SpeechBrain", speechbrain_scope(POLICY))
    seen = []

    class Spy:
        def sample(self, rng):
            return None

        def __call__(self, wavs, lengths, draws, *, sample_rate):
            seen.append(lengths)
            return wavs, lengths

    scope["policy"] = Spy()
    generator = np.random.default_rng(1)
    for width in (1, 15_999, 160_001, 480_000, 3_840_000):
        lengths = np.unique(np.append(generator.integers(0, width + 1, 500), width))
        fractions = torch.tensor(lengths / width, dtype=torch.float32)
        _, again = scope["augment"](torch.zeros(1, 1).expand(len(lengths), width), fractions, ids=[], epoch=0)
        assert seen[-1].tolist() == lengths.tolist()
        assert torch.equal(again, fractions)


def rows_and_collator(policy=POLICY, **options):
    rows = [{"audio": wave, "id": name} for name, wave in waves().items()]
    return rows, AugmentingCollator(list, policy, sample_rate=RATE, **options)


def epochs_of(loader, train, epochs=3):
    """Return what each epoch makes of each utterance."""
    seen = []
    for epoch in range(epochs):
        train.set_epoch(epoch)
        seen.append({row["id"]: row for batch in loader for row in batch})
    return seen


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": 0, "batch_size": 4},
        {"num_workers": 2, "batch_size": 1},
        {"num_workers": 2, "batch_size": 3, "persistent_workers": True},
        pytest.param(
            {"num_workers": 1, "batch_size": 2, "persistent_workers": True, "multiprocessing_context": "spawn"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["alone", "workers", "workers that stay", "workers that start afresh"],
)
def test_the_collator_does_not_depend_on_batches_or_workers(options):
    rows, collate = rows_and_collator(seed=0)
    train = EpochDataset(rows)
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(train, collate_fn=collate, shuffle=True, generator=generator, **options)
    for epoch, seen in enumerate(epochs_of(loader, train)):
        assert sorted(seen) == sorted(waves())
        for name, row in seen.items():
            assert set(row) == {"audio", "id"}
            assert np.array_equal(row["audio"], augmented(name, epoch).numpy())


def test_rows_without_an_epoch_are_handed_on_untouched():
    rows, collate = rows_and_collator()
    assert all(after is before for after, before in zip(collate(rows), rows, strict=True))


def test_forms_of_audio():
    """Tensors, lists, read-only arrays, channels and the dictionary of an Audio column."""
    _, collate = rows_and_collator()
    wave = waves()["utt-0"]
    expected = augmented("utt-0", 2).numpy()
    frozen = wave.copy()
    frozen.flags.writeable = False
    forms = [torch.from_numpy(wave), frozen, {"array": wave, "sampling_rate": RATE, "path": "a.wav"}]
    results = [row["audio"] for row in collate([{"audio": form, "id": "utt-0", "epoch": 2} for form in forms])]
    assert results[2].pop("path") == "a.wav"
    assert results[2].pop("sampling_rate") == RATE
    for result in (*results[:2], results[2]["array"]):
        assert result.dtype == np.float32
        assert np.array_equal(result, expected)
    both = {"audio": np.stack([wave, -wave]), "id": "utt-0", "epoch": 2}
    assert collate([both])[0]["audio"].shape == (2, len(expected))
    assert np.array_equal(both["audio"][0], wave)
    as_list = {"audio": wave.tolist(), "id": "utt-0", "epoch": 2}
    np.testing.assert_allclose(collate([as_list])[0]["audio"], expected, rtol=1e-4, atol=1e-6)


class Decoder:
    """What datasets makes of an Audio column: subscripted by two names, but no mapping."""

    def __init__(self, wave):
        self.get_all_samples = lambda: wave

    def __getitem__(self, key):
        return {"array": self.get_all_samples(), "sampling_rate": RATE}[key]


def test_an_audio_column_decoded_by_torchcodec():
    _, collate = rows_and_collator()
    row = {"audio": Decoder(waves()["utt-0"]), "id": "utt-0"}
    after, clean = collate([{**row, "epoch": 2}, row])
    assert np.array_equal(after["audio"]["array"], augmented("utt-0", 2).numpy())
    assert after["audio"]["sampling_rate"] == clean["audio"]["sampling_rate"] == RATE
    assert clean is row


def test_mistakes_are_named():
    rows, collate = rows_and_collator()
    with pytest.raises(ValueError, match=r"row must have the key 'audio', got \['epoch', 'id'\]"):
        collate([{"id": "utt-0", "epoch": 0}])
    with pytest.raises(ValueError, match=r"row must have the key 'id', got \['audio', 'epoch'\]"):
        collate([{"audio": rows[0]["audio"], "epoch": 0}])
    with pytest.raises(ValueError, match="sampling_rate must be 16000, got 8000"):
        collate([{"audio": {"array": rows[0]["audio"], "sampling_rate": 8_000}, "id": "a", "epoch": 0}])
    for samples, told in (
        (np.zeros(9, np.int16), r"int16 of shape \(9,\)"),
        (np.zeros((2, 3, 4)), r"float64 of shape \(2, 3, 4\)"),
        ("a.wav", r"<U5 of shape \(\)"),
        (None, r"object of shape \(\)"),
    ):
        with pytest.raises(ValueError, match=rf"samples must be floating, \(T,\) or \(C, T\), got {told}$"):
            collate([{"audio": samples, "id": "a", "epoch": 0}])
    with pytest.raises(
        ValueError, match=r"audio must hold array and sampling_rate, got \['bytes', 'path'\]; decode it"
    ):
        collate([{"audio": {"bytes": b"", "path": "a.wav"}, "id": "a", "epoch": 0}])
    with pytest.raises(ValueError, match="policy must act on single waveforms, got str"):
        AugmentingCollator(list, "small_sample", sample_rate=RATE)
    with pytest.raises(ValueError, match="policy must act on single waveforms, got Compose"):
        AugmentingCollator(list, sa.presets.specaugment("LD"), sample_rate=RATE)
    with pytest.raises(ValueError, match="set_epoch must be called before each epoch"):
        EpochDataset(rows)[0]
    with pytest.raises(ValueError, match="rows must be a dataset with a length, got generator"):
        EpochDataset(row for row in rows)
    assert len(EpochDataset(rows)) == 4
