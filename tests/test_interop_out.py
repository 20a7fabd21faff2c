"""Our policies as transforms of other libraries, within their own pipelines; their examples, both ways."""

from __future__ import annotations

import importlib.util
import io
import pickle
import random
import re
import warnings
from pathlib import Path

import audiomentations as am
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import speechaug as sa
from speechaug import _torchaudio
from speechaug.convert import convert
from speechaug.interop import AudiomentationsTransform, CutTransform, PolicyModule

RATE = 16_000
POLICY = sa.Compose([sa.Speed(factor=(0.8, 1.25), p=0.7), sa.Gain(), sa.AddColoredNoise(p=0.5)])
STEADY = sa.Compose([sa.Gain(), sa.AddColoredNoise(p=0.5), sa.LowPass()])
MIGRATE = Path(__file__).parents[1] / "docs" / "migrate.md"


def needs(name):
    """Skip where a library that is built on torchaudio cannot be imported."""
    there = importlib.util.find_spec(name) is not None and _torchaudio.available()
    return pytest.mark.skipif(not there, reason=f"cannot be imported here: {name}")


@pytest.fixture(autouse=True)
def _theirs_draw_the_same_each_time(request):
    if request.node.get_closest_marker("global_rng"):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)


def noise(*shape):
    return np.random.default_rng(2).uniform(-0.2, 0.2, shape).astype(np.float32)


EXAMPLES = {
    "readme": am.Compose(
        [
            am.AddGaussianNoise(min_amplitude=0.001, max_amplitude=0.015, p=0.5),
            am.TimeStretch(min_rate=0.8, max_rate=1.25, p=0.5),
            am.PitchShift(min_semitones=-4, max_semitones=4, p=0.5),
            am.Shift(p=0.5),
        ]
    ),
    "some of": am.SomeOf(
        (2, None),
        [
            am.TimeStretch(min_rate=0.8, max_rate=1.25, p=1.0),
            am.PitchShift(min_semitones=-4, max_semitones=4, p=1.0),
            am.Gain(min_gain_db=-12, max_gain_db=-6, p=1.0),
        ],
    ),
    "one of": am.OneOf(
        [
            am.TimeStretch(min_rate=0.8, max_rate=1.25, p=1.0),
            am.PitchShift(min_semitones=-4, max_semitones=4, p=1.0),
        ],
        weights=[0.2, 0.8],
    ),
    "bit crush": am.BitCrush(min_bit_depth=5, max_bit_depth=14, p=1.0),
    "repeat part": am.RepeatPart(mode="replace", p=1.0),
    "adjust duration": am.AdjustDuration(duration_seconds=3.75, p=1.0),
    "parameters": am.Gain(p=1.0),
}
"""Pipelines of the documentation of audiomentations: its front page, its guides and the pages of its transforms."""


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.global_rng
def test_examples_of_audiomentations(name):
    """Converted, wrapped, and converted and called in their way within a pipeline of theirs."""
    x = noise(32_000)
    converted = convert(EXAMPLES[name]).policy
    for policy in (converted, sa.External(EXAMPLES[name])):
        batch = torch.from_numpy(np.stack([x, x]))
        draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a", "b"]))
        y, lengths = policy(batch, torch.tensor([32_000, 32_000]), draws, sample_rate=RATE)
        assert torch.isfinite(y).all() and (lengths >= 32_000 / 1.26).all() and (lengths <= 32_000 * 1.26).all()
        augment = am.Compose([AudiomentationsTransform(policy, seed=3)])
        done = [augment(samples=x, sample_rate=16_000) for _ in range(12)]
        assert all(one.dtype == np.float32 and one.ndim == 1 for one in done)
        assert name == "adjust duration" or any(len(one) != len(x) or (one != x).any() for one in done)


@pytest.mark.parametrize("example", ["readme", "one of"])
def test_what_was_converted_is_as_likely(example):
    """Members are on as often as theirs: p, counts and weights mean the same."""
    policy = convert(EXAMPLES[example]).policy
    draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=[str(row) for row in range(4_000)]))
    shares = [member.on.mean() for member in draws.members.values()]
    assert shares == pytest.approx([0.5] * 4 if example == "readme" else [0.2, 0.8], abs=0.03)


@pytest.mark.global_rng
@needs("torch_audiomentations")
def test_the_example_of_torch_audiomentations():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_audiomentations import Compose, Gain, PolarityInversion

        apply_augmentation = Compose(
            transforms=[Gain(min_gain_in_db=-15.0, max_gain_in_db=5.0, p=0.5), PolarityInversion(p=0.5)]
        )
    audio_samples = torch.from_numpy(noise(8, 2, 32_000))
    for policy in (convert(apply_augmentation).policy, sa.External(apply_augmentation)):
        layer = PolicyModule(policy, sample_rate=16_000)
        perturbed = torch.stack([layer(audio_samples) for _ in range(20)])
        gain = (perturbed / audio_samples).nan_to_num(1.0).median(dim=-1).values
        assert torch.allclose(gain[..., 0], gain[..., 1])  # one draw for both channels
        db = 20.0 * gain[..., 0].abs().log10()
        assert float(db.min()) >= -15.01 and float(db.max()) <= 5.01
        changed = (db.abs() > 1e-4).float().mean()
        assert abs(float(changed) - 0.5) < 0.15 and abs(float((gain[..., 0] < 0).float().mean()) - 0.5) < 0.15


def test_calls_draw_anew_and_repeat_with_the_seed():
    x = noise(4_000)
    first, second = (AudiomentationsTransform(STEADY, seed=1) for _ in range(2))
    made = [first(samples=x, sample_rate=RATE) for _ in range(3)]
    assert not np.array_equal(made[0], made[1])
    for one in made:
        np.testing.assert_array_equal(second(x, RATE), one)
    assert not np.array_equal(AudiomentationsTransform(STEADY, seed=2)(x, RATE), made[0])


@pytest.mark.global_rng
def test_frozen_parameters():
    """As in the guide of audiomentations: the same draws for another sound, alone and within their Compose."""
    gain = sa.Gain(gain_db=(-12.0, 12.0))
    augment = AudiomentationsTransform(gain)
    pipeline = am.Compose([augment])
    x, other = noise(1_000), noise(2_000)[1_000:]
    assert augment.parameters == {"should_apply": None}
    factor = pipeline(samples=x, sample_rate=RATE)[0] / x[0]
    pipeline.freeze_parameters()
    kept = augment.parameters
    for _ in range(2):
        np.testing.assert_allclose(pipeline(samples=other, sample_rate=RATE), other * factor, rtol=1e-5)
    assert (
        augment.parameters == kept == {"should_apply": True, "Gain": {"gain_db": pytest.approx(20 * np.log10(factor))}}
    )
    pipeline.unfreeze_parameters()
    assert not np.allclose(pipeline(samples=other, sample_rate=RATE), other * factor)
    fresh = AudiomentationsTransform(gain)
    fresh.freeze_parameters()
    assert np.array_equal(fresh(x, RATE), fresh(x, RATE))


@pytest.mark.global_rng
def test_what_compose_asks_of_its_members():
    pipeline = am.Compose([am.Gain(p=1.0), AudiomentationsTransform(POLICY, seed=4)])
    assert "AudiomentationsTransform(Compose([" in repr(pipeline)
    data = pipeline.to_dict_private()["transforms"][1]
    assert sa.from_dict(data["policy"]) == POLICY and data["seed"] == 4
    assert convert(pipeline).policy == sa.Compose([sa.Gain(gain_db=(-12.0, 12.0)), POLICY])  # there and back
    augment = pickle.loads(pickle.dumps(pipeline.transforms[1]))
    np.testing.assert_array_equal(
        augment(noise(2, 900), RATE), AudiomentationsTransform(POLICY, seed=4)(noise(2, 900), RATE)
    )
    chosen = am.OneOf([AudiomentationsTransform(STEADY)], p=1.0)
    assert chosen(samples=noise(100), sample_rate=RATE).shape == (100,)


class Rows(Dataset):
    """Augments within DataLoader workers."""

    def __init__(self):
        self.augment = AudiomentationsTransform(sa.Gain(), seed=0)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return float(self.augment(np.ones(1, np.float32), RATE)[0])


@pytest.mark.global_rng
def test_workers_and_epochs_differ():
    loader = DataLoader(Rows(), batch_size=None, num_workers=2, generator=torch.Generator().manual_seed(0))
    seen = [value for _ in range(2) for value in loader]
    assert len(set(seen)) == 16
    again = DataLoader(Rows(), batch_size=None, num_workers=2, generator=torch.Generator().manual_seed(0))
    assert [value for _ in range(2) for value in again] == seen


@pytest.mark.parametrize("policy", [sa.TimeMask(), sa.AddBabble, 3])
def test_policies_that_do_not_fit(policy):
    for cls in (AudiomentationsTransform, CutTransform):
        with pytest.raises(ValueError, match=f"{cls.__name__}: policy must act on single waveforms"):
            cls(policy)


@pytest.mark.global_rng
def test_module():
    layer = PolicyModule(STEADY, sample_rate=RATE, seed=1)
    model = nn.Sequential(layer, nn.Conv1d(1, 2, 9))
    x = torch.from_numpy(noise(3, 1, 2_000))
    assert set(model.state_dict()) == {"1.weight", "1.bias"} and not list(layer.parameters())
    assert model(x).shape == (3, 2, 1_992)
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    assert torch.equal(model.eval()[0](x), x)
    repeated = PolicyModule(STEADY, sample_rate=RATE, seed=1)
    repeated(x)
    assert torch.equal(repeated(x), first)
    stored = io.BytesIO()
    torch.save(layer, stored)
    stored.seek(0)
    assert torch.equal(torch.load(stored, weights_only=False).train()(x), layer.train()(x))
    assert "PolicyModule(Compose([" in repr(model).replace("\n", "").replace("  ", "")
    trained = x.clone().requires_grad_()
    layer(trained).sum().backward()
    assert trained.grad.abs().sum() > 0


def test_module_with_lengths():
    layer = PolicyModule(sa.Speed(factor=(0.5, 0.5)), sample_rate=RATE)
    x, lengths = torch.from_numpy(noise(2, 100)), torch.tensor([100, 60])
    y, y_lengths = layer(x, lengths)
    assert y.shape == (2, 200) and y_lengths.tolist() == [200, 120]
    same, same_lengths = layer.eval()(x, lengths)
    assert same is x and same_lengths is lengths
    for call in (layer, layer.train()):
        with pytest.raises(ValueError, match="PolicyModule: lengths must be given to a policy that changes them"):
            call(x)
    with pytest.raises(ValueError, match="PolicyModule: sample_rate must be given for waveforms"):
        PolicyModule(sa.Gain())
    with pytest.raises(ValueError, match="PolicyModule: policy must be a Transform, got Dropout"):
        PolicyModule(nn.Dropout(), sample_rate=RATE)
    masks = PolicyModule(sa.TimeMask(width_frames=(5.0, 5.0)))
    assert (masks(torch.ones(2, 4, 50)) == 0).any()


@pytest.fixture
def cuts(tmp_path):
    """Make three cuts with supervisions and aligned words; the last is the second channel of a stereo recording."""
    import soundfile
    from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
    from lhotse.supervision import AlignmentItem

    made = []
    for index in range(3):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, noise(RATE, 2) if index == 2 else noise(RATE), RATE)
        recording = Recording.from_file(path, recording_id=f"rec-{index}")
        channel = int(index == 2)
        words = [AlignmentItem("hello", 0.25, 0.125), AlignmentItem("world", 0.5, 0.25, 0.9)]
        said = SupervisionSegment(
            f"sup-{index}", recording.id, 0.25, 0.5, channel, text="hello world", alignment={"word": words}
        )
        cut = MonoCut(f"cut-{index}", 0.125, 0.875, channel, [said], recording=recording, custom={"lang": "en"})
        made.append(cut)
    return CutSet.from_cuts(made)


@needs("lhotse")
class TestCuts:
    """lhotse's own speed perturbation and validation are the oracle."""

    def test_audio_is_what_the_policy_makes(self, cuts):
        transform = CutTransform(POLICY, seed=5)
        transform.set_epoch(2)
        for before, after in zip(cuts, transform(cuts), strict=True):
            x = torch.from_numpy(before.load_audio())[None]
            draws = POLICY.sample(sa.Rng.from_ids(seed=5, epoch=2, ids=[before.id]))
            y, lengths = POLICY(x, None, draws, sample_rate=RATE)
            np.testing.assert_allclose(after.load_audio(), y[0, :, : lengths[0]], atol=1e-7)
            assert after.id == before.id and after.custom == before.custom and after.supervisions[0].text

    @pytest.mark.parametrize("factor", [0.8, 1.25])
    def test_times_are_those_of_lhotse(self, cuts, factor):
        from lhotse.qa import validate

        done = CutTransform(sa.Speed(factor=(factor, factor)))(cuts)
        validate(done)
        for ours, theirs in zip(done, cuts.perturb_speed(factor), strict=True):
            assert ours.duration == pytest.approx(theirs.duration, abs=2 / RATE)
            (said,), (expected,) = ours.supervisions, theirs.supervisions
            assert (said.start, said.end) == pytest.approx((expected.start, expected.end), abs=2 / RATE)
            for word, other in zip(said.alignment["word"], expected.alignment["word"], strict=True):
                assert word.symbol == other.symbol and word.score == other.score
                assert (word.start, word.end) == pytest.approx((other.start, other.end), abs=2 / RATE)

    def test_what_was_cut_off_is_left_out(self, cuts):
        later = CutTransform(sa.TimeShift(shift_ms=(300.0, 300.0)))(cuts)
        assert [word.symbol for word in later[0].supervisions[0].alignment["word"]] == ["hello", "world"]
        assert later[0].supervisions[0].end == 0.875
        gone = CutTransform(sa.TimeShift(shift_ms=(700.0, 700.0)))(cuts)
        assert gone[0].supervisions == []

    def test_other_kinds_of_cuts(self, cuts):
        first, second, third = cuts
        mixed = first.append(second).pad(duration=2.0)
        done = CutTransform(sa.Speed(factor=(2.0, 2.0))).augmented(mixed)
        assert [one.start for one in done.supervisions] == pytest.approx([0.125, 0.5625])
        assert done.duration == 1.0
        stereo = third.recording.to_cut()
        assert CutTransform(sa.Gain()).augmented(stereo).load_audio().shape == (2, RATE)

    @pytest.mark.global_rng
    def test_in_a_data_set_and_again_after_its_epoch(self, cuts):
        from lhotse.dataset import SimpleCutSampler
        from lhotse.dataset.collation import collate_audio

        class Waveforms(Dataset):
            def __init__(self):
                self.transform = CutTransform(POLICY, seed=0)

            def __getitem__(self, batch):
                return collate_audio(self.transform(batch))[0].abs().sum().item()

        data = Waveforms()
        loader = DataLoader(data, sampler=SimpleCutSampler(cuts, max_cuts=2), batch_size=None, num_workers=1)
        seen = []
        for epoch in (0, 1, 0):
            data.transform.set_epoch(epoch)
            seen.append(list(loader))
        assert seen[0] == seen[2] != seen[1]


@pytest.mark.global_rng
def test_the_snippets_of_the_page():
    page = MIGRATE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    plain = [block for block in blocks if "lhotse" not in block and "datasets" not in block]
    assert len(plain) == len(blocks) - 2 == 3
    for block in plain:
        exec(compile(block, "docs/migrate.md", "exec"), {})


def snippet(word, **scope):
    """Run the block of the page with a word in it."""
    blocks = re.findall(r"```python\n(.*?)```", MIGRATE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    exec(compile(block, "docs/migrate.md", "exec"), scope)
    return scope


@needs("lhotse")
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # lhotse's filter bank
def test_the_snippet_of_lhotse(cuts):
    done = snippet("CutTransform", policy=POLICY, cuts=cuts)
    before, after = done["augmented"][0], done["transform"](cuts)[0]
    assert not np.array_equal(before.load_audio(), after.load_audio())
    batch = done["dataset"][cuts]
    longest = max(cut.duration for cut in done["transform"](cuts))
    assert batch["inputs"].shape == (3, pytest.approx(100 * longest, abs=1), 80)
    assert batch["supervisions"]["text"] == ["hello world"] * 3


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="not installed: datasets")
@pytest.mark.global_rng
def test_the_snippet_of_datasets(tmp_path):
    import soundfile
    from datasets import Audio, Dataset

    soundfile.write(tmp_path / "a.wav", noise(RATE), RATE)
    rows = {"id": ["u1"], "audio": [str(tmp_path / "a.wav")], "text": ["one"]}
    done = snippet("DatasetMap", policy=POLICY, table=Dataset.from_dict(rows).cast_column("audio", Audio()))
    assert done["larger"]["text"] == ["one"] * 3 and len(set(done["larger"]["id"])) == 3
    assert len({row["bytes"] for row in done["larger"]["audio"]}) == 3
