"""A user's own LightningModule gains augmentation by two lines, and is told where the two Lightnings do not mix."""

from __future__ import annotations

import difflib
import importlib.util
import warnings

import numpy as np
import pytest
import torch

import speechaug as sa
from speechaug._lightning import refuse_foreign
from speechaug.callbacks import Augment, SpectrogramAugment

pytestmark = pytest.mark.global_rng

MODULE = """
class Mel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        edges = torch.linspace(0, 129, 22)
        bins = torch.arange(129).unsqueeze(1)
        self.register_buffer("bank", ((bins - edges[:-2]) / 6).clamp(0, 1) * ((edges[2:] - bins) / 6).clamp(0, 1))
        self.register_buffer("window", torch.hann_window(256))

    def forward(self, audio):
        power = torch.stft(audio, 256, 80, window=self.window, return_complex=True).abs().square()
        return (power.transpose(1, 2) @ self.bank + 1e-6).log().transpose(1, 2)  # (B, F, T)


class Mine(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.front_end = Mel()
        self.head = torch.nn.Linear(20, 2)
        self.seen = {"train": [], "val": []}

    def step(self, batch, stage):
        spec = self.front_end(batch["speech"])
        self.seen[stage].append((batch["speech"].clone(), batch["n"].clone(), spec.detach().clone()))
        return torch.nn.functional.cross_entropy(self.head(spec.mean(-1)), batch["word"])

    def training_step(self, batch, batch_idx):
        return self.step(batch, "train")

    def validation_step(self, batch, batch_idx):
        self.step(batch, "val")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)
"""

TRAINER = """
trainer = pl.Trainer(
    max_epochs=2,
    callbacks=[
        pl.callbacks.Timer(),
    ],
    **quiet,
)
module = Mine()
trainer.fit(module, loader, loader)
"""

TWO_LINES = """\
        Augment(policy, sample_rate=8_000, waveform_key="speech", lengths_key="n", id_key="file"),
        SpectrogramAugment(masks, module="front_end", id_key="file"),
"""

PROGRAM = f"import torch\nimport lightning.pytorch as pl\n{MODULE}{TRAINER}"
AUGMENTED = PROGRAM.replace("        pl.callbacks.Timer(),\n", f"        pl.callbacks.Timer(),\n{TWO_LINES}")

POLICY = sa.Compose([sa.Speed(factor=(0.8, 1.25)), sa.Gain()])
MASKS = sa.Compose([sa.FrequencyMask(width_bins=(4, 4), count=1)])
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def other_lightning(program):
    return program.replace("import lightning.pytorch as pl", "import pytorch_lightning as pl")


def rows():
    generator = np.random.default_rng(0)
    made = []
    for i, length in enumerate((4_000, 3_500, 3_000, 2_500)):
        wave = torch.zeros(4_000)
        wave[:length] = torch.from_numpy(generator.standard_normal(length) * 0.1)
        made.append({"speech": wave, "n": length, "word": i % 2, "file": f"{i}.wav"})
    return made


def run(program, **more):
    """Run a user's program from one fixed state of the global generator; return its names."""
    torch.manual_seed(0)
    scope = {
        "loader": torch.utils.data.DataLoader(rows(), batch_size=2),
        "quiet": QUIET,
        "Augment": Augment,
        "SpectrogramAugment": SpectrogramAugment,
        "policy": POLICY,
        "masks": MASKS,
        **more,
    }
    exec(compile(program, "mine.py", "exec"), scope)
    return scope


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_two_lines():
    """What training sees changes as the policies say; validation, the keys of the weights and their start do not."""
    changes = [line for line in difflib.ndiff(PROGRAM.splitlines(), AUGMENTED.splitlines()) if line[0] != " "]
    assert [line[0] for line in changes] == ["+", "+"]
    assert len(MODULE.split("class Mine")[1].strip().splitlines()) <= 30
    before, after = run(PROGRAM)["module"], run(AUGMENTED)["module"]
    assert list(after.state_dict()) == list(before.state_dict())
    assert len(after.seen["val"]) == len(before.seen["val"]) > 0
    assert all(same(a, b) for a, b in zip(after.seen["val"], before.seen["val"], strict=True))
    assert len(after.seen["train"]) == len(before.seen["train"]) == 4
    for step, (audio, n, spec) in enumerate(after.seen["train"]):
        plain, lengths, _ = before.seen["train"][step]
        ids = [f"{2 * (step % 2)}.wav", f"{2 * (step % 2) + 1}.wav"]
        draws = POLICY.sample(sa.Rng.from_ids(seed=0, epoch=step // 2, ids=ids))
        expected, expected_n = POLICY(plain, lengths, draws, sample_rate=8_000)
        assert torch.equal(audio, expected)
        assert torch.equal(n, expected_n)
        assert not torch.equal(n, lengths)
        assert ((spec == 0).all(dim=-1).sum(dim=1) == 4).all()  # bands hidden of each example
        assert not (before.seen["train"][step][2] == 0).any()


def test_weights_go_back_into_the_plain_module():
    after, plain = run(AUGMENTED)["module"], run(PROGRAM)["module"]
    plain.load_state_dict(after.state_dict(), strict=True)
    assert not plain.front_end._forward_hooks
    assert not after.front_end._forward_hooks


def test_refuse_foreign_looks_at_where_a_class_comes_from():
    foreign = type("Trainer", (), {"__module__": "pytorch_lightning.trainer.trainer"})
    mine = type("MyTrainer", (foreign,), {"__module__": "project.train"})
    for kind in (foreign, mine):
        with pytest.raises(ValueError, match=r"^Augment: trainer must be a lightning\.pytorch\.Trainer, got pytorch_"):
            refuse_foreign(kind(), "Augment")
    refuse_foreign(None, "Augment")
    refuse_foreign(type("Trainer", (), {"__module__": "pytorch_lightning_like"})(), "Augment")


REMEDY = r"write `import lightning\.pytorch as pl` instead of `import pytorch_lightning as pl`$"


@pytest.fixture
def other():
    """Give pytorch_lightning, which comes with lightning, imported beside it with warnings as errors."""
    if importlib.util.find_spec("pytorch_lightning") is None:
        pytest.skip("not installed: pytorch_lightning")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import pytorch_lightning
    return pytorch_lightning


@pytest.fixture
def data(tmp_path):
    import soundfile

    for i, row in enumerate(rows()):
        soundfile.write(tmp_path / f"one_ann_{i}.wav", row["speech"][: row["n"]].numpy(), 8_000)
    return sa.SpeechDataModule(train=tmp_path, pattern="{text}_{speaker}_{take}.wav", sample_rate=8_000)


class TestTheOtherLightning:
    """Every way to meet it ends in one line that names the import to use."""

    @pytest.fixture(autouse=True)
    def _one_line(self, other):
        self.pl = other

    def refused(self, owner, call):
        with pytest.raises(ValueError, match=REMEDY) as caught:
            call()
        assert str(caught.value).startswith(f"{owner}: ")
        assert "\n" not in str(caught.value)

    def test_its_trainer_runs_the_plain_program(self):
        assert len(run(other_lightning(PROGRAM))["module"].seen["train"]) == 4

    def test_the_same_module_with_the_two_lines(self):
        self.refused("Augment", lambda: run(other_lightning(AUGMENTED)))

    def test_spectrograms_alone(self):
        first = TWO_LINES.splitlines(keepends=True)[0]
        self.refused("SpectrogramAugment", lambda: run(other_lightning(AUGMENTED.replace(first, ""))))

    @pytest.mark.parametrize("fit", ["datamodule=loader", "loader"])
    def test_the_datamodule(self, data, fit):
        program = other_lightning(PROGRAM).replace("loader, loader", fit)
        self.refused("SpeechDataModule", lambda: run(program, loader=data))

    @pytest.mark.parametrize("name", ["validate", "test", "predict"])
    @pytest.mark.parametrize("keyword", ["datamodule", "dataloaders"])
    def test_the_datamodule_elsewhere(self, data, name, keyword):
        scope = run(other_lightning(f"import torch\nimport lightning.pytorch as pl\n{MODULE}\n"))
        module = scope["Mine"]()
        module.test_step = module.predict_step = module.validation_step
        trainer = self.pl.Trainer(**QUIET)
        self.refused("SpeechDataModule", lambda: getattr(trainer, name)(module, **{keyword: data}))

    def test_the_recognizer(self):
        """Here pytorch_lightning looks at nothing but the class, and speaks first; the README explains its line."""
        recognizer = sa.SpeechRecognizer(["a", "b"], "word", size="xs")
        with pytest.raises(TypeError, match=r"^`model` must be a `LightningModule` .* got `SpeechRecognizer`$"):
            self.pl.Trainer(**QUIET).fit(recognizer)

    def test_a_module_of_one_and_the_trainer_of_the_other(self):
        mixed = AUGMENTED.replace("pl.LightningModule", "other.LightningModule")
        with pytest.raises(TypeError, match=r"^`model` must be a `LightningModule` .* got `Mine`$"):
            run(mixed, other=self.pl)


def test_the_datamodule_is_iterated_by_nobody(data):
    with pytest.raises(ValueError, match=r"batches come from train_dataloader\(\)"):
        list(data)
    assert data.trainer is None
