"""Transforms of other libraries in our policies: theirs, seeded alike and called directly, is the oracle."""

from __future__ import annotations

import importlib.util
import inspect
import json
import pickle
import random
import subprocess
import sys
import warnings

import audiomentations as am
import numpy as np
import pytest
import soundfile
import torch
import yaml
from torch import nn

import speechaug as sa
from speechaug import _torchaudio
from speechaug.interop.description import build, describe
from speechaug.testing import check_transform

RATE = 16_000

pytestmark = pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning")  # librosa's
with_torchaudio = pytest.mark.skipif(not _torchaudio.available(), reason="torchaudio cannot be imported here")
with_torch_audiomentations = pytest.mark.skipif(
    importlib.util.find_spec("torch_audiomentations") is None or not _torchaudio.available(),
    reason="torch-audiomentations cannot be imported here",
)


def speech(rows=3, channels=1):
    x = torch.from_numpy(np.random.default_rng(5).standard_normal((rows, channels, RATE)).astype(np.float32)) * 0.1
    lengths = torch.tensor([RATE, RATE * 3 // 4, RATE // 2])[:rows]
    return x * (torch.arange(RATE) < lengths[:, None, None]), lengths


def draws(policy, rows=3, seed=1):
    return policy.sample(sa.Rng.from_ids(seed=seed, epoch=0, ids=[f"utt-{row}" for row in range(rows)]))


def seed_all(key):
    random.seed(key)
    np.random.seed(key % 2**32)  # noqa: NPY002
    torch.manual_seed(key)


def arguments(cls, folder):
    """Return what a class of audiomentations cannot do without."""
    needed = {"transforms": [am.Gain(p=1.0)], "transform": lambda samples, rate: samples, "num_transforms": 1}
    needed |= {"sounds_path": folder, "ir_path": folder, "duration_samples": 12_000, "p": 1.0}
    needed |= {"use_ray_tracing": False}  # which draws from a generator in C++ that nobody can seed
    if cls is am.AddShortNoises:
        needed |= {"min_time_between_sounds": 0.1, "max_time_between_sounds": 0.3}
    return {name: value for name, value in needed.items() if name in inspect.signature(cls).parameters}


CLASSES = [cls for _, cls in sorted(inspect.getmembers(am, inspect.isclass))]
NEED_MORE = {
    am.Limiter: "numpy_audio_limiter",
    am.LoudnessNormalization: "loudness",
    am.RoomSimulator: "pyroomacoustics",
}
NEED_MORE |= {am.Mp3Compression: "fast_mp3_augment"}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.filterwarnings("ignore:.*LRU cache:UserWarning", "ignore:.*not long enough:UserWarning")
@pytest.mark.global_rng
def test_audiomentations(cls, noise_folder):
    """Every class: what comes out is what theirs gives for the row alone, seeded with the row's key."""
    if cls in NEED_MORE and importlib.util.find_spec(NEED_MORE[cls]) is None:
        pytest.skip(f"not installed: {NEED_MORE[cls]}")
    theirs = cls(**arguments(cls, noise_folder))
    policy = sa.External(theirs)
    assert isinstance(policy.transform, str) == (cls is not am.Lambda)
    x, lengths = speech()
    drawn = draws(policy)
    y, y_lengths = policy(x, lengths, drawn, sample_rate=RATE)
    assert torch.equal(y_lengths, lengths)
    for row, length in enumerate(lengths.tolist()):
        seed_all(int(drawn.values["key"][row]))
        expected = theirs(x[row, 0, :length].numpy().copy(), RATE)[:length]
        np.testing.assert_array_equal(y[row, 0, : len(expected)].numpy(), expected)
        assert not y[row, 0, len(expected) :].any()


@with_torch_audiomentations
@pytest.mark.parametrize("name", ["Gain", "AddColoredNoise", "LowPassFilter", "HighPassFilter", "BandStopFilter"])
@pytest.mark.global_rng
def test_torch_audiomentations(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_audiomentations as ta
    theirs = getattr(ta, name)(p=1.0, output_type="dict")
    policy = sa.External(theirs)
    assert policy.transform == f"torch_audiomentations.{name}" and policy.p == 1.0
    x, lengths = speech(channels=2)
    drawn = draws(policy)
    y, _ = policy(x, lengths, drawn, sample_rate=RATE)
    for row, length in enumerate(lengths.tolist()):
        seed_all(int(drawn.values["key"][row]))
        expected = theirs(x[row : row + 1, :, :length].clone(), sample_rate=RATE).samples[0]
        torch.testing.assert_close(y[row, :, :length], expected, rtol=0, atol=0)


@with_torch_audiomentations
def test_a_class_that_wants_the_sample_rate_gets_that_of_the_batch():
    policy = sa.External("torch_audiomentations.PitchShift", arguments={"min_transpose_semitones": -2.0})
    x, lengths = speech()
    y, _ = policy(x, lengths, draws(policy), sample_rate=RATE)
    assert not torch.equal(x, y)


@with_torchaudio
def test_torchaudio():
    """Arguments that can be told are; Speed, which returns lengths too, has some that cannot."""
    import torchaudio

    fade = torchaudio.transforms.Fade(fade_in_len=800, fade_out_len=400, fade_shape="linear")
    x, lengths = speech(channels=2)
    policy = sa.External(fade)
    assert policy.transform == "torchaudio.transforms.Fade" and policy.arguments["fade_in_len"] == 800
    y, _ = policy(x, lengths, draws(policy), sample_rate=RATE)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(y[row, :, :length], fade(x[row, :, :length]))
    shorter = sa.External(torchaudio.transforms.Speed(RATE, 2.0))
    assert not isinstance(shorter.transform, str)
    y, _ = shorter(x[:1], None, draws(shorter, 1), sample_rate=RATE)
    assert y[..., : RATE // 2].any() and not y[..., RATE // 2 :].any()


def test_any_module_and_any_callable():
    x, lengths = speech(channels=2)

    class Halve(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(0.5))

        def forward(self, samples):
            return samples * self.scale

    module = sa.External(Halve())
    assert torch.equal(module(x, lengths, draws(module), sample_rate=RATE)[0], x * 0.5)
    function = sa.External(lambda samples, rate: samples[::-1] * (rate / 16_000))
    y, _ = function(x[:, :1], lengths, draws(function), sample_rate=RATE)
    assert torch.equal(y[1, 0, : lengths[1]], x[1, 0, : lengths[1]].flip(0))
    assert "Halve>, p=1, slow: one example at a time" in repr(module)


def test_seeded_from_the_stream_of_the_example_alone():
    """Not from the batch, its order or the global generators, which are as they were (the fixture looks)."""
    policy = sa.Compose([sa.External(am.AddGaussianNoise(p=0.7)), sa.Gain(), sa.External(am.AddGaussianSNR(p=0.7))])
    x, lengths = speech()
    whole, _ = policy(x, lengths, draws(policy), sample_rate=RATE)
    for row, length in enumerate(lengths.tolist()):
        rng = sa.Rng.from_ids(seed=1, epoch=0, ids=[f"utt-{row}"])
        alone, _ = policy(x[row : row + 1, :, :length], None, policy.sample(rng), sample_rate=RATE)
        torch.testing.assert_close(alone[0], whole[row, :, :length])
    other, _ = policy(x, lengths, draws(policy, seed=2), sample_rate=RATE)
    assert not torch.equal(whole, other)


def test_the_length_stays():
    """What comes out longer is cut at its end, what comes out shorter is followed by zeros."""
    x, lengths = speech(1)
    longer = sa.External(am.TimeStretch(0.5, 0.5, leave_length_unchanged=False, p=1.0))
    assert longer(x, lengths, draws(longer, 1), sample_rate=RATE)[0].shape == x.shape
    shorter = sa.External(am.TimeStretch(2.0, 2.0, leave_length_unchanged=False, p=1.0))
    y, y_lengths = shorter(x, lengths, draws(shorter, 1), sample_rate=RATE)
    assert int(y_lengths) == RATE and y[0, 0, : RATE // 2 - 200].any() and not y[0, 0, RATE // 2 + 200 :].any()


MOVING = [
    am.TimeStretch(0.5, 0.5, p=1.0),
    am.Compose([am.Gain(p=1.0), am.OneOf([am.Reverse(p=1.0), am.Shift(p=1.0)])], p=1.0),
]


@pytest.mark.parametrize("theirs", MOVING, ids=lambda theirs: type(theirs).__name__)
def test_where_time_moves_no_times_are_told(theirs, tmp_path):
    policy = sa.Compose([sa.Gain(), sa.External(theirs, p=0.5)])
    assert policy.moves_time
    (tmp_path / "in").mkdir()
    for name in "abcdef":
        soundfile.write(tmp_path / "in" / f"{name}.wav", np.random.default_rng(0).uniform(-0.3, 0.3, 8_000), 8_000)
        (tmp_path / "in" / f"{name}.ctm").write_text(f"{name} 1 0.5 0.25 seven\n")
        (tmp_path / "in" / f"{name}.txt").write_text("seven\n")
    done = sa.augment_folder(tmp_path / "in", tmp_path / "out", policy, workers=0)
    assert done.failures == ()
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    moved = [row for row in rows if row["transforms"]["External"]["on"][0]]
    assert 0 < len(moved) < len(rows)
    for row in rows:
        told = (tmp_path / "out" / row["audio"]).with_suffix(".ctm")
        assert row["text"] == "seven"
        if row in moved:
            assert "words" not in row and not told.exists()
            assert all("does not tell where moments went" in problem for problem in row["problems"])
        else:
            assert row["words"] == [{"word": "seven", "start": 0.5, "end": 0.75}] and "problems" not in row


@pytest.mark.parametrize("theirs", [am.Gain(p=1.0), am.TimeMask(p=1.0), lambda samples, rate: samples])
def test_where_time_stays_times_stay(theirs):
    policy = sa.External(theirs)
    times = policy.warp_times(np.array([[0.1, 0.2]]), [RATE], draws(policy, 1), sample_rate=RATE)
    assert not policy.moves_time and times.tolist() == [[0.1, 0.2]]


def test_time_moves_within_what_cannot_be_described():
    held = am.Compose([am.Lambda(lambda samples, sample_rate: samples, p=1.0), am.Trim(p=1.0)], p=1.0)
    policy = sa.External(held)
    assert policy.moves_time
    with pytest.raises(ValueError, match="does not tell where moments went"):
        policy.warp_times(np.array([[0.1]]), [RATE], draws(policy, 1), sample_rate=RATE)


def test_p_is_ours():
    policy = sa.External(am.Gain(p=0.3))
    assert policy.p == 0.3 and "p" not in policy.arguments
    assert draws(policy, 2_000).on.mean() == pytest.approx(0.3, abs=0.04)
    assert sa.External(am.Gain(p=0.5), p=0.5).p == 0.25
    assert sa.External("audiomentations.Gain").p == 1.0
    x, _ = speech()
    always = sa.External("audiomentations.Gain", arguments={"min_gain_db": 6.0, "max_gain_db": 6.0})
    torch.testing.assert_close(always(x, None, draws(always), sample_rate=RATE)[0], x * 10 ** (6 / 20))


def test_yaml_pickle_and_equality(tmp_path):
    nested = am.Compose(
        [am.OneOf([am.Gain(p=1.0), am.Reverse(p=1.0)], weights=[1, 3]), am.SomeOf((1, 2), [am.Gain()] * 2)]
    )
    policy = sa.Compose([sa.Gain(), sa.External(nested, p=0.5)])
    sa.save_policy(policy, tmp_path / "policy.yaml")
    loaded = sa.load_policy(tmp_path / "policy.yaml")
    assert loaded == policy and hash(loaded) == hash(policy) and pickle.loads(pickle.dumps(policy)) == policy
    x, lengths = speech()
    found, expected = (one(x, lengths, draws(one), sample_rate=RATE)[0] for one in (loaded, policy))
    assert torch.equal(found, expected)
    assert policy != sa.Compose([sa.Gain(), sa.External(nested, p=0.4)])


def test_equal_ones_have_equal_hashes():
    one, other = (
        sa.External("audiomentations.Gain", arguments=arguments)
        for arguments in ({"min_gain_db": 0, "max_gain_db": 6}, {"max_gain_db": 6.0, "min_gain_db": 0.0})
    )
    assert one == other and hash(one) == hash(other)


def test_in_the_yaml_of_a_training(tmp_path):
    """What jsonargparse, and with it LightningCLI, makes of it."""
    from jsonargparse import ArgumentParser

    policy = sa.Compose([sa.External(am.TanhDistortion(p=0.5)), sa.Gain()])
    sa.save_policy(policy, tmp_path / "policy.yaml")
    parser = ArgumentParser()
    parser.add_argument("--policy", type=sa.Transform)
    data = yaml.safe_load((tmp_path / "policy.yaml").read_text())
    data.pop("version")
    assert parser.instantiate(parser.parse_object({"policy": data})).policy == policy


def test_what_cannot_be_written_says_so(tmp_path):
    policy = sa.External(am.Lambda(lambda samples, rate: samples))
    assert policy.p == 1.0
    with pytest.raises(ValueError, match="transform must be the path of a class with plain arguments, to be written"):
        sa.save_policy(policy, tmp_path / "policy.yaml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"transform": 3}, "transform must be callable or the path of a class, got 3"),
        ({"transform": "Gain"}, "transform must be callable or the path of a class, got 'Gain'"),
        ({"transform": "a.Gain", "arguments": {"f": print}}, "arguments must be plain data"),
        ({"transform": am.Gain(), "arguments": {"p": 1.0}}, "arguments must be empty beside an object"),
        ({"transform": "a.Gain", "p": 2.0}, r"p must be a number in \[0, 1\]"),
    ],
)
def test_configuration_errors(given, message):
    with pytest.raises(ValueError, match=message):
        sa.External(**given)


def test_a_class_that_is_not_there_is_named_at_first_use():
    policy = sa.External("audiomentations.Gone")
    x, lengths = speech(1)
    with pytest.raises(ImportError, match=r"audiomentations.Gone cannot be imported here: .*has no attribute 'Gone'"):
        policy(x, lengths, draws(policy, 1), sample_rate=RATE)


def test_a_refusal_says_what_was_refused():
    policy = sa.External(lambda samples, rate: 1 / 0)
    x, _ = speech(1, channels=2)
    with pytest.raises(RuntimeError, match=r"lambda>>, .* refused 2 channels of 16000 samples at 16000 Hz: ZeroDiv"):
        policy(x, None, draws(policy, 1), sample_rate=RATE)


@pytest.mark.parametrize("path", ["torchaudio.transforms.Fade", "torch_audiomentations.Gain"])
def test_a_broken_torchaudio_is_explained(monkeypatch, path):
    monkeypatch.setattr(_torchaudio, "_load", lambda: (None, "OSError: libc10_cuda.so"))
    policy = sa.External(path)
    with pytest.raises(ImportError, match=rf"{path} needs torchaudio, which cannot be imported here \(OSError"):
        policy(speech(1)[0], None, draws(policy, 1), sample_rate=8_001)


def test_not_finite_stays_as_it_was():
    policy = sa.External(lambda samples, rate: samples / 0.0 * 0.0)
    x, lengths = speech(1)
    with np.errstate(all="ignore"):
        assert torch.equal(policy(x, lengths, draws(policy, 1), sample_rate=RATE)[0], x)


@pytest.mark.parametrize("theirs", [am.BitCrush(p=1.0), am.LowPassFilter(p=1.0), am.Clip(-0.05, 0.05, p=1.0)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_others_keep_the_contract(theirs):
    check_transform(sa.External(theirs))


def test_nothing_of_theirs_is_imported_with_ours():
    code = (
        "import sys, speechaug as sa; sa.External('audiomentations.Gain'); import speechaug.convert; "
        "print({'audiomentations', 'torch_audiomentations', 'torchaudio', 'lhotse', 'librosa', 'datasets'} "
        "& set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_description_and_build():
    path = {"transform": "audiomentations.RepeatPart", "arguments": {"part_transform": describe(am.Gain(p=1.0))}}
    made = build(path, RATE, p=1.0)
    assert made.p == 1.0 and isinstance(made.part_transform, am.Gain) and made.part_transform.p == 1.0
    assert describe(made)["arguments"]["part_transform"] == path["arguments"]["part_transform"]


def test_folders_are_written_as_text(noise_folder, tmp_path):
    policy = sa.External(am.AddBackgroundNoise(noise_folder, noise_rms="absolute", p=1.0))
    assert policy.arguments["sounds_path"] == str(noise_folder)
    soundfile.write(tmp_path / "a.wav", np.zeros(10), RATE)
    sa.save_policy(policy, tmp_path / "policy.yaml")
    assert sa.load_policy(tmp_path / "policy.yaml") == policy
