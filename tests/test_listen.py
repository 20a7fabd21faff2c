"""Listen in real Trainer runs: sounds against the recordings and the policy, in files, TensorBoard and W&B's calls."""

from __future__ import annotations

import io

import lightning.pytorch as pl
import numpy as np
import pytest
import soundfile
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch.utils.data import DataLoader
from trainings import RATE, recognizer, speech, trainer, write_tree

import speechaug as sa
from speechaug import audio
from speechaug.augmenter import augmenters
from speechaug.callbacks import Augment, Listen, SpectrogramAugment
from speechaug.page.pictures import before_after, masks_before_after

NOISE = sa.Bank.from_arrays([np.random.default_rng(5).standard_normal(9_000)], sample_rate=RATE, names=["fan.wav"])
POLICY = sa.Compose([sa.Speed(factor=(0.8, 1.25)), sa.AddNoise(bank=NOISE, snr_db=(0.0, 20.0), p=0.7)])
MASKS = sa.presets.specaugment("small")

runs = pytest.mark.global_rng


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"))


def fit(tree, folder, *callbacks, policy=POLICY, views=1, clean_view=False, model=None, **arguments):
    run = trainer(folder, list(callbacks), **arguments)
    data = speech(tree, policy, views=views, clean_view=clean_view)
    run.fit(model or recognizer(), datamodule=data)
    return run, data


def recorded(tree, name):
    return audio.read(tree / f"{name}.wav")[0][0]


def as_in_training(samples, name, epoch, policy=POLICY):
    draws = policy.sample(sa.Rng.from_ids(seed=0, epoch=epoch, ids=[name]))
    y, lengths = policy(torch.from_numpy(samples)[None], None, draws, sample_rate=RATE)
    return y[0, : lengths[0]].numpy(), draws


@runs
def test_files_hold_the_recording_and_what_each_epoch_makes_of_it(tree, tmp_path):
    fit(tree, tmp_path, Listen(rows=2, every_n_epochs=2), SpectrogramAugment(MASKS), max_epochs=3)
    folders = sorted((tmp_path / "listen").iterdir())
    assert [folder.name[:2] for folder in folders] == ["0_", "1_"]
    for folder in folders:
        name = folder.name[2:]
        before, rate = soundfile.read(folder / "before.wav", dtype="float32")
        assert rate == RATE
        np.testing.assert_array_equal(before, recorded(tree, name))
        for epoch, step in ((0, 1), (2, 13)):
            stem = f"epoch{epoch:03d}_step{step:06d}"
            after = soundfile.read(folder / f"{stem}_after.wav", dtype="float32")[0]
            expected, draws = as_in_training(before, name, epoch)
            np.testing.assert_allclose(after, expected.clip(-1, 1), atol=2e-4)
            words = str(draws).removeprefix("[0] ").replace(NOISE.hashes[0], "fan.wav")
            assert (folder / f"{stem}_sound.txt").read_text("utf-8") == f"{name}\n{words}\n"
            masks = MASKS.sample(sa.Rng.from_ids(seed=0, epoch=epoch, ids=[name]).fork("SpectrogramAugment"))
            assert str(masks).removeprefix("[0] ") in (folder / f"{stem}_features.txt").read_text("utf-8")
            for kind in ("sound", "features"):
                assert (folder / f"{stem}_{kind}.png").read_bytes().startswith(b"\x89PNG")
        assert len(list(folder.iterdir())) == 1 + 2 * 5


class Ear(pl.Callback):
    """Keeps the first batch as it was trained on."""

    def on_train_start(self, trainer, pl_module):
        augmenters(trainer)["waveform"].observers.append(self)
        self.first = None

    def began(self, augmenter):
        pass

    def done(self, augmenter, applied):
        self.first = self.first or applied


@runs
@pytest.mark.parametrize(("views", "clean_view"), [(1, False), (2, True)])
def test_after_is_what_training_got(tree, tmp_path, views, clean_view):
    ear = Ear()
    fit(tree, tmp_path, Listen(rows=2), ear, views=views, clean_view=clean_view, max_steps=1)
    first = 4 if clean_view else 0  # the clean rows of the batch of four come first
    for row, folder in enumerate(sorted((tmp_path / "listen").iterdir())):
        assert folder.name == f"{row}_{ear.first.ids[first + row]}"
        for name, x, lengths in (
            ("before", ear.first.x, ear.first.lengths),
            ("epoch000_step000001_after", ear.first.y, ear.first.y_lengths),
        ):
            expected = x[first + row, : lengths[first + row]].numpy()
            sound = soundfile.read(folder / f"{name}.wav", dtype="float32")[0]
            np.testing.assert_allclose(sound, expected.clip(-1, 1), atol=2e-4)


@runs
def test_tensorboard(tree, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="", version="")
    loggers = [CSVLogger(tmp_path / "csv"), logger]
    listen, masks = Listen(rows=1, every_n_steps=3), SpectrogramAugment(MASKS)
    fit(tree, tmp_path, listen, masks, logger=loggers, max_steps=7)
    assert not list(tmp_path.rglob("*.wav"))
    read = EventAccumulator(str(tmp_path), size_guidance={"audio": 0, "images": 0, "tensors": 0}).Reload()
    tags = read.Tags()
    names = {tag.split("/")[1] for tag in tags["audio"]}
    assert sorted(tags["audio"]) == sorted(f"listen/{n}/{part}" for n in names for part in ("after", "before"))
    assert sorted(tags["images"]) == sorted(f"listen/{n}/{part}" for n in names for part in ("features", "sound"))
    assert len(names) == 1
    for name in names:
        events = read.Audio(f"listen/{name}/after")
        assert [event.step for event in events] == [1, 3, 6]
        sound, rate = soundfile.read(io.BytesIO(events[2].encoded_audio_string), dtype="float32")
        expected, draws = as_in_training(recorded(tree, name[2:]), name[2:], 0)
        assert rate == events[2].sample_rate == RATE
        np.testing.assert_allclose(sound, expected.clip(-1, 1), atol=2e-4)
        text = read.Tensors(f"listen/{name}/sound_drawn/text_summary")[0].tensor_proto.string_val[0].decode()
        assert text == str(draws).removeprefix("[0] ").replace(NOISE.hashes[0], "fan.wav")
        image = read.Images(f"listen/{name}/sound")[0]
        assert image.encoded_image_string.startswith(b"\x89PNG")
        assert image.width == 880


class LikeWandb(Logger):
    """Has the methods of Lightning's WandbLogger that take sounds and pictures, and writes the calls down."""

    name, version = "like", "0"

    def __init__(self):
        super().__init__()
        self.calls = []

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params):
        pass

    def log_audio(self, key, audios, step=None, **kwargs):
        self.calls.append((key, audios, step, kwargs))

    def log_image(self, key, images, step=None, **kwargs):
        self.calls.append((key, images, step, kwargs))


@runs
def test_wandb_gets_lists_with_a_caption_each(tree, tmp_path):
    logger = LikeWandb()
    fit(tree, tmp_path, Listen(rows=1), logger=logger, max_steps=2)
    (before, after, picture), place = logger.calls, logger.calls[0][0].rpartition("/")[0]
    name = place.removeprefix("listen/0_")
    words = (
        str(as_in_training(recorded(tree, name), name, 0)[1]).removeprefix("[0] ").replace(NOISE.hashes[0], "fan.wav")
    )
    assert [call[0] for call in logger.calls] == [f"{place}/{part}" for part in ("before", "after", "sound")]
    assert [call[2] for call in logger.calls] == [1, 1, 1]
    assert before[3] == {"sample_rate": [RATE], "caption": ["as recorded"]}
    assert after[3] == {"sample_rate": [RATE], "caption": [words]}
    np.testing.assert_array_equal(before[1][0], recorded(tree, name))
    assert picture[1][0].dtype == np.uint8 and picture[1][0].shape[2] == 3
    assert not list(tmp_path.rglob("*.wav"))


@runs
def test_the_real_wandb_logger_has_these_methods():
    wandb_logger = pytest.importorskip("lightning.pytorch.loggers").WandbLogger
    assert callable(wandb_logger.log_audio) and callable(wandb_logger.log_image)


@runs
def test_without_a_logger_and_with_a_folder(tree, tmp_path):
    fit(tree, tmp_path, Listen(rows=1), logger=False, default_root_dir=tmp_path / "root", max_steps=1)
    assert len(list((tmp_path / "root" / "listen").glob("0_*/before.wav"))) == 1
    logger = LikeWandb()
    fit(tree, tmp_path, Listen(rows=1, folder=str(tmp_path / "mine")), logger=logger, max_steps=1)
    assert logger.calls and len(list((tmp_path / "mine").glob("0_*/before.wav"))) == 1


@runs
def test_training_does_not_notice(tree, tmp_path):
    models = []
    for name, callbacks in {"without": [], "with": [Listen(rows=1, every_n_steps=1)]}.items():
        model = recognizer(dropout=0.2)
        run, _ = fit(tree, tmp_path / name, *callbacks, SpectrogramAugment(MASKS), model=model, max_steps=3)
        assert all(augmenter.observers == [] for augmenter in augmenters(run).values())
        models.append(model.state_dict())
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


@runs
def test_strength_is_that_of_the_moment(tree, tmp_path):
    listen = Listen(rows=1)
    run = trainer(tmp_path, [listen], max_steps=1)
    data = speech(tree, POLICY)
    data.augmenter.strength = 0.0
    run.fit(recognizer(), datamodule=data)
    (folder,) = (tmp_path / "listen").iterdir()
    before, after = (soundfile.read(path)[0] for path in (folder / "before.wav", next(folder.glob("*after.wav"))))
    np.testing.assert_array_equal(before, after)


class Mine(pl.LightningModule):
    """A module as a user writes it."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def training_step(self, batch, batch_idx):
        return (self.scale * batch["audio"].nan_to_num()).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


@runs
def test_other_keys_no_ids_stereo_and_broken_samples(tmp_path):
    x = 0.3 * np.random.default_rng(0).standard_normal((2, 3, 2_000)).astype(np.float32)
    x[0, 0, :100], x[1, 0, 7] = 3.0, np.nan
    run = trainer(tmp_path, [Listen(seconds=0.1), Augment(sa.Polarity(p=1.0), sample_rate=RATE, waveform_key="audio",
        lengths_key=None, id_key=None)], max_steps=1)  # fmt: skip
    run.fit(Mine(), DataLoader([{"audio": torch.from_numpy(row)} for row in x.swapaxes(0, 1)], batch_size=3))
    folders = sorted((tmp_path / "listen").iterdir())
    assert [folder.name for folder in folders] == ["0_0_0_0", "1_0_0_1", "2_0_0_2"]
    sounds = [soundfile.read(folder / "before.wav", dtype="float32")[0] for folder in folders]
    expected = np.nan_to_num(x[0, :, :800]).clip(-1, 1)  # the first channel, its first tenth of a second
    np.testing.assert_allclose(np.stack(sounds), expected, atol=4e-5)


@runs
def test_strange_ids_and_one_sample(tmp_path):
    ids = ["zwölf/ü $x$ 漢字" + "+long" * 50, "../..", "con:?*"]
    audio_files = [torch.tensor([0.5]), torch.zeros(1), torch.tensor([0.1])]
    rows = [{"audio": x, "lengths": torch.tensor(1), "id": name} for x, name in zip(audio_files, ids, strict=True)]
    callbacks = [Listen(), Augment(sa.Gain(), sample_rate=RATE, waveform_key="audio")]
    trainer(tmp_path, callbacks, max_steps=1).fit(Mine(), DataLoader(rows, batch_size=3))
    names = sorted(folder.name for folder in (tmp_path / "listen").iterdir())
    assert names == ["0_zwölf_ü_x_漢字_long_long_long_long_long_long_long_lo", "1_.._..", "2_con_"]
    assert (tmp_path / "listen" / names[0] / "epoch000_step000001_sound.txt").read_text("utf-8").startswith(ids[0])


@runs
def test_a_row_without_a_sample_is_passed_over(tmp_path):
    rows = [{"audio": torch.full((9,), 0.1), "lengths": torch.tensor(n), "id": f"u{n}"} for n in (0, 9)]
    rows[0]["audio"] = torch.zeros(9)
    callbacks = [Listen(), Augment(sa.Gain(), sample_rate=RATE, waveform_key="audio")]
    trainer(tmp_path, callbacks, max_steps=1).fit(Mine(), DataLoader(rows, batch_size=2))
    assert [folder.name for folder in (tmp_path / "listen").iterdir()] == ["0_u9"]


@runs
def test_a_trial_run_writes_nothing(tree, tmp_path):
    fit(tree, tmp_path, Listen(), fast_dev_run=True, default_root_dir=tmp_path)
    assert not (tmp_path / "listen").exists()


@runs
def test_after_an_error_nobody_listens(tree, tmp_path):
    class Fails(sa.SpeechRecognizer):
        def training_step(self, batch, batch_idx):
            raise RuntimeError("user error")

    data, run = speech(tree, POLICY), trainer(tmp_path, [Listen()], max_steps=1)
    with pytest.raises(RuntimeError, match="user error"):
        run.fit(Fails(["one", "two"], "word", size="xs", sample_rate=RATE), datamodule=data)
    assert data.augmenter.observers == []


@runs
def test_nothing_to_listen_to(tree, tmp_path):
    with pytest.raises(ValueError, match=r"Listen: the Trainer must augment, .* found none"):
        fit(tree, tmp_path, Listen(), policy=None, max_steps=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "rows must be >= 1, got 0"),
        ({"every_n_epochs": 0}, "every_n_epochs must be >= 1, got 0"),
        ({"every_n_steps": True}, "every_n_steps must be >= 1, got True"),
        ({"seconds": 0.0}, r"seconds must be in \(0, 60\], got 0.0"),
        ({"seconds": float("nan")}, r"seconds must be in \(0, 60\], got nan"),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(ValueError, match=f"Listen: {message}"):
        Listen(**arguments)


# Pictures


def tone(hz, seconds=1.0, level=0.5):
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def test_picture_has_one_scale_and_units():
    figure = before_after((tone(1_000.0), RATE), (tone(2_000.0, 0.5, 0.05), RATE), title="a $b$", done="Gain(x)")
    upper, lower = figure.axes[:2]
    images = [axes.images[0] for axes in (upper, lower)]
    assert {image.get_clim() for image in images} == {(-70.0, 0.0)}
    assert [axes.get_title(loc="left") for axes in (upper, lower)] == ["before", "after: Gain(x)"]
    assert upper.get_xlim() == lower.get_xlim() and upper.get_ylim() == (0.0, 4.0)
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("time, s", "frequency, kHz")
    for image, khz, peak in zip(images, (1.0, 2.0), (0.0, -20.0), strict=True):
        left, right, bottom, top = image.get_extent()
        values = np.asarray(image.get_array())
        middle = values[:, values.shape[1] // 2 * 2 // 3]
        assert (middle.argmax() + 0.5) / len(middle) * (top - bottom) == pytest.approx(khz, abs=0.04)
        assert middle.max() == pytest.approx(peak, abs=0.1)
        assert left < 0.01 and right == pytest.approx(1.0 if khz == 1.0 else 0.5, abs=0.02)


def test_masked_features_share_their_colours():
    spec = np.random.default_rng(0).standard_normal((20, 50))
    masked = spec.copy()
    masked[5:9] = 0.0
    figure = masks_before_after(spec, masked, title="u", done="FrequencyMask()")
    assert {axes.images[0].get_clim() for axes in figure.axes[:2]} == {tuple(np.percentile(spec, (0.5, 99.5)))}
    np.testing.assert_array_equal(np.asarray(figure.axes[1].images[0].get_array()), masked)


def test_silence_and_words_without_end_draw():
    canvas = io.BytesIO()
    before_after((np.zeros(3), RATE), (np.zeros(2), RATE), title="", done="x" * 50 + " y" * 900).savefig(canvas)
    masks_before_after(np.zeros((4, 1)), np.zeros((4, 1)), title="x" * 400, done="").savefig(canvas)
