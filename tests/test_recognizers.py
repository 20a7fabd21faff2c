"""Recognizers of every kind through one door, each compared with what its own library says of the same audio."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from test_frameworks import wav2vec2, whisper
from trainings import RATE, recognizer

from speechaug import _torchaudio
from speechaug.robustness import recognizers
from speechaug.robustness.recognizers import as_recognizer, from_command

NET = torch.nn.PReLU()
WAVES = [np.random.default_rng(seed).standard_normal(3_000 + 700 * seed).astype(np.float32) / 9 for seed in range(3)]
SLOW_READER = """
import sys, soundfile
samples, rate = soundfile.read(sys.argv[-1], dtype="int16")
print(sys.argv[1], len(samples), rate, int(samples.astype("int64").sum()), flush=True)
"""


def program(folder: Path, text: str = SLOW_READER) -> str:
    """Write a program and return how to run it."""
    path = folder / "my asr; echo.py"
    path.write_text(text, encoding="utf-8")
    return f"{sys.executable} '{path}'"


# Functions


def test_a_function_is_called_by_its_name():
    def hears(waves):
        return [str(len(wave)) for wave in waves]

    found = as_recognizer(hears)
    assert found(WAVES) == ["3000", "3700", "4400"]
    assert (found.kind, found.name, found.sample_rate) == ("function", "hears", 16_000)
    assert found.fingerprint.startswith(f"{__name__}.{hears.__qualname__}:")
    assert as_recognizer(hears, name="v2").fingerprint == "v2"
    assert as_recognizer(found) is found


def test_a_function_declares_its_rate():
    class Hears:
        sample_rate = 8_000

        def __call__(self, waves):
            return []

    assert as_recognizer(Hears()).sample_rate == 8_000
    assert as_recognizer(Hears(), sample_rate=11_025).sample_rate == 11_025
    assert as_recognizer(Hears()).fingerprint.startswith(f"{__name__}.{Hears.__qualname__}:")


def test_a_function_that_was_changed_is_another_one():
    made = [
        eval(compile(text, file, "eval"))
        for file in ("a.py", "b.py")
        for text in ("lambda waves: ['a' for x in waves if x in {1, 'b', 'c'}]", "lambda waves: ['b' for x in waves]")
    ]
    prints = [as_recognizer(each).fingerprint for each in made]
    assert prints[:2] == prints[2:] and prints[0] != prints[1]
    assert as_recognizer(sorted).fingerprint == "builtins.sorted"


def says(waves, word):
    return [word] * len(waves)


def test_a_function_that_uses_something_else_is_another_one():
    """What it captured, was given or holds: else the transcripts of another model would be taken for its own."""

    def capturing(value):
        return lambda waves: [str(value)] * len(waves)

    def defaulting(value):
        return lambda waves, value=value: [str(value)] * len(waves)

    class Holding:
        def __init__(self, value):
            self.value = value

        def __call__(self, waves):
            return self.hear(waves)

        def hear(self, waves):
            return [str(self.value)] * len(waves)

    makers = capturing, defaulting, Holding, lambda value: Holding(value).hear, lambda value: partial(says, word=value)
    for make in makers:
        for one, again, two in (("a", "a", "b"), tuple(torch.nn.PReLU(init=slope) for slope in (0.1, 0.1, 0.2))):
            prints = [as_recognizer(make(value)).fingerprint for value in (one, again, two)]
            assert prints[0] == prints[1] != prints[2], (make, prints)


def test_a_function_may_use_a_model_by_its_name():
    def hears(waves):
        return [str(NET(wave)) for wave in waves]

    before = as_recognizer(hears).fingerprint
    assert before == as_recognizer(hears).fingerprint
    with torch.no_grad():
        NET.weight.add_(1.0)
    assert before != as_recognizer(hears).fingerprint


# Checkpoints


def spoken(model):
    """Return a recognizer that says something, untrained as it is."""
    with torch.no_grad():
        model.model.head.bias[0] -= 2.0
    return model


@pytest.mark.global_rng
class TestCheckpoint:
    @pytest.fixture
    def path(self, tmp_path):
        import lightning.pytorch as pl

        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
        trainer.strategy.connect(spoken(recognizer()))
        trainer.save_checkpoint(tmp_path / "model.ckpt")
        return tmp_path / "model.ckpt"

    def test_the_module_and_its_file_say_the_same(self, path):
        model = spoken(recognizer())
        expected = model.transcribe(WAVES, RATE)
        assert any(expected)
        for source in (model, path, str(path)):
            found = as_recognizer(source, devices=["cpu", "cpu"])
            assert (found.kind, found.sample_rate, len(found.copies)) == ("checkpoint", RATE, 2)
            assert [list(each(WAVES)) for each in found.copies] == [expected, expected]

    def test_fingerprints(self, path, tmp_path):
        (tmp_path / "copy.ckpt").write_bytes(path.read_bytes())
        assert as_recognizer(path).fingerprint == as_recognizer(tmp_path / "copy.ckpt").fingerprint
        model = recognizer()
        before = as_recognizer(model).fingerprint
        assert before == as_recognizer(recognizer()).fingerprint
        assert before != as_recognizer(spoken(model)).fingerprint

    def test_names(self, path, tmp_path):
        """Every training writes a model.ckpt: its folder says which; of one name they would be training seeds."""
        for name, expected in (("best.ckpt", "best"), ("digits/model.ckpt", "digits")):
            copy = tmp_path / name
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
            assert as_recognizer(copy).name == expected

    def test_what_is_no_checkpoint(self, tmp_path):
        (tmp_path / "other.ckpt").write_text("no checkpoint")
        torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
        soundfile.write(tmp_path / "sound.wav", np.zeros(100), 8_000)
        for name in ("other.ckpt", "foreign.ckpt", "sound.wav"):
            with pytest.raises(ValueError, match=f"{name}: is not a checkpoint of a SpeechRecognizer"):
                as_recognizer(tmp_path / name)
        with pytest.raises(FileNotFoundError, match=r"absent\.ckpt: no such checkpoint"):
            as_recognizer(tmp_path / "absent.ckpt")

    def test_its_rate_is_its_own(self, path):
        with pytest.raises(ValueError, match="sample_rate must be the recognizer's, 8000, got 16000"):
            as_recognizer(path, sample_rate=16_000)


# Hugging Face


def ctc(folder):
    """Return a tiny wav2vec2 with a tokenizer of its own, the length of whose vocabulary is the model's."""
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2Processor

    model, extractor = wav2vec2()
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmno"]
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    return model.eval(), Wav2Vec2Processor(extractor, Wav2Vec2CTCTokenizer(str(folder / "vocab.json")))


def generating(folder):
    """Return a tiny Whisper and a tokenizer of the letters it has left."""
    from transformers import WhisperProcessor, WhisperTokenizer

    model, extractor = whisper()
    vocabulary = {"<|endoftext|>": 2, **{letter: index for index, letter in enumerate("abcdefghijklmnopq", start=3)}}
    return model.eval(), WhisperProcessor(extractor, WhisperTokenizer(vocab=vocabulary, merges=[]))


@pytest.mark.global_rng
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="not installed: transformers")
@pytest.mark.filterwarnings("ignore:Passing `generation_config` together")
class TestHuggingFace:
    @pytest.fixture(autouse=True)
    def _feature_extractors(self):
        if importlib.util.find_spec("torchaudio") is not None and not _torchaudio.available():
            pytest.skip(f"transformers imports torchaudio, which fails: {_torchaudio.why_not()}")

    def test_ctc_in_a_batch_is_ctc_alone(self, tmp_path):
        model, processor = ctc(tmp_path)
        expected = []
        for wave in WAVES:  # as the documentation of transformers has it
            inputs = processor(wave, sampling_rate=16_000, return_tensors="pt")
            with torch.no_grad():
                best = model(inputs.input_values).logits.argmax(-1)
            expected += processor.batch_decode(best, skip_special_tokens=True)
        found = as_recognizer((model, processor))
        assert len(set(expected)) == 3 and all(expected)
        assert list(found(WAVES)) == expected
        assert (found.kind, found.sample_rate) == ("hugging_face", 16_000)
        processor.feature_extractor.return_attention_mask = False  # as those of wav2vec2-base
        calls = []
        model.register_forward_pre_hook(lambda *_: calls.append(1))
        assert list(as_recognizer((model, processor))(WAVES)) == expected
        assert len(calls) == 3

    def test_whisper_generates(self, tmp_path):
        model, processor = generating(tmp_path)
        with torch.no_grad():
            model.model.encoder.conv1.weight.mul_(300.0)  # so that it hears anything at all
        features = processor(WAVES, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True)
        tokens = model.generate(**features)
        expected = [text.strip() for text in processor.batch_decode(tokens, skip_special_tokens=True)]
        assert any(expected)
        assert list(as_recognizer((model, processor))(WAVES)) == expected

    def test_long_audio_is_not_cut(self, tmp_path, monkeypatch):
        model, processor = generating(tmp_path)
        seen = {}

        def generate(**inputs):
            seen.update(inputs)
            return [[3, 4]]

        monkeypatch.setattr(model, "generate", generate)
        assert list(as_recognizer((model, processor))([np.zeros(40_000, np.float32)])) == ["ab"]
        assert seen["input_features"].shape[-1] == 250  # 2.5 s, of a model that hears one second at once
        assert seen["return_timestamps"] is True

    @pytest.mark.parametrize("make", [ctc, generating])
    def test_half_precision(self, tmp_path, make):
        """As large models are saved; their folder is loaded as it is."""
        model, processor = make(tmp_path)
        for part in (model.to(torch.bfloat16), processor):
            part.save_pretrained(tmp_path / "saved")
        found = as_recognizer(tmp_path / "saved", devices=["cpu"])
        seen = []
        for module in model.modules():
            if isinstance(module, torch.nn.Conv1d):
                module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
        assert list(found(WAVES)) == list(as_recognizer((model, processor))(WAVES))
        assert set(seen) == {torch.bfloat16}

    @pytest.mark.parametrize("make", [ctc, generating])
    def test_a_folder_and_fingerprints(self, tmp_path, make):
        model, processor = make(tmp_path)
        for part in (model, processor):
            part.save_pretrained(tmp_path / "saved")
        found, given = as_recognizer(tmp_path / "saved", devices=["cpu", "cpu"]), as_recognizer((model, processor))
        assert [list(each(WAVES)) for each in found.copies] == [list(given(WAVES))] * 2
        assert found.fingerprint == as_recognizer(str(tmp_path / "saved")).fingerprint
        assert found.name == "saved"
        before = given.fingerprint
        assert before == as_recognizer((model, processor)).fingerprint
        with torch.no_grad():
            next(model.parameters()).add_(1e-3)
        assert before != as_recognizer((model, processor)).fingerprint

    def test_what_cannot_be_used(self, tmp_path):
        from transformers import Wav2Vec2Model

        model, processor = ctc(tmp_path)
        with pytest.raises(ValueError, match="must generate text or end in ForCTC, got Wav2Vec2Model"):
            as_recognizer((Wav2Vec2Model(model.config), processor))
        with pytest.raises(ValueError, match=r"must be a folder with config\.json"):
            as_recognizer(tmp_path)


# torchaudio


class Bundle:
    """A pipeline bundle as torchaudio has them, of a model that hears four levels."""

    sample_rate = 8_000

    def get_labels(self):
        return ("-", "|", "a", "b")

    def get_model(self):
        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = torch.nn.Parameter(torch.tensor(10.0))

            def forward(self, x):
                level = x.unfold(1, 1_000, 1_000).abs().amax(-1) * self.scale
                return torch.nn.functional.one_hot(level.round().long().clamp(0, 3), 4).float(), None

        return Model()


def test_a_bundle():
    levels = [0.2, 0.2, 0.0, 0.2, 0.1, 0.3, 0.3]
    found = as_recognizer(Bundle(), devices=["cpu"])
    assert list(found([np.repeat(np.float32(levels), 1_000), np.zeros(2_000, np.float32)])) == ["aa b", ""]
    assert (found.kind, found.name, found.sample_rate) == ("torchaudio", "Bundle", 8_000)
    assert found.fingerprint == as_recognizer(Bundle()).fingerprint


@pytest.mark.global_rng
def test_a_real_bundle_with_tiny_weights():
    """The classes of torchaudio itself; nothing is fetched."""
    if not _torchaudio.available():
        pytest.skip(f"torchaudio: {_torchaudio.why_not()}")
    import torchaudio

    def tiny():
        torch.manual_seed(0)
        convolutions, encoder = [(8, 10, 5), (8, 8, 8), (8, 8, 8)], (16, 0.0, 4, 2, 1, 2, 0.0, 16, 0.0, 0.0, False, 0.0)
        return torchaudio.models.wav2vec2_model("layer_norm", convolutions, False, *encoder, 5).eval()

    bundle = SimpleNamespace(get_model=tiny, get_labels=lambda: ("-", "|", "a", "b", "c"), sample_rate=16_000)
    (text,) = as_recognizer(bundle)(WAVES[:1])
    with torch.inference_mode():
        emissions, _ = tiny()(torch.from_numpy(WAVES[0])[None])
    best = emissions[0].argmax(-1).tolist()
    merged = [token for token, before in zip(best, [None, *best], strict=False) if token != before and token]
    assert text == " ".join("".join(" |abc"[token] for token in merged).replace("|", " ").split())


def test_bundles_that_are_none():
    with pytest.raises(ValueError, match=r"must be one of CTC models, with get_labels\(\), got SimpleNamespace"):
        as_recognizer(SimpleNamespace(get_model=lambda: None, sample_rate=1))
    if _torchaudio.available():
        with pytest.raises(ValueError, match=r"must be a name in torchaudio\.pipelines, got 'MY_BUNDLE'"):
            recognizers.from_bundle("MY_BUNDLE")
    else:
        with pytest.raises(ImportError, match="evaluating a pipeline bundle needs torchaudio"):
            recognizers.from_bundle("MY_BUNDLE")


# Commands


def test_a_command_hears_a_file_without_a_shell(tmp_path):
    asr = from_command(f"{program(tmp_path)} 'a; $(b) \"c\"' {{wav}}", sample_rate=8_000)
    expected = [
        f'a; $(b) "c" {len(wave)} 8000 {int(np.rint(wave.astype(np.float64) * 32768).sum())}' for wave in WAVES[:2]
    ]
    assert list(asr(WAVES[:2])) == expected
    assert asr.kind == "command"
    assert asr.fingerprint == from_command(f"{program(tmp_path)} 'a; $(b) \"c\"'  {{wav}}").fingerprint


def test_a_command_that_fails_on_one(tmp_path):
    text = "import sys, soundfile\nn = len(soundfile.read(sys.argv[1])[0])\n"
    text += "print('first', file=sys.stderr)\nif n == 3700: sys.exit('no ' + sys.argv[1])\nprint(n)"
    one, two, three = from_command(f"{program(tmp_path, text)} {{wav}}")(WAVES)
    assert (one, three) == ("3000", "4400")
    assert isinstance(two, RuntimeError) and str(two) == "exit code 1: no {wav}"


def test_a_command_that_takes_too_long(tmp_path):
    asr = from_command(f"{program(tmp_path, 'import time; time.sleep(60)')} {{wav}}", timeout_s=0.2)
    (late,) = asr(WAVES[:1])
    assert isinstance(late, TimeoutError) and str(late) == "took longer than 0.2 s"


def test_what_a_late_command_started_ends_too(tmp_path):
    here = tmp_path / "pid"
    text = "import subprocess, sys, time\n"
    text += "started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    text += f"open({str(here)!r}, 'w').write(str(started.pid)); time.sleep(60)"
    from_command(f"{program(tmp_path, text)} {{wav}}", timeout_s=2.0)(WAVES[:1])
    stat = Path("/proc", here.read_text(), "stat")
    deadline = time.monotonic() + 10
    while stat.exists() and stat.read_text().split()[2] not in "ZX" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not stat.exists() or stat.read_text().split()[2] in "ZX"


def test_ctrl_c_is_not_lost_when_the_program_ends_by_itself(monkeypatch):
    """Python waits a little for a program before it passes Ctrl-C on; it may end just then, and leave none to kill."""

    class Ended(subprocess.Popen):
        def communicate(self, *_, **__):
            self.wait()
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Ended)
    with pytest.raises(KeyboardInterrupt):
        from_command("true {wav}")(WAVES[:1])


def test_a_program_that_was_changed_is_another_one(tmp_path):
    """Else the transcripts of the old one would be taken for its own."""
    command = f"{program(tmp_path)} {{wav}}"
    before = from_command(command).fingerprint
    assert before == from_command(command).fingerprint
    program(tmp_path, SLOW_READER + "# faster")
    assert before != from_command(command).fingerprint


def test_commands_have_different_names(tmp_path):
    """Of one name they would be training seeds of one recognizer."""
    script = tmp_path / "sub" / "asr.py"
    script.parent.mkdir()
    script.write_text("")
    names = [from_command(f"{sys.executable} {script} {options} --file={{wav}}").name for options in ("", "--beam 8")]
    assert names == [f"{Path(sys.executable).name} asr.py", f"{Path(sys.executable).name} asr.py --beam 8"]


def test_a_command_that_prints_no_text(tmp_path):
    asr = from_command(f"{program(tmp_path, 'import sys; sys.stdout.buffer.write(bytes([255]))')} {{wav}}")
    assert isinstance(asr(WAVES[:1])[0], UnicodeDecodeError)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert list(from_command("cat {wav} --help")(WAVES[:1]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("cat", r"command must hold \{wav\} after the program, got 'cat'"),
        ("{wav}", r"command must hold \{wav\} after the program"),
        ("absent-program {wav}", "must begin with a program that can be run, got 'absent-program'"),
        ("cat '{wav}", "command must be words, quotes in pairs"),
    ],
)
def test_commands_that_cannot_work(command, message):
    with pytest.raises(ValueError, match=message):
        from_command(command)


# What is refused


@pytest.mark.parametrize("devices", ["cpu", []])
def test_devices_are_a_list(devices):
    with pytest.raises(ValueError, match=r"devices must be 'auto' or a list such as \['cuda:0'\]"):
        as_recognizer(Bundle(), devices=devices)


@pytest.mark.parametrize("source", [lambda waves: [], "cat {wav}"])
def test_functions_and_commands_are_not_put_on_devices(source):
    with pytest.raises(ValueError, match=r"devices must be .auto. for a (function|command), which chooses its own"):
        as_recognizer(source, devices=["cpu"])


def test_what_is_no_recognizer():
    with pytest.raises(ValueError, match=r"transcribe must be a function, a SpeechRecognizer .* got int"):
        as_recognizer(3)
