"""Views of an utterance and consistency between them: draws, batches of the DataModule, losses, training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

import speechaug as sa
from speechaug.asr import SpeechRecognizer
from speechaug.asr.consistency import cr_ctc, in_views, jsd
from speechaug.callbacks import Augment, SpectrogramAugment
from speechaug.rng import CLEAN, Rng

RATE = 8_000
IDS = [f"utt-{number}" for number in range(40)]


def policy() -> sa.Compose:
    return sa.Compose(
        [
            sa.Speed(factor=(0.8, 1.25), p=0.7),
            sa.OneOf([sa.TimeShift(), sa.Gain()]),
            sa.OneOf([sa.Gain(), sa.AddColoredNoise()], p=0.8),
            sa.Gain(p=0.5),
        ]
    )


def sample(views: list[int]) -> sa.Draws:
    ids = IDS * len(views)
    return policy().sample(Rng.from_ids(seed=3, epoch=1, ids=ids, views=[view for view in views for _ in IDS]))


# Draws


def test_view_zero_draws_what_one_view_draws() -> None:
    alone = policy().sample(Rng.from_ids(seed=3, epoch=1, ids=IDS)).to_dict()
    both = sample([0, 1]).to_dict()

    def first_half(tree: Any) -> Any:
        return {k: first_half(v) if isinstance(v, dict) else v[: len(IDS)] for k, v in tree.items()}

    assert first_half(both) == alone


def test_what_moves_time_is_shared_and_the_rest_is_not() -> None:
    draws = sample([0, 1])
    leaves = dict(draws.walk())

    def halves(place: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        values = leaves[place].on if name == "on" else leaves[place].values[name]
        return values[: len(IDS)], values[len(IDS) :]

    for place, name in (("Speed", "factor"), ("Speed", "on"), ("OneOf/TimeShift", "on"), ("OneOf/Gain", "on")):
        assert np.array_equal(*halves(place, name)), place
    for place, name in (
        ("OneOf/Gain", "gain_db"),
        ("OneOf.1/Gain", "on"),
        ("OneOf.1/AddColoredNoise", "snr_db"),
        ("Gain", "gain_db"),
        ("Gain", "on"),
    ):
        assert not np.array_equal(*halves(place, name)), place


def test_the_clean_view_is_moved_in_time_only() -> None:
    draws = sample([CLEAN, 0])
    for place, leaf in draws.walk():
        clean, other = leaf.on[: len(IDS)], leaf.on[len(IDS) :]
        if place in ("Speed", "OneOf/TimeShift"):
            assert np.array_equal(clean, other)
            assert clean.any()
        else:
            assert not clean.any()
            assert other.any()


def test_a_warp_of_the_spectrogram_is_shared() -> None:
    draws = sa.presets.specaugment("LD").sample(Rng.from_ids(seed=0, epoch=0, ids=IDS * 2, views=[0] * 40 + [1] * 40))
    for place, leaf in draws.walk():
        for values in leaf.values.values():
            assert np.array_equal(values[:40], values[40:]) == (place == "TimeWarp"), place


def test_a_repeated_id_is_counted_within_its_view() -> None:
    drawn = Rng.from_ids(seed=0, epoch=0, ids=["a", "a", "a", "a"], views=[0, 0, 1, 1]).uniform()
    assert len(set(drawn.tolist())) == 4
    shared = Rng.from_ids(seed=0, epoch=0, ids=["a", "a", "a", "a"], views=[0, 0, 1, 1]).shared().uniform()
    assert shared[:2].tolist() == shared[2:].tolist()
    assert shared[0] != shared[1]


@pytest.mark.parametrize("views", [[0], [0, -2]])
def test_bad_views(views: list[int]) -> None:
    with pytest.raises(ValueError, match="views must be 2 numbers, at least -1"):
        Rng.from_ids(seed=0, epoch=0, ids=["a", "b"], views=views)


# Losses


def _posteriors(views: int) -> tuple[torch.Tensor, np.ndarray]:
    logits = torch.from_numpy(np.random.default_rng(0).standard_normal((views, 3, 7, 5)) * 2)
    return logits.log_softmax(-1), logits.softmax(-1).numpy()


LENGTHS = torch.tensor([7, 4, 0])


def test_cr_ctc_is_the_mean_of_both_divergences() -> None:
    log_probs, p = _posteriors(2)
    both = rel_entr(p[0], p[1]) + rel_entr(p[1], p[0])
    expected = [both[row, :length].sum() / 2 for row, length in enumerate(LENGTHS.tolist())]
    np.testing.assert_allclose(cr_ctc(log_probs, LENGTHS).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("views", [2, 3])
def test_jsd_is_the_mean_divergence_from_the_mean(views: int) -> None:
    log_probs, p = _posteriors(views)
    if views == 2:
        frames = jensenshannon(p[0], p[1], axis=-1) ** 2
    else:
        frames = rel_entr(p, p.mean(0)).sum(-1).mean(0)
    expected = [frames[row, :length].sum() for row, length in enumerate(LENGTHS.tolist())]
    np.testing.assert_allclose(jsd(log_probs, LENGTHS).numpy(), expected, rtol=1e-6)


def test_each_view_of_cr_ctc_learns_from_the_other_as_it_stands() -> None:
    """The gradient by the logits of a softmax under KL(q || softmax) is softmax - q, here halved."""
    logits = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 1, 2, 4))).requires_grad_()
    cr_ctc(logits.log_softmax(-1), torch.tensor([2])).sum().backward()
    p = logits.detach().softmax(-1)
    torch.testing.assert_close(logits.grad, (p - p.flip(0)) / 2)


def test_views_of_other_utterances_are_refused() -> None:
    rows = torch.zeros(4, 2)
    assert in_views(rows, [0, 0, 1, 1], ["a", "b", "a", "b"]).shape == (2, 2, 2)
    with pytest.raises(ValueError, match="same utterances in the same order"):
        in_views(rows, [0, 0, 1, 1], ["a", "b", "b", "a"])
    for views in (None, [0, 0, 0, 0]):
        with pytest.raises(ValueError, match=r"two or more views, as with SpeechDataModule\(views=2\)"):
            in_views(rows, views, ["a", "b", "a", "b"])
    with pytest.raises(ValueError, match="log_probs must be"):
        cr_ctc(torch.zeros(3, 1, 2, 2), torch.tensor([1]))
    with pytest.raises(ValueError, match="log_probs must be"):
        jsd(torch.zeros(1, 1, 2, 2), torch.tensor([1]))


# Training


class Kept(SpeechRecognizer):
    """Keeps its batches."""

    def on_fit_start(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Any:
        self.kept.append(dict(batch))
        return super().training_step(batch, batch_idx)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Four recordings of two words, of other lengths."""
    generator = np.random.default_rng(0)
    for take in range(4):
        samples = generator.standard_normal(RATE + 400 * take).astype(np.float32) * 0.1
        sa.audio.write(tmp_path / f"{'ab'[take % 2]}_ann_{take}.wav", samples, RATE)
    return tmp_path


MODEL_OPTIONS = ("consistency", "consistency_weight", "architecture")


def train(
    digits: Path, *, steps: int = 3, callbacks: tuple[pl.Callback, ...] = (), kind: type[Kept] = Kept, **options: Any
) -> Any:
    arguments = {name: options.pop(name) for name in MODEL_OPTIONS if name in options}
    data = sa.SpeechDataModule(
        train=str(digits), pattern="{text}_{speaker}_{take}.wav", sample_rate=RATE, batch_size=3, **options
    )
    torch.manual_seed(0)
    recognizer = kind(["a", "b"], "word", size="xs", sample_rate=RATE, dropout=0.0, **arguments)
    pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    ).fit(recognizer, datamodule=data)
    return recognizer


NOISE = sa.Compose([sa.Speed(factor=(0.8, 1.25)), sa.AddColoredNoise(snr_db=(0.0, 5.0))])


@pytest.mark.global_rng
def test_batches_hold_the_views_one_after_the_other(digits: Path) -> None:
    batch = train(digits, views=2, clean_view=True, policy=NOISE, steps=1).kept[0]
    size = len(batch["id"]) // 3
    assert batch["view"] == [view for view in (-1, 0, 1) for _ in range(size)]
    for name in ("id", "text", "speaker"):
        assert batch[name] == batch[name][:size] * 3
    assert batch["lengths"].tolist() == batch["lengths"][:size].tolist() * 3
    clean, one, two = batch["waveform"].split(size)
    assert not torch.equal(one, two)
    plain = train(digits, policy=NOISE, steps=1).kept[0]
    assert torch.equal(one, plain["waveform"])  # view 0 is what is trained on without views
    faster = train(digits, policy=sa.Compose([NOISE.members[0]]), steps=1).kept[0]
    assert torch.equal(clean, faster["waveform"])


@pytest.mark.global_rng
@pytest.mark.parametrize("consistency", ["cr_ctc", "jsd"])
def test_equal_views_cost_nothing_and_unequal_ones_do(digits: Path, consistency: str) -> None:
    same = train(digits, views=2, consistency=consistency)
    assert float(same.trainer.callback_metrics["train_consistency"]) == pytest.approx(0.0, abs=1e-5)
    other = train(digits, views=2, policy=NOISE, consistency=consistency)
    assert float(other.trainer.callback_metrics["train_consistency"]) > 0.01
    masked = train(digits, views=2, consistency=consistency, callbacks=(SpectrogramAugment(MASKS),))
    assert float(masked.trainer.callback_metrics["train_consistency"]) > 0.01


MASKS = sa.FrequencyMask(width_bins=(5.0, 20.0))


@pytest.mark.global_rng
def test_the_weight_rises_and_counts(digits: Path) -> None:
    """At weight zero training is that without consistency; the first step has none either way."""
    plain = train(digits, views=2, policy=NOISE, steps=4)
    idle = train(digits, views=2, policy=NOISE, steps=4, consistency="jsd", consistency_weight=0.0)
    tied = train(digits, views=2, policy=NOISE, steps=4, consistency="jsd", consistency_weight=5.0)
    weights = [module.model.head.weight for module in (plain, idle, tied)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    first = train(digits, views=2, policy=NOISE, steps=1, consistency="jsd", consistency_weight=5.0)
    assert torch.equal(first.model.head.weight, train(digits, views=2, policy=NOISE, steps=1).model.head.weight)


class Told(Kept):
    """Keeps the loss of each step and how far the views were apart."""

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.losses: list[float] = []
        self.apart: list[float] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.losses.append(float(loss.detach()))
        return loss

    def _consistency(self, *arguments: Any) -> torch.Tensor:
        apart = super()._consistency(*arguments)
        self.apart.append(float(apart.detach()))
        return apart


@pytest.mark.global_rng
@pytest.mark.parametrize(("consistency", "weight"), [("cr_ctc", 0.2), ("jsd", 1.0)])
def test_the_loss_is_ctc_and_the_weighted_divergence(digits: Path, consistency: str, weight: float) -> None:
    """Both runs have the same weights at the second step, because the weight of the first is zero."""
    plain = train(digits, kind=Told, views=2, policy=NOISE, steps=2)
    tied = train(digits, kind=Told, views=2, policy=NOISE, steps=2, consistency=consistency)
    assert tied.losses[0] == plain.losses[0]
    assert tied.apart[1] > 0.001
    assert tied.losses[1] == pytest.approx(plain.losses[1] + weight * tied.apart[1], rel=1e-5)


@pytest.mark.global_rng
def test_callbacks_know_the_views(digits: Path) -> None:
    """The policy as a callback gives the batches it gives in the DataModule."""
    inside = train(digits, views=2, policy=NOISE, steps=1).kept[0]
    beside = train(digits, views=2, steps=1, callbacks=(Augment(NOISE, sample_rate=RATE),)).kept[0]
    assert torch.equal(inside["waveform"], beside["waveform"])
    assert torch.equal(inside["lengths"], beside["lengths"])


@pytest.mark.global_rng
def test_a_broken_utterance_counts_in_no_view(digits: Path) -> None:
    recognizer = SpeechRecognizer(["a", "b"], "word", size="xs", sample_rate=RATE)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, RATE)).astype(np.float32)) * 0.1
    x[2, 5] = torch.nan
    batch = {"waveform": x, "lengths": torch.full((4,), RATE), "text": ["a", "b"] * 2, "id": ["u", "v"] * 2}
    batch |= {"view": [0, 0, 1, 1]}
    losses = recognizer.row_losses(batch)
    assert losses[2] == 0
    assert (losses[[0, 1, 3]] > 0).all()
    log_probs, frames, loss, _ = recognizer._score(batch)
    recognizer.hparams["consistency"] = "jsd"
    apart = recognizer._consistency(batch, log_probs, frames, loss)
    alone = jsd(log_probs.unflatten(0, (2, 2))[:, 1:], frames[1:2])
    assert float(apart.detach()) == pytest.approx(float(alone.detach()), rel=1e-6)


@pytest.mark.global_rng
def test_a_checkpoint_keeps_the_options(digits: Path, tmp_path: Path) -> None:
    options = {"consistency": "jsd", "consistency_weight": 0.5, "architecture": "conformer"}
    recognizer = train(digits, views=2, policy=NOISE, steps=1, **options)
    recognizer.trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = SpeechRecognizer.load_from_checkpoint(tmp_path / "model.ckpt", map_location="cpu", weights_only=True)
    assert dict(loaded.hparams) == dict(recognizer.hparams)
    assert {name: loaded.hparams[name] for name in options} == options
    for one, other in zip(loaded.state_dict().values(), recognizer.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"consistency": "both"}, r"consistency must be one of \['none', 'cr_ctc', 'jsd'\], got 'both'"),
        ({"consistency": "jsd", "consistency_weight": -1.0}, "consistency_weight must not be negative, got -1.0"),
    ],
)
@pytest.mark.global_rng
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpeechRecognizer(["a"], "word", **arguments)
    with pytest.raises(ValueError, match="views must be a whole number >= 1, got 0"):
        sa.SpeechDataModule(train="x", views=0)


@pytest.mark.global_rng
def test_views_are_needed_for_consistency(digits: Path) -> None:
    with pytest.raises(ValueError, match=r"a batch must have two or more views, as with SpeechDataModule\(views=2\)"):
        train(digits, consistency="cr_ctc")
