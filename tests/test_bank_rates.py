"""Banks at other rates: each clip resampled when it is first used, as soundfile and soxr alone would have it."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import speechaug as sa
from speechaug import _contents
from speechaug.audio import resampled_length
from speechaug.folders.policies import at_rate

RATE = 16_000
OTHERS = (8_000, 22_050, 44_100)
KINDS = {
    "a.wav": ("PCM_16", RATE),
    "b.flac": ("PCM_24", RATE),
    "c.wav": ("FLOAT", RATE),
    "d/e.flac": ("PCM_16", 44_100),
    "d/f.wav": ("PCM_U8", 8_000),
    "g.wav": ("PCM_16", RATE),
}


def sound(name, channels=1):
    seed = sum(map(ord, name))
    return np.random.default_rng(seed).uniform(-0.7, 0.7, (3_000 + 100 * seed, channels))


@pytest.fixture
def folder(tmp_path):
    top = tmp_path / "noise"
    for name, (subtype, rate) in KINDS.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        samples = sound(name, channels=2 if name == "d/e.flac" else 1)
        if name == "g.wav":
            samples[77] = -1.0  # the one level that 16 bits have on one side alone
        soundfile.write(top / name, samples, rate, subtype=subtype)
    return top


def expected(path, rate):
    """A clip in 16 bits, scaled to its largest sample."""
    samples, own = soundfile.read(path, dtype="float32", always_2d=True)
    first = np.ascontiguousarray(samples[:, :1])
    clip = (first if own == rate else soxr.resample(first, own, rate, quality="HQ"))[:, 0]
    largest = np.abs(clip).max()
    return np.rint(clip / largest * np.float32(32_767)).astype(np.int16) * (largest / np.float32(32_767))


def crops(bank, clips, width=9_000):
    clip = torch.tensor(clips)
    return bank.crop(clip, torch.linspace(0.0, 0.9, len(clips)), width)


@pytest.mark.parametrize("rate", [RATE, *OTHERS])
@pytest.mark.parametrize("own", [RATE, 8_000])
def test_every_sample_is_what_the_file_holds_resampled(folder, own, rate):
    bank = sa.Bank(folder, sample_rate=own)
    bank.load()
    other = bank.at_rate(rate)
    assert other.names == bank.names == tuple(sorted(KINDS, key=lambda name: name.split("/")))
    assert other.hashes == bank.hashes
    for index in reversed(range(len(bank))):
        np.testing.assert_array_equal(other.clip(index), expected(folder / bank.names[index], rate))


def test_what_was_used_before_does_not_matter(folder):
    whole = sa.Bank(folder, sample_rate=RATE).at_rate(8_000)
    rows = [3, 0, 3, 5, 1]
    given = crops(whole, rows)
    for before in ([], [0], [3, 1], range(6)):
        bank = sa.Bank.from_folder(folder, sample_rate=RATE).at_rate(8_000)
        for index in before:
            bank.clip(index)
        assert torch.equal(crops(bank, rows), given)
        assert all(map(torch.equal, bank.loops(given.device), whole.loops(given.device)))
        assert bank.reach == whole.reach


def test_only_what_is_drawn_is_decoded_and_never_16_bit_files_of_the_banks_rate(folder, monkeypatch):
    bank = sa.Bank.from_folder(folder, sample_rate=RATE)
    read, decoded = _contents.read, []
    monkeypatch.setattr(_contents, "read", lambda path: decoded.append(path.name) or read(path))
    other = bank.at_rate(8_000)
    assert decoded == []
    crops(other, [0, 1, 0, 1])
    crops(other, [1, 0])
    assert decoded == ["b.flac"]
    pickle.dumps(other)
    assert sorted(decoded) == ["b.flac", "c.wav", "e.flac", "f.wav", "g.wav"]


def test_a_file_that_changed_is_noticed(folder):
    bank = sa.Bank.from_folder(folder, sample_rate=RATE)
    soundfile.write(folder / "b.flac", 0.5 * sound("b.flac"), RATE, subtype="PCM_24")
    other = bank.at_rate(8_000)
    crops(other, [0, 2])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"files must stay what they were, .*b.flac has changed"):
            crops(other, [0, 1])


def test_a_digest_is_checked_at_any_rate(folder):
    digest = sa.Bank(folder, sample_rate=RATE).digest
    assert sa.Bank(folder, sample_rate=RATE, digest=digest).at_rate(8_000).sample_rate == 8_000
    with pytest.raises(ValueError, match="must have the digest"):
        sa.Bank(folder, sample_rate=RATE, digest="0" * 16).at_rate(8_000)


def test_a_bank_that_is_wanted_at_other_rates_alone_is_decoded_at_those(folder, monkeypatch):
    bank = sa.Bank(folder, sample_rate=RATE)
    first = bank.at_rate(8_000)
    monkeypatch.setattr(_contents, "read_folder", lambda *_: pytest.fail("the folder was decoded again"))
    np.testing.assert_array_equal(bank.at_rate(44_100).clip(1), expected(folder / "b.flac", 44_100))
    assert "clips" not in repr(bank)
    np.testing.assert_array_equal(first.clip(2), expected(folder / "c.wav", 8_000))


def test_pickled_whole(folder):
    bank = sa.Bank.from_folder(folder, sample_rate=RATE)
    other = bank.at_rate(22_050)
    given = crops(other, [4, 1])
    copy = pickle.loads(pickle.dumps(other))
    shutil.rmtree(folder)
    assert torch.equal(crops(copy, [4, 1]), given)
    assert torch.isfinite(crops(copy, range(6))).all()


def test_a_relative_folder_where_the_process_moves(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    bank = sa.Bank.from_folder("noise", sample_rate=RATE)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(bank.at_rate(8_000).clip(1), expected(folder / "b.flac", 8_000))


def test_threads_and_copies_of_the_process_agree(folder):
    rows = [[index % 6, (index + 2) % 6] for index in range(12)]
    whole = sa.Bank(folder, sample_rate=RATE).at_rate(44_100)
    given = [crops(whole, pair) for pair in rows]
    shared = sa.Bank.from_folder(folder, sample_rate=RATE).at_rate(44_100)
    with ThreadPoolExecutor(6) as pool:
        for mine, theirs in zip(pool.map(lambda pair: crops(shared, pair), rows), given, strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are not copied here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_copied_process_goes_on_where_the_first_one_was(folder):
    bank = sa.Bank.from_folder(folder, sample_rate=RATE).at_rate(44_100)
    crops(bank, [0, 3])
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=lambda: answers.put([bank.clip(index) for index in range(6)]))
    process.start()
    theirs = answers.get()
    process.join()
    for index, name in enumerate(bank.names):
        np.testing.assert_array_equal(theirs[index], expected(folder / name, 44_100))


@pytest.mark.filterwarnings("ignore:.*were left out")
def test_clips_too_short_to_have_a_sample(folder):
    soundfile.write(folder / "click.wav", np.array([0.5]), RATE)
    bank = sa.Bank.from_folder(folder, sample_rate=RATE)
    assert "click.wav" in bank.names
    with pytest.warns(UserWarning, match=r"1 files of .* were left out: click.wav \(silent\)"):
        other = bank.at_rate(4_000)
    assert other.names == tuple(name for name in bank.names if name != "click.wav")
    arrays = sa.Bank.from_arrays([np.ones(9), np.ones(1)], sample_rate=RATE)
    with pytest.raises(ValueError, match="clips must have a sample at 4000 Hz, got clip-1"):
        arrays.at_rate(4_000)


def test_arrays_are_resampled_as_they_are_stored():
    bank = sa.Bank.from_arrays([sound("x")[:, 0], 3.0 * sound("y")[:, 0]], sample_rate=RATE)
    other = bank.at_rate(8_000)
    for index in (1, 0):
        clip = soxr.resample(bank.clip(index)[:, None], RATE, 8_000, quality="HQ")[:, 0]
        assert np.abs(other.clip(index) - clip).max() <= np.abs(clip).max() / 32_767


@pytest.mark.parametrize("cls", [sa.AddNoise, sa.AddBabble, sa.Reverb])
def test_shapes_alone_and_compiled_before_any_clip_was_used(folder, cls):
    bank = sa.Bank.from_folder(folder, sample_rate=RATE)
    x, lengths = torch.randn(3, 2_000, generator=torch.Generator().manual_seed(1)), torch.tensor([2_000, 1_500, 3])
    policy, ids = at_rate(cls(bank=bank), 8_000), ["a", "b", "c"]
    draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=ids))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        shape = policy(mode.from_tensor(x), mode.from_tensor(lengths), draws, sample_rate=8_000)[0].shape
    assert shape == x.shape
    policy = at_rate(cls(bank=bank), 22_050)
    tree = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=ids)).tensors()
    torch._dynamo.reset()
    call = torch.compile(lambda *args: policy(*args, sample_rate=22_050)[0], fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(call(x, lengths, tree), policy(x, lengths, tree, sample_rate=22_050)[0])


def test_lengths_are_those_soxr_makes():
    generator = np.random.default_rng(1)
    rates = [7_351, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000]
    for _ in range(300):
        rate, new_rate = map(int, generator.choice(rates, 2, replace=False))
        length = int(generator.integers(1, generator.choice([20, 5_000])))
        made = soxr.resample(np.ones((length, 1), np.float32), rate, new_rate, quality="HQ")
        assert len(made) == resampled_length(length, rate, new_rate)
