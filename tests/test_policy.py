"""Policies: composition, places, growth, strength, range, times, files, replay."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
import torch

import speechaug as sa

RATE = 16_000


def rng(rows=4, seed=1):
    return sa.Rng.from_ids(seed=seed, epoch=0, ids=[f"utt-{row}" for row in range(rows)])


def batch(rows=4, width=4_000):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((rows, width)).astype(np.float32) * 0.1)
    lengths = torch.tensor([width - 500 * row for row in range(rows)])
    return x * (torch.arange(width) < lengths[:, None]), lengths


def test_a_policy_is_its_members_one_after_the_other():
    x, lengths = batch()
    policy = sa.Compose([sa.Gain(), sa.Speed(factor=(0.8, 1.2), p=0.6), sa.Polarity()])
    draws = policy.sample(rng())
    y, y_lengths = policy(x, lengths, draws, sample_rate=RATE)
    z, z_lengths = x, lengths
    for member, drawn in zip(policy.members, draws.members.values(), strict=True):
        z, z_lengths = member(z, z_lengths, drawn, sample_rate=RATE)
    assert torch.equal(y, z)
    assert torch.equal(y_lengths, z_lengths)


def test_adding_a_member_of_another_class_changes_nothing_for_the_rest():
    before = sa.Compose([sa.Gain(), sa.LowPass(), sa.Gain()]).sample(rng())
    after = sa.Compose([sa.Polarity(), sa.Gain(), sa.TimeShift(), sa.LowPass(), sa.Gain()]).sample(rng())
    for place in ("Gain", "LowPass", "Gain.1"):
        assert before.members[place] == after.members[place]
    assert before.members["Gain"] != before.members["Gain.1"]


def test_one_of_and_some_of_choose_per_row():
    names = [str(i) for i in range(3_000)]
    one = sa.OneOf([sa.Gain(), sa.Polarity(p=1.0)], weights=(3.0, 1.0), p=0.5)
    draws = one.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=names))
    gain, flip = draws.members["Gain"].on, draws.members["Polarity"].on
    assert not (gain & flip).any()
    assert abs(gain.mean() - 0.375) < 0.03
    assert abs(flip.mean() - 0.125) < 0.03
    some = sa.SomeOf([sa.Gain(), sa.Polarity(p=1.0), sa.TimeShift()], count=(1, 2))
    counts = np.sum([m.on for m in some.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=names)).members.values()], axis=0)
    assert set(counts.tolist()) == {1, 2}


def test_width_is_the_widest_row_not_the_product_of_worst_cases():
    policy = sa.Compose([sa.Speed(factor=(0.75, 1.3)), sa.TimeStretch(rate=(0.8, 1.25))])
    x, _ = batch(8, 4_000)
    draws = policy.sample(rng(8))
    y, y_lengths = policy(x, None, draws, sample_rate=RATE)
    assert y.shape[-1] == int(y_lengths.max()) < 4_000 * policy.growth
    expected = np.rint(
        np.rint(4_000 / draws.members["Speed"].values["factor"]) / draws.members["TimeStretch"].values["rate"]
    )
    assert y_lengths.tolist() == expected.astype(int).tolist()


def test_growth_is_refused_at_construction():
    with pytest.raises(ValueError, match=r"max_growth=2 times, got 2.78 \(Speed 1.67x, TimeStretch 1.67x\)"):
        sa.Compose([sa.Speed(factor=(0.6, 1.0)), sa.Gain(), sa.TimeStretch(rate=(0.6, 1.0))])
    sa.Compose([sa.OneOf([sa.Speed(factor=(0.6, 1.0)), sa.TimeStretch(rate=(0.6, 1.0))])])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sa.Gain(gain_db=(3.0, -3.0)), r"Gain: gain_db must be finite with low <= high, got \(3.0, -3.0\)"),
        (lambda: sa.Gain(gain_db=3.0), "Gain: gain_db must be a .low, high. pair"),
        (lambda: sa.Gain(p=1.5), "Gain: p must be a number in"),
        (lambda: sa.Speed(factor=(0.0, 1.0)), "Speed: factor must be"),
        (lambda: sa.Compose([]), "Compose: members must be one or more transforms"),
        (lambda: sa.Compose([sa.Gain(), sa.TimeMask()]), "must share one domain"),
        (lambda: sa.Compose([sa.Compose([sa.Gain()], range_policy="clip")]), "range_policy must be set once"),
        (lambda: sa.Compose([sa.Gain()], range_policy="wrap"), "range_policy must be none, rescale or clip"),
        (lambda: sa.OneOf([sa.Gain()], weights=(1.0, 2.0)), "weights must be one per member"),
        (lambda: sa.SomeOf([sa.Gain()], count=(1, 2)), "count must be"),
        (lambda: sa.Gain().scaled(-1.0), "strength must be at least 0"),
        (lambda: sa.AddNoise(bank="noise/"), "AddNoise: bank must be a Bank, got 'noise/'"),
        (lambda: sa.LowPass(order=2.0), "LowPass: order must be"),
        (lambda: sa.TimeMask(count=2.5), "TimeMask: count must be"),
        (lambda: sa.Compose([sa.TimeMask()], range_policy="clip"), "range_policy must be none for spectrograms"),
        (lambda: sa.Gain.at(2.0), r"strength must be in \[0, 1\]"),
    ],
)
def test_configuration_errors_say_owner_constraint_and_value(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_call_errors():
    x, lengths = batch()
    policy = sa.Compose([sa.Gain()])
    draws = policy.sample(rng())
    with pytest.raises(ValueError, match="sample_rate must be given"):
        policy(x, lengths, draws)
    with pytest.raises(ValueError, match="draws must hold 2 rows, got 4"):
        policy(x[:2], lengths[:2], draws, sample_rate=RATE)
    with pytest.raises(ValueError, match=r"lengths must be of shape \(4,\)"):
        policy(x, lengths[:3], draws, sample_rate=RATE)
    with pytest.raises(ValueError, match=r"x must be \(B, T\) or \(B, C, T\), got shape \(4000,\)"):
        policy(x[0], lengths, draws, sample_rate=RATE)
    with pytest.raises(TypeError, match=r"x must be floating, got torch.int16"):
        policy(x.to(torch.int16), lengths, draws, sample_rate=RATE)
    bank = sa.Bank.from_arrays([np.ones(10)], sample_rate=8_000)
    noisy = sa.Compose([sa.AddNoise(bank=bank)])
    with pytest.raises(ValueError, match="16000 Hz, got 8000 Hz"):
        noisy(x, lengths, noisy.sample(rng()), sample_rate=RATE)


def test_lengths_must_be_integers_and_come_back_as_int64():
    x, lengths = batch()
    policy = sa.Compose([sa.Speed(p=0.5)])
    draws = policy.sample(rng())
    y, y_lengths = policy(x, lengths, draws, sample_rate=RATE)
    again, again_lengths = policy(x, lengths.int(), draws, sample_rate=RATE)
    assert torch.equal(y, again)
    assert again_lengths.dtype == torch.int64
    assert torch.equal(y_lengths, again_lengths)
    for wrong in (lengths / 4_000, lengths > 0, lengths.numpy()):
        with pytest.raises(TypeError, match="lengths must be integers in a tensor"):
            policy(x, wrong, draws, sample_rate=RATE)


def test_draws_of_another_policy_are_refused():
    x, lengths = batch()
    draws = sa.Compose([sa.Gain(), sa.Polarity()]).sample(rng())
    with pytest.raises(ValueError, match=r"draws must be of this policy, for \['Gain'\], got \['Gain', 'Polarity'\]"):
        sa.Compose([sa.Gain()])(x, lengths, draws, sample_rate=RATE)
    with pytest.raises(ValueError, match="draws must be of this policy"):
        sa.Compose([sa.Polarity()]).replay(draws.to_dict())


def test_the_same_rng_samples_the_same_and_a_fork_another_view():
    policy = sa.OneOf([sa.Gain(), sa.Speed()])
    streams = rng()
    assert policy.sample(streams) == policy.sample(streams) != policy.sample(streams.fork("view-2"))


def test_fixed_shapes_keep_to_the_growth_of_a_choice():
    policy = sa.OneOf([sa.Speed(factor=(0.5, 1.0)) for _ in range(4)])
    x, _ = batch()
    y, _ = policy(x, None, policy.sample(rng()).tensors(), sample_rate=RATE)
    assert y.shape[-1] == 8_000


def test_range_policies_act_only_where_something_was_on():
    x = torch.full((3, 100), 0.9)
    x[2] = 1.5
    for kind, expected in (("none", 9.0), ("clip", 1.0), ("rescale", 1.0)):
        policy = sa.Compose([sa.Gain(gain_db=(20.0, 20.0), p=0.5)], range_policy=kind)
        draws = next(d for s in range(99) if (d := policy.sample(rng(3, s))).on.tolist() == [True, False, False])
        y, _ = policy(x, None, draws, sample_rate=RATE)
        assert y[0, 0].item() == pytest.approx(expected)
        assert torch.equal(y[1:], x[1:])


def test_strength_moves_along_the_declared_scale():
    assert sa.Speed(factor=(0.81, 1.21)).scaled(0.5).factor == pytest.approx((0.9, 1.1))
    assert sa.Gain(gain_db=(-6.0, 6.0)).scaled(2.0).gain_db == (-12.0, 12.0)
    assert sa.Gain(gain_db=(-6.0, 6.0)).scaled(100.0).gain_db == (-24.0, 24.0)
    assert sa.Polarity(p=0.5).scaled(0.5).p == 0.25
    assert sa.Gain.at(0.5).gain_db == (-12.0, 12.0)
    assert sa.Gain.at(0.0).p == 0.0
    assert sa.Polarity.at(0.3).p == 0.3
    assert sa.AddColoredNoise(snr_db=(0.0, 20.0)).scaled(0.5).snr_db == (30.0, 40.0)
    cutoffs = [sa.LowPass(cutoff_hz=(16_000.0, 16_000.0)).scaled(s).cutoff_hz[0] for s in (0.01, 0.5, 1.0)]
    assert cutoffs == sorted(cutoffs, reverse=True)


def test_a_stronger_policy_may_lengthen_more():
    policy = sa.Compose([sa.Speed(factor=(0.8, 1.25)), sa.TimeStretch(rate=(0.8, 1.25))])
    assert policy.scaled(2.5).growth > policy.max_growth
    with pytest.raises(TypeError, match="is for single transforms"):
        sa.Compose.at(0.5)


def test_times_follow_the_audio():
    """A click is found where warp_times says it went."""
    rows, width = 6, 16_000
    at = torch.tensor([[0.25], [0.5], [0.1], [0.9], [0.4], [0.7]], dtype=torch.float64)
    x = torch.zeros(rows, width)
    x[torch.arange(rows), (at[:, 0] * RATE).long()] = 1.0
    policy = sa.Compose([sa.TimeShift(shift_ms=(-80.0, 80.0)), sa.Speed(factor=(0.8, 1.25), p=0.7)])
    draws = policy.sample(rng(rows))
    y, y_lengths = policy(x, None, draws, sample_rate=RATE)
    moved = policy.warp_times(at, torch.full((rows,), width), draws, sample_rate=RATE)
    found = y.abs().argmax(dim=1) / RATE
    assert (found - moved[:, 0]).abs().max() <= 1.01 / RATE
    assert len(set(y_lengths.tolist())) > 1


def test_extras_hold_what_was_achieved():
    x, lengths = batch()
    policy = sa.Compose([sa.Gain(), sa.AddColoredNoise(snr_db=(3.0, 9.0), p=0.5)])
    draws = policy.sample(rng(4, 5))
    out = policy.run(x, lengths, draws, sample_rate=RATE)
    measured, leaf = out.extras["AddColoredNoise.snr_db"], draws.members["AddColoredNoise"]
    assert torch.equal(torch.isnan(measured), torch.from_numpy(~leaf.on))
    asked = torch.from_numpy(leaf.values["snr_db"])[~torch.isnan(measured)]
    assert torch.allclose(measured[~torch.isnan(measured)].double(), asked, atol=0.05)


def test_yaml_round_trip_and_banks_elsewhere(tmp_path, noise_folder):
    bank = sa.Bank.from_folder(noise_folder, sample_rate=RATE)
    policy = sa.Compose([sa.OneOf([sa.AddNoise(bank=bank), sa.Gain()]), sa.Speed(p=0.5)], range_policy="rescale")
    sa.save_policy(policy, tmp_path / "policy.yaml")
    assert sa.load_policy(tmp_path / "policy.yaml") == policy
    elsewhere = tmp_path / "elsewhere"
    noise_folder.rename(elsewhere)
    absent = sa.load_policy(tmp_path / "policy.yaml")
    assert absent == policy
    with pytest.raises(ValueError, match=r"folder must be an existing folder.*load_policy"):
        absent.sample(rng())
    moved = sa.load_policy(tmp_path / "policy.yaml", banks={"OneOf/AddNoise": elsewhere})
    assert moved.sample(rng()) == policy.sample(rng())
    with pytest.raises(KeyError, match="OneOf/AddNoise"):
        sa.load_policy(tmp_path / "policy.yaml", banks={"AddNoise": elsewhere})
    next(elsewhere.rglob("*.wav")).unlink()
    with pytest.raises(ValueError, match="must have the digest"):
        sa.load_policy(tmp_path / "policy.yaml", banks={"OneOf/AddNoise": elsewhere}).sample(rng())


def test_a_relative_folder_is_looked_for_beside_the_file_first(tmp_path, noise_folder, monkeypatch):
    (tmp_path / "policies").mkdir()
    file, beside, here = tmp_path / "policies" / "policy.yaml", tmp_path / "policies" / "sounds", tmp_path / "sounds"
    noise_folder.rename(here)
    monkeypatch.chdir(tmp_path)
    policy = sa.AddNoise(bank=sa.Bank("sounds", sample_rate=RATE))
    sa.save_policy(policy, file)
    assert sa.load_policy(file).bank.folder == "sounds"
    assert sa.load_policy(file) == policy
    here.rename(beside)
    monkeypatch.chdir("/")
    found = sa.load_policy(file)
    assert found.bank.folder == str(beside)
    sa.save_policy(found, tmp_path / "again.yaml")  # elsewhere, so that the folder is told in full
    assert sa.load_policy(tmp_path / "again.yaml").sample(rng()) == found.sample(rng())
    beside.rename(tmp_path / "given")
    for absent in (sa.load_policy(file), pickle.loads(pickle.dumps(sa.load_policy(file)))):
        with pytest.raises(ValueError, match=f"no folder {re.escape(str(beside))} or /sounds"):
            absent.sample(rng())
    given = sa.load_policy(file, banks={"AddNoise": tmp_path / "given"})
    assert given.sample(rng()) == found.sample(rng())
    with pytest.raises(ValueError, match=f"no folder {re.escape(str(here))}"):
        sa.load_policy(file, banks={"AddNoise": here}).sample(rng())


def test_a_folder_without_audio_beside_the_file_does_not_count(tmp_path, noise_folder, monkeypatch):
    (tmp_path / "policies" / "sounds").mkdir(parents=True)
    (tmp_path / "policies" / "sounds" / "LICENSE.txt").write_text("no sound")
    file, beside, here = tmp_path / "policies" / "policy.yaml", tmp_path / "policies" / "sounds", tmp_path / "sounds"
    noise_folder.rename(here)
    monkeypatch.chdir(tmp_path)
    policy = sa.AddNoise(bank=sa.Bank("sounds", sample_rate=RATE))
    sa.save_policy(policy, file)
    assert sa.load_policy(file).sample(rng()) == policy.sample(rng())
    here.rename(tmp_path / "moved")
    for _ in range(2):  # absent, then empty
        with pytest.raises(ValueError, match=f"no audio in {re.escape(str(beside))} or {re.escape(str(here))}"):
            sa.load_policy(file).sample(rng())
        here.mkdir(exist_ok=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("members: []", "must hold class_path"),
        ("- [", "policy.yaml must hold YAML, got while parsing"),
        ("\udcff", "policy.yaml must hold YAML, got 'utf-8' codec can't decode"),
        ("version: 1\nclass_path: speechaug.Gain\ninit_args: {gain: 3}", "policy.yaml must hold .* argument 'gain'"),
        ("version: 1\nclass_path: speechaug.Compose\ninit_args: {members: 3}", "policy.yaml must hold .* not iterable"),
        (
            "version: 1\nclass_path: speechaug.Compose\ninit_args: {members: [{}]}",
            "policy.yaml must hold .* 'class_path'",
        ),
        ("version: 1\nclass_path: speechaug.Gain\ninit_args: [1]", "policy.yaml must hold transforms with"),
        ("class_path: speechaug.Gain", "version: 1"),
        ("version: 1\nclass_path: speechaug.Nothing", "class_path must name a class"),
        ("version: 1\nclass_path: os.path.join", "class_path must name a transform"),
    ],
)
def test_a_file_that_is_no_policy(tmp_path, text, message):
    (tmp_path / "policy.yaml").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match=message):
        sa.load_policy(tmp_path / "policy.yaml")


def test_draws_replay_with_clips_by_hash(noise_folder):
    bank = sa.Bank.from_folder(noise_folder, sample_rate=RATE)
    policy = sa.Compose([sa.AddNoise(bank=bank, p=0.7), sa.Gain()])
    draws = policy.sample(rng())
    data = json.loads(json.dumps(draws.to_dict()))
    assert set(data["AddNoise"]["clip"]) <= set(bank.hashes)
    x, lengths = batch()
    first, again = (policy(x, lengths, d, sample_rate=RATE)[0] for d in (draws, policy.replay(data)))
    assert torch.equal(first, again)
    data["AddNoise"]["clip"][0] = "unknown"
    with pytest.raises(ValueError, match="clip must be one of the bank's hashes"):
        policy.replay(data)


def test_jsonargparse_reads_what_save_policy_writes(tmp_path):
    from jsonargparse import ArgumentParser

    policy = sa.Compose([sa.Gain(gain_db=(-3.0, 3.0)), sa.OneOf([sa.Polarity(), sa.Speed()], weights=(1.0, 2.0))])
    sa.save_policy(policy, tmp_path / "policy.yaml")
    import yaml

    data = yaml.safe_load((tmp_path / "policy.yaml").read_text())
    data.pop("version")
    parser = ArgumentParser()
    parser.add_argument("--policy", type=sa.Transform)
    parsed = parser.instantiate(parser.parse_object({"policy": data}))
    assert parsed.policy == policy


def test_authors_mistakes_are_named():
    with pytest.raises(TypeError, match="a transform is final"):
        type("Louder", (sa.Gain,), {"__module__": "mine"})
    with pytest.raises(TypeError, match="the name is taken by speechaug"):
        type("Gain", (sa.Transform,), {"__module__": "mine"})
