"""The callbacks on a user's own LightningModule, in real Trainer runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

import speechaug as sa
from speechaug.callbacks import Augment, SpectrogramAugment, StepProgress
from speechaug.callbacks.augment import as_ids

pytestmark = pytest.mark.global_rng

RATE = 8_000


class Mine(LightningModule):
    """A module as a user writes it: features, a head, dictionaries as batches."""

    def __init__(self, keys=("waveform", "lengths", "id")):
        super().__init__()
        self.keys = keys
        self.features = sa.LogMel(RATE, 20)
        self.head = nn.Linear(20, 3)
        self.seen = {"train": [], "val": []}
        self.specs = {"train": [], "val": []}

    def _step(self, batch, stage):
        x, lengths = batch[self.keys[0]], batch[self.keys[1]]
        spec, _ = self.features(x, lengths)
        self.seen[stage].append((x.clone(), lengths.clone()))
        self.specs[stage].append(spec.detach().clone())
        return self.head(spec.mean(-1)).square().mean()

    def training_step(self, batch, _):
        return self._step(batch, "train")

    def validation_step(self, batch, _):
        self._step(batch, "val")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def rows(count=4, keys=("waveform", "lengths", "id")):
    generator = np.random.default_rng(0)
    lengths = [4_000 - 400 * row for row in range(count)]
    waves = [torch.from_numpy(generator.standard_normal(4_000).astype(np.float32) * 0.1) for _ in lengths]
    for wave, length in zip(waves, lengths, strict=True):
        wave[length:] = 0
    return [
        dict(zip(keys, (w, n, f"utt-{i}"), strict=True)) for i, (w, n) in enumerate(zip(waves, lengths, strict=True))
    ]


def fit(callbacks, module=None, data=None, epochs=1, **arguments):
    module = module or Mine()
    loader = DataLoader(data or rows(keys=module.keys), batch_size=2)
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=callbacks,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )
    trainer.fit(module, loader, loader)
    return module, trainer


def policy():
    return sa.Compose([sa.Speed(factor=(0.8, 1.25)), sa.Gain()])


def test_augment_changes_training_only():
    module, _ = fit([Augment(policy(), sample_rate=RATE)])
    plain, _ = fit([])
    for (x, lengths), (y, y_lengths) in zip(plain.seen["val"], module.seen["val"], strict=True):
        assert torch.equal(x, y)
        assert torch.equal(lengths, y_lengths)
    assert any(not torch.equal(a[1], b[1]) for a, b in zip(plain.seen["train"], module.seen["train"], strict=True))
    assert set(module.state_dict()) == set(plain.state_dict())


def test_augment_is_the_policy_with_the_epoch_and_ids():
    module, _ = fit([Augment(policy(), sample_rate=RATE, seed=5)], epochs=2)
    for epoch in (0, 1):
        for half in (0, 1):
            ids = [f"utt-{2 * half}", f"utt-{2 * half + 1}"]
            draws = policy().sample(sa.Rng.from_ids(seed=5, epoch=epoch, ids=ids))
            batch = rows()[2 * half : 2 * half + 2]
            x = torch.stack([row["waveform"] for row in batch])
            lengths = torch.tensor([row["lengths"] for row in batch])
            y, y_lengths = policy()(x, lengths, draws, sample_rate=RATE)
            seen = module.seen["train"][2 * epoch + half]
            assert torch.equal(seen[0], y)
            assert torch.equal(seen[1], y_lengths)


def test_other_keys_and_no_ids():
    module, _ = fit(
        [Augment(policy(), sample_rate=RATE, waveform_key="audio", lengths_key="n", id_key=None)],
        Mine(("audio", "n", "x")),
    )
    first, second = (module.seen["train"][i][1].tolist() for i in (0, 1))
    assert first != [4_000, 3_600]
    assert second != [3_200, 2_800]


def test_augmenting_twice_is_refused():
    callback = Augment(policy(), sample_rate=RATE)
    with pytest.raises(ValueError, match="augmented twice, got 2"):
        fit([callback, Augment(policy(), sample_rate=RATE)])
    with pytest.raises(ValueError, match="masked twice, got 2"):
        fit([SpectrogramAugment(sa.presets.specaugment("small")) for _ in range(2)])
    with pytest.raises(ValueError, match="DataModule must have no policy"):
        callback.setup(
            type("T", (), {"datamodule": type("D", (), {"augmenter": callback.augmenter})(), "callbacks": []})(),
            Mine(),
            "fit",
        )


def test_data_of_another_rate_are_refused():
    trainer = type("T", (), {"datamodule": type("D", (), {"sample_rate": 2 * RATE})(), "callbacks": []})()
    with pytest.raises(ValueError, match=f"must be that of the DataModule, {2 * RATE} Hz, got {RATE} Hz"):
        Augment(policy(), sample_rate=RATE).setup(trainer, Mine(), "fit")


def test_wrong_domain_and_batch():
    with pytest.raises(ValueError, match="policy must act on waveforms, got Compose"):
        Augment(sa.presets.specaugment("LD"), sample_rate=RATE)
    with pytest.raises(ValueError, match="policy must act on spectrograms, got Gain"):
        SpectrogramAugment(sa.Gain())
    with pytest.raises(ValueError, match=r"key 'speech', got \['id', 'lengths', 'waveform'\]"):
        fit([Augment(policy(), sample_rate=RATE, waveform_key="speech")])
    with pytest.raises(ValueError, match=r"submodule of Mine \(features, head\), got 'encoder'"):
        fit([SpectrogramAugment(sa.presets.specaugment("LD"), module="encoder")])


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="lengths_key must be given"):
        Augment(policy(), sample_rate=RATE, lengths_key=None)
    for option in ("lengths_key", "id_key"):
        with pytest.raises(ValueError, match="key 'absent', got"):
            fit([Augment(policy(), sample_rate=RATE, **{option: "absent"})])
    with pytest.raises(ValueError, match="key 'absent', or id_key None"):
        fit([SpectrogramAugment(sa.presets.specaugment("small"), id_key="absent")])


def test_ids_collated_to_a_tensor_are_numbers():
    assert as_ids(torch.tensor([3, 7])) == ["3", "7"]


def test_spectrogram_augment_masks_training_only_and_leaves_no_trace():
    masks = sa.Compose([sa.FrequencyMask(width_bins=(5, 5), count=2)])
    module, _ = fit([SpectrogramAugment(masks, seed=2)])
    plain, _ = fit([])
    assert all(torch.equal(a, b) for a, b in zip(plain.specs["val"], module.specs["val"], strict=True))
    for half, (masked, whole) in enumerate(zip(module.specs["train"], plain.specs["train"], strict=True)):
        ids = [f"utt-{2 * half}", f"utt-{2 * half + 1}"]
        rng = sa.Rng.from_ids(seed=2, epoch=0, ids=ids).fork("SpectrogramAugment")
        lengths = 1 + plain.seen["train"][half][1] // 80
        expected, _ = masks(whole, lengths, masks.sample(rng))
        assert torch.equal(masked, expected)
        assert not torch.equal(masked, whole)
    assert set(module.state_dict()) == set(plain.state_dict())
    assert not module.features._forward_hooks


def test_spectrogram_augment_on_a_module_with_time_first():
    class TimeFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.mel = sa.LogMel(RATE, 20)

        def forward(self, x, lengths):
            return self.mel(x, lengths)[0].transpose(1, 2)

    class User(Mine):
        def __init__(self):
            super().__init__()
            self.front = TimeFirst()

        def training_step(self, batch, _):
            spec = self.front(batch["waveform"], batch["lengths"])
            self.specs["train"].append(spec.detach().clone())
            return self.head(spec.mean(1)).square().mean()

    masks = sa.Compose([sa.FrequencyMask(width_bins=(6, 6), count=1)])
    module, _ = fit([SpectrogramAugment(masks, module="front", time_last=False)], User())
    silent_bins = (module.specs["train"][0] == 0).all(dim=1).sum(dim=1)
    assert silent_bins.tolist() == [6, 6]


def test_the_hook_is_gone_after_an_error():
    class Fails(Mine):
        def training_step(self, batch, _):
            raise RuntimeError("user error")

    module = Fails()
    with pytest.raises(RuntimeError, match="user error"):
        fit([SpectrogramAugment(sa.presets.specaugment("small"))], module)
    assert not module.features._forward_hooks


def test_progress_prints_lines_over_a_pipe(capsys):
    fit([StepProgress("demo")], epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"demo: step {step}/4" for step in (1, 2, 3, 4)]
    assert all("loss" in line for line in lines)
