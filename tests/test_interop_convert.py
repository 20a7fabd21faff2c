"""Configurations of other libraries as our policies, their own transforms being the oracle."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pkgutil
import random
import re
import sys
import warnings
from pathlib import Path

import audiomentations as am
import numpy as np
import pytest
import soundfile
import torch
import yaml
from scipy import signal

import speechaug as sa
from speechaug import _torchaudio
from speechaug.convert import convert, convert_file, migration_table
from speechaug.interop.counterpart import COUNTERPARTS, NoCounterpart
from speechaug.interop.description import describe

RATE = 16_000
SHARED = {"p", "mode", "p_mode", "sample_rate", "target_rate", "output_type"}
SEQUENCES = {"Compose", "OneOf", "SomeOf"}
MIGRATE = Path(__file__).parents[1] / "docs" / "migrate.md"

pytestmark = [
    pytest.mark.global_rng,  # their transforms draw from it
    pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning"),  # librosa's
]

with_torch_audiomentations = pytest.mark.skipif(
    importlib.util.find_spec("torch_audiomentations") is None or not _torchaudio.available(),
    reason="torch-audiomentations cannot be imported here",
)
LIBRARIES = ["audiomentations", pytest.param("torch_audiomentations", marks=with_torch_audiomentations)]


@pytest.fixture(autouse=True)
def _theirs_draw_the_same_each_time(request):
    if request.node.get_closest_marker("global_rng"):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)


def load(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def classes(library):
    """Find every transform of a library by walking its modules, exported or not."""
    package, found = load(library), {}
    for part in pkgutil.iter_modules(load(f"{library}.augmentations").__path__):
        module = load(f"{library}.augmentations.{part.name}")
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__ and not name.startswith("Base") and not issubclass(cls, Exception):
                exported = getattr(package, name, None) is cls
                found[f"{library}.{name}" if exported else f"{cls.__module__}.{name}"] = cls
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_transform_of_theirs_is_missing(library):
    theirs = classes(library)
    assert len(theirs) > 15
    assert set(theirs) == {path for path in COUNTERPARTS if path.split(".")[0] == library}
    exported = {name for name, one in vars(load(library)).items() if inspect.isclass(one)}
    assert exported - SEQUENCES <= {path.rpartition(".")[2] for path in theirs}


@pytest.mark.parametrize("library", LIBRARIES)
def test_arguments_and_their_defaults_are_theirs(library):
    """The functions that convert have the names and defaults of the classes; their texts name every argument."""
    for path, cls in classes(library).items():
        row = COUNTERPARTS[path]
        if row.build is None:
            continue
        ours = {name: one.default for name, one in inspect.signature(row.build).parameters.items() if name != "rate"}
        theirs = {name: one.default for name, one in inspect.signature(cls).parameters.items() if name not in SHARED}
        assert ours == theirs, path
        named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", row.text))))
        assert set(theirs) <= named, f"{path}: {set(theirs) - named} not in its text"


def test_what_the_texts_name_is_ours():
    """Fields and classes of ours that the table names exist."""
    for row in COUNTERPARTS.values():
        fields = {field for cls in sa.TRANSFORMS.values() for field in inspect.signature(cls).parameters}
        if row.ours:
            assert row.ours in sa.TRANSFORMS, row
        for name in re.findall(r"`([A-Z]\w+)`", row.text):
            assert name in sa.__all__ or name == "OneOf", (row.theirs, name)
        for name in re.findall(r"`(\w+)=", row.text):
            theirs = inspect.signature(row.build).parameters if row.build else {}
            assert name in fields or name in theirs, (row.theirs, name)


def test_the_page_holds_the_table():
    page = MIGRATE.read_text(encoding="utf-8")
    for library in ("audiomentations", "torch_audiomentations"):
        table = re.search(rf"<!-- {library}:start -->\n(.*?)<!-- {library}:end -->", page, re.DOTALL)
        assert table is not None and table.group(1).strip() == migration_table(library).strip()


def speech(seconds=2.0):
    """Return noise in syllables, as uneven as speech."""
    rng = np.random.default_rng(3)
    time = np.arange(int(seconds * RATE)) / RATE
    voice = signal.lfilter([1.0], [1.0, -0.9], rng.standard_normal(len(time)))
    return (0.03 * voice * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def theirs(transform, x=None):
    return np.asarray(transform(speech() if x is None else x, RATE))


def ours(transform, x=None, **options):
    policy = convert(transform, **options).policy
    assert "External" not in repr(policy)
    return sa.augment(speech() if x is None else x, RATE, policy)


def level_db(x):
    return 10.0 * np.log10(np.mean(np.square(x, dtype=np.float64)))


def response_db(transform):
    """Return the gain of a linear transform at each frequency."""
    click = np.zeros(16_384, np.float32)
    click[100] = 0.5
    return 20.0 * np.log10(np.abs(np.fft.rfft(transform(click) / 0.5)) + 1e-6)


def test_gain_and_polarity():
    np.testing.assert_allclose(ours(am.Gain(-7.5, -7.5, p=1.0)), theirs(am.Gain(-7.5, -7.5, p=1.0)), rtol=1e-6)
    np.testing.assert_array_equal(ours(am.PolarityInversion(p=1.0)), theirs(am.PolarityInversion(p=1.0)))


@pytest.mark.parametrize("rolloff", [12, 24, 36])
@pytest.mark.parametrize("name", ["LowPassFilter", "HighPassFilter"])
def test_filters(name, rolloff):
    """The same coefficients: sample by sample, once the first samples are zero (theirs starts in a steady state)."""
    filtered = getattr(am, name)(1_000.0, 1_000.0, rolloff, rolloff, p=1.0)
    x = np.concatenate([np.zeros(100, np.float32), speech()])
    assert convert(filtered).steps[0].kind == "same"
    np.testing.assert_allclose(ours(filtered, x), theirs(filtered, x), atol=2e-6)


def test_a_range_of_slopes_becomes_one():
    (step,) = convert(am.LowPassFilter(p=1.0)).steps
    assert (step.kind == "similar" and "24 dB per octave, not 12 to 24" in step.remark) or "12 dB" in step.remark
    assert convert(am.LowPassFilter(min_rolloff=24, max_rolloff=36)).policy.order in (4, 6)


def test_band_pass():
    fixed = am.BandPassFilter(1_000.0, 1_000.0, 1.0, 1.0, 12, 12, p=1.0)
    policy = convert(fixed).policy
    assert (policy.low_hz, policy.high_hz, policy.order) == ((500.0, 500.0), (1_500.0, 1_500.0), 2)
    found, expected = response_db(lambda x: ours(fixed, x)), response_db(lambda x: theirs(fixed, x))
    hz = np.fft.rfftfreq(16_384, 1 / RATE)
    for frequency in (500.0, 866.0, 1_500.0):  # both cut-offs and the middle
        place = np.argmin(np.abs(hz - frequency))
        assert abs(found[place] - expected[place]) < 1.0
    assert convert(am.BandPassFilter()).steps[0].kind == "wrapped"


@pytest.mark.parametrize(("name", "shape"), [("LowShelfFilter", 0.999), ("HighShelfFilter", 0.7071)])
@pytest.mark.parametrize("gain_db", [-12.0, 9.0])
def test_shelves(name, shape, gain_db):
    shelf = getattr(am, name)(1_000.0, 1_000.0, gain_db, gain_db, shape, shape, p=1.0)
    found, expected = response_db(lambda x: ours(shelf, x)), response_db(lambda x: theirs(shelf, x))
    assert np.abs(found - expected)[1:-1].max() < (0.02 if shape < 0.9 else 2.0)
    assert convert(shelf).steps[0].kind == ("same" if shape < 0.9 else "similar")


def noise_db(transform, call):
    x = speech(8.0)
    return level_db(x) - level_db(call(transform, x) - x)


def test_noise_reaches_the_ratio():
    for transform in (am.AddGaussianSNR(12.0, 12.0, p=1.0), am.AddColorNoise(12.0, 12.0, p=1.0)):
        assert noise_db(transform, theirs) == pytest.approx(12.0, abs=0.15)
        assert noise_db(transform, ours) == pytest.approx(12.0, abs=0.05)


def test_an_amplitude_becomes_the_ratio_beside_nominal_speech():
    transform = am.AddGaussianNoise(0.005, 0.005, p=1.0)
    x = speech(8.0)
    x *= 10 ** ((-26.0 - level_db(x)) / 20.0)
    assert level_db(theirs(transform, x) - x) == pytest.approx(level_db(ours(transform, x) - x), abs=0.1)
    assert convert(transform).steps[0].kind == "similar"
    assert convert(transform, exact=True).steps[0].kind == "wrapped"


@pytest.mark.parametrize("decay_db", [-6.0, -3.01, 3.01, 6.0])
def test_colours(decay_db):
    """Decibels per octave of theirs against ours, where theirs is exact."""
    quiet = np.full(1 << 15, 1e-3, np.float32) * np.sign(np.sin(np.arange(1 << 15, dtype=np.float32)))
    transform = am.AddColorNoise(0.0, 0.0, decay_db, decay_db, p=1.0)

    def slope(call):
        made = [signal.welch(call(transform, quiet) - quiet, RATE, nperseg=1_024) for _ in range(8)]
        hz, power = made[0][0], np.mean([one for _, one in made], axis=0)
        inside = (hz > 500.0) & (hz < 5_000.0)
        return np.polyfit(np.log2(hz[inside]), 10.0 * np.log10(power[inside]), 1)[0]

    assert slope(ours) == pytest.approx(decay_db, abs=0.4)
    assert slope(theirs) == pytest.approx(decay_db, abs=0.8)


def test_recorded_noise(noise_folder):
    transform = am.AddBackgroundNoise(str(noise_folder), 6.0, 6.0, p=1.0)
    assert noise_db(transform, ours) == pytest.approx(6.0, abs=0.05)
    assert noise_db(transform, theirs) == pytest.approx(6.0, abs=1.5)  # of the clip before it is repeated and cut
    assert convert(transform).policy.bank.folder == str(noise_folder)
    for wrapped in (
        am.AddBackgroundNoise([noise_folder / "kind" / "0.wav"], p=1.0),
        am.AddBackgroundNoise(noise_folder, noise_rms="absolute", p=1.0),
        am.AddBackgroundNoise(noise_folder, noise_transform=am.PolarityInversion(), p=1.0),
    ):
        assert convert(wrapped).steps[0].kind == "wrapped"
    with pytest.raises(FileNotFoundError, match="sounds_path must be an existing folder, got 'gone'"):
        convert({"__class_fullname__": "AddBackgroundNoise", "sounds_path": "gone"})


def test_rooms(tmp_path):
    """The same response, but for delay and level."""
    room = np.zeros(2_000, np.float32)
    room[[50, 700, 1_500]] = 0.9, 0.4, -0.2
    soundfile.write(tmp_path / "room.wav", room, RATE, subtype="FLOAT")
    transform = am.ApplyImpulseResponse(tmp_path, p=1.0)
    found, expected = ours(transform), theirs(transform)
    aligned = np.corrcoef(found[:-50], expected[50:])[0, 1]
    assert aligned > 0.9999


@pytest.mark.parametrize("semitones", [-3.0, 2.0])
def test_pitch(semitones):
    """A tone lands where theirs lands."""
    x = (0.2 * np.sin(2 * np.pi * 300.0 * np.arange(RATE * 2) / RATE)).astype(np.float32)
    for call in (ours, theirs):
        y = call(am.PitchShift(semitones, semitones, p=1.0), x)[RATE // 2 : -RATE // 2]
        spectrum = np.abs(np.fft.rfft(y * np.hanning(len(y)), 1 << 18))
        found = np.argmax(spectrum) * RATE / (1 << 18)
        assert 12.0 * np.log2(found / 300.0) == pytest.approx(semitones, abs=0.1)


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_tempo(rate):
    """Of the same length as theirs, where theirs may change it."""
    free = am.TimeStretch(rate, rate, leave_length_unchanged=False, p=1.0)
    assert abs(len(ours(free)) - len(theirs(free))) < 0.01 * len(speech())
    assert convert(free).steps[0].kind == "same"
    assert convert(am.TimeStretch()).steps[0].remark == "the length changes, nothing is cut"


def test_resample_is_speed():
    transform = am.Resample(20_000, 20_000, p=1.0)
    low = signal.sosfiltfilt(signal.butter(8, 5_000.0, fs=RATE, output="sos"), speech()).astype(np.float32)
    found, expected = ours(transform, low), theirs(transform, low)
    assert len(found) == len(expected)
    np.testing.assert_allclose(found[200:-200], expected[200:-200], atol=2e-5)


def test_clipping_and_bits():
    x = speech()
    clipped = am.ClippingDistortion(20, 20, p=1.0)
    shares = [np.mean(np.abs(call(clipped, x)) < np.abs(x) - 1e-7) for call in (ours, theirs)]
    assert shares[0] == pytest.approx(0.2, abs=0.001) and shares[1] == pytest.approx(0.2, abs=0.02)
    coarse = am.BitCrush(6, 6, p=1.0)
    levels = [level_db(call(coarse, x) - x) for call in (ours, theirs)]
    assert levels[0] == pytest.approx(levels[1], abs=0.5)  # 32 steps and 33


def test_distortion_of_what_is_distributed_as_speech():
    laplace = np.random.default_rng(0).laplace(scale=0.02, size=60_000).astype(np.float32)
    transform = am.TanhDistortion(0.3, 0.3, p=1.0)
    found, expected = ours(transform, laplace), theirs(transform, laplace)
    assert np.corrcoef(found, expected)[0, 1] > 0.995


def test_shift():
    transform = am.Shift(0.05, 0.05, shift_unit="seconds", rollover=False, fade_duration=0.0, p=1.0)
    np.testing.assert_array_equal(ours(transform), theirs(transform))
    samples = am.Shift(-320, -320, shift_unit="samples", rollover=False, fade_duration=0.0, p=1.0)
    np.testing.assert_array_equal(ours(samples), theirs(samples))
    assert convert(am.Shift()).steps[0].kind == "wrapped"


def test_equalizer():
    """Of the same bands: the mean spread of the gain over frequency."""
    transform = am.SevenBandParametricEQ(p=1.0)
    policy = convert(transform).policy
    hz = np.fft.rfftfreq(16_384, 1 / RATE)
    inside = (hz > 60.0) & (hz < 7_000.0)
    click = np.zeros(16_384, np.float32)
    click[100] = 0.5

    def spread(call):
        gains = [20 * np.log10(np.abs(np.fft.rfft(call(seed)))[inside] * 2) for seed in range(40)]
        return np.std(gains)

    found = spread(lambda seed: sa.augment(click, RATE, policy, seed=seed))
    assert found == pytest.approx(spread(lambda _: transform(click, RATE)), rel=0.25)


def test_air_absorbs_fewer_decibels():
    transform = am.AirAbsorption(20.0, 20.0, 60.0, 60.0, 100.0, 100.0, p=1.0)
    tone = (0.2 * np.sin(2 * np.pi * 4_000.0 * np.arange(RATE) / RATE)).astype(np.float32)
    loss = [level_db(tone) - level_db(call(transform, tone)[2_000:-2_000]) for call in (ours, theirs)]
    assert 1.3 < loss[1] / loss[0] < 1.5
    assert convert(transform).steps[0].remark == "by ISO 9613-1: 1.3 to 1.9 times fewer dB"


def test_mp3_and_rescale():
    assert convert(am.Mp3Compression(16, 32, p=1.0)).policy == sa.Mp3(bitrate_kbps=(16.0, 32.0))
    assert (
        convert(am.Mp3Compression(64, 128, p=1.0)).steps[0].remark.startswith("bitrate_kbps lies within [8, 64] here")
    )
    loud = 40.0 * speech()
    transform = am.Normalize("only_too_loud_sounds", p=1.0)
    np.testing.assert_allclose(ours(transform, loud), theirs(transform, loud), rtol=1e-5)


def test_aliasing():
    """A tone above the lower rate's Nyquist frequency folds to the same place."""
    transform = am.Aliasing(8_000, 8_000, p=1.0)
    tone = (0.2 * np.sin(2 * np.pi * 5_000.0 * np.arange(RATE) / RATE)).astype(np.float32)
    for call in (ours, theirs):
        spectrum = np.abs(np.fft.rfft(call(transform, tone)))
        assert np.argmax(spectrum[:3_500]) == pytest.approx(3_000, abs=2)


def test_sequences():
    theirs = am.Compose(
        [
            am.OneOf([am.Gain(p=1.0), am.PolarityInversion(p=1.0)], weights=[0.25, 0.75], p=0.5),
            am.SomeOf((1, None), [am.Gain(), am.PolarityInversion(), am.TimeStretch(0.5, 0.5)]),
        ],
        p=0.9,
    )
    policy = convert(theirs).policy
    assert policy.p == 0.9 and policy.members[0].weights == pytest.approx((0.25, 0.75)) and policy.members[0].p == 0.5
    assert policy.members[1].count == (1, 3)
    assert [member.p for member in policy.members[1].members] == [0.5, 0.5, 0.5]
    assert policy.max_growth == 2.0
    shuffled = am.Compose([am.Gain()], shuffle=True)
    assert convert(shuffled).steps[0] == ("audiomentations.Compose", "Compose", "similar", "always in the order listed")
    assert isinstance(convert(shuffled, exact=True).policy, sa.External)


def test_forms_of_audiomentations(tmp_path):
    """An object, its dictionary, YAML and JSON of that, and a file of Python: one policy."""
    pipeline = am.Compose([am.Gain(p=0.3), am.LowPassFilter(p=1.0), am.Reverse(p=0.2)])
    expected = convert(pipeline).policy
    data = pipeline.to_dict_private()
    assert convert(data).policy == expected
    assert convert({"transform": data}).policy == expected
    (tmp_path / "a.json").write_text(json.dumps(data))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    code = "import audiomentations as am\nfrom audiomentations import Gain\n\nfirst = Gain(p=0.3)\n"
    code += "augment = am.Compose([first, am.LowPassFilter(p=1.0), am.Reverse(p=0.2)])\n"
    (tmp_path / "a.py").write_text(code)
    for path in ("a.json", "a.yaml", "a.py", "a.py:augment"):
        assert convert(tmp_path / path).policy == expected
        assert convert(str(tmp_path / path)).policy == expected


@pytest.mark.parametrize(
    ("name", "p"),
    [("Reverse", 0.5), ("torch.nn.Tanh", 1.0), ("gone.Thing", 1.0), ("audiomentations.core.post_gain.PostGain", 1.0)],
)
def test_the_usual_probability_of_what_is_wrapped(name, p):
    assert convert({"__class_fullname__": name}).policy.p == p
    assert convert({"__class_fullname__": name, "p": 0.25}).policy.p == 0.25


def test_what_ours_refuses_is_wrapped():
    step = convert({"__class_fullname__": "HighPassFilter", "min_cutoff_freq": 0.0}).steps[0]
    assert step.kind == "wrapped" and step.remark.startswith("HighPass: cutoff_hz must be positive")


def test_older_names():
    policy = convert({"__class_fullname__": "Gain", "min_gain_in_db": -3, "max_gain_in_db": 3, "p": 1}).policy
    assert policy == sa.Gain(gain_db=(-3.0, 3.0))


def test_written_and_loaded(tmp_path, capsys):
    pipeline = am.Compose([am.Gain(), am.Shift()])
    (tmp_path / "theirs.json").write_text(json.dumps(pipeline.to_dict_private()))
    convert_file(str(tmp_path / "theirs.json"), tmp_path / "ours.yaml")
    assert "2 transforms: 1 same, 1 wrapped (slow)" in capsys.readouterr().out
    policy = sa.load_policy(tmp_path / "ours.yaml")
    assert policy == convert(pipeline).policy
    assert sa.augment(speech(), RATE, policy).shape == speech().shape
    convert_file(str(tmp_path / "theirs.json"))
    printed = capsys.readouterr()
    assert printed.out == (tmp_path / "ours.yaml").read_text()
    assert "wrapped: what leaves at one end" in printed.err


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("gone.yaml", FileNotFoundError, "gone.yaml: no such file"),
        ({"class_path": "speechaug.Gain"}, ValueError, "must have __class_fullname__"),
        ({"transform": "Gain", "params": {"gain": 3}}, ValueError, "Gain must have arguments among"),
        ({"__class_fullname__": "Gian"}, ValueError, "convert: audiomentations.Gian cannot be imported here"),
        ({"__class_fullname__": "AddBackgroundNoise"}, ValueError, "must have arguments among"),
        (
            {"__class_fullname__": "SomeOf", "transforms": [{"__class_fullname__": "Gain"}]},
            ValueError,
            "num_transforms",
        ),
        (3, ValueError, "source must be a transform, dictionary or path, got int"),
        (sa.Gain(), ValueError, "got Gain"),
        (am.Gain, ValueError, "got "),
    ],
)
def test_errors(source, error, message):
    with pytest.raises(error, match=message):
        convert(source)


def test_a_file_that_is_no_yaml(tmp_path):
    (tmp_path / "theirs.yaml").write_text("transform: [")
    with pytest.raises(ValueError, match=r"convert: .*theirs.yaml must hold YAML or JSON, got while parsing"):
        convert(tmp_path / "theirs.yaml")


def test_a_file_imports_what_lies_beside_it(tmp_path, monkeypatch):
    (tmp_path / "levels_beside.py").write_text("LOUD = 6.0\n")
    code = "import audiomentations as am\nfrom levels_beside import LOUD\n\naugment = am.Gain(0.0, LOUD, p=1.0)\n"
    (tmp_path / "train.py").write_text(code)
    before = sys.path.copy()
    assert convert(tmp_path / "train.py").policy == sa.Gain(gain_db=(0.0, 6.0))
    assert sys.path == before
    monkeypatch.delitem(sys.modules, "levels_beside")


def test_a_file_of_several_transforms(tmp_path):
    (tmp_path / "two.py").write_text("import audiomentations as am\na, b = am.Gain(), am.Reverse()\n")
    with pytest.raises(ValueError, match=r"it makes .*two.py:a, .*two.py:b"):
        convert(tmp_path / "two.py")
    assert isinstance(convert(f"{tmp_path / 'two.py'}:b").policy, sa.External)


def test_an_object_that_cannot_be_described(tmp_path):
    conversion = convert(am.Compose([am.Lambda(lambda samples, rate: samples * 0.5, p=1.0), am.Gain(p=1.0)]))
    assert conversion.steps[0].remark == "A transform of your own is a class of 20 lines."
    np.testing.assert_array_equal(sa.augment(speech(), RATE, conversion.policy.members[0]), speech() * np.float32(0.5))
    with pytest.raises(ValueError, match="the path of a class with plain arguments, to be written"):
        sa.save_policy(conversion.policy, tmp_path / "policy.yaml")


@with_torch_audiomentations
class TestTorchAudiomentations:
    """The configurations of torch-audiomentations, as its ``from_dict`` reads them."""

    README = {  # noqa: RUF012
        "transform": "Compose",
        "params": {
            "transforms": [
                {"transform": "Gain", "params": {"min_gain_in_db": -15.0, "max_gain_in_db": 5.0, "p": 0.5}},
                {"transform": "PolarityInversion"},
            ]
        },
    }

    def make(self, name, **arguments):
        return getattr(load("torch_audiomentations"), name)(output_type="dict", **arguments)

    def theirs(self, transform, x=None):
        x = torch.from_numpy(speech() if x is None else x)[None, None].clone()
        return transform(x, sample_rate=RATE).samples[0, 0].numpy()

    def test_the_example_of_the_readme(self, tmp_path):
        policy = convert(self.README).policy
        assert policy == sa.Compose([sa.Gain(gain_db=(-15.0, 5.0), p=0.5), sa.Polarity(p=0.5)])
        (tmp_path / "config.yml").write_text(yaml.safe_dump(self.README))
        assert convert(tmp_path / "config.yml").policy == policy
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = load("torch_audiomentations").from_yaml(tmp_path / "config.yml")
        assert convert(made).policy == policy

    def test_gain_shift_and_noise(self):
        gain = self.make("Gain", min_gain_in_db=-6.001, max_gain_in_db=-6.0, p=1.0)
        np.testing.assert_allclose(ours(gain), self.theirs(gain), rtol=1e-3)
        shift = self.make("Shift", min_shift=0.1, max_shift=0.1, shift_unit="seconds", rollover=False, p=1.0)
        np.testing.assert_array_equal(ours(shift), self.theirs(shift))
        white = self.make(
            "AddColoredNoise", min_snr_in_db=9.0, max_snr_in_db=9.0, min_f_decay=0.0, max_f_decay=0.0, p=1.0
        )
        for call in (ours, self.theirs):
            assert level_db(speech()) - level_db(call(white) - speech()) == pytest.approx(9.0, abs=0.15)

    def test_their_colours_are_twice_as_steep_as_documented(self):
        pink = self.make("AddColoredNoise", min_snr_in_db=0.0, max_snr_in_db=0.0, min_f_decay=1, max_f_decay=1, p=1.0)
        quiet = np.full(1 << 16, 1e-3, np.float32) * np.sign(np.sin(np.arange(1 << 16))).astype(np.float32)

        def slope(call):
            hz, power = signal.welch(call(pink, quiet) - quiet, RATE, nperseg=1_024)
            inside = (hz > 500.0) & (hz < 5_000.0)
            return np.polyfit(np.log2(hz[inside]), 10.0 * np.log10(power[inside]), 1)[0]

        assert slope(ours) == pytest.approx(-3.01, abs=0.4)
        assert slope(self.theirs) == pytest.approx(-6.0, abs=0.6)

    @pytest.mark.parametrize("name", ["LowPassFilter", "HighPassFilter"])
    def test_filters(self, name):
        transform = self.make(name, min_cutoff_freq=1_000.0, max_cutoff_freq=1_000.0, p=1.0)
        found = response_db(lambda x: ours(transform, x))
        expected = response_db(lambda x: self.theirs(transform, x))
        hz = np.fft.rfftfreq(16_384, 1 / RATE)
        passed = hz < 800.0 if name == "LowPassFilter" else hz > 1_250.0
        stopped = hz > 2_000.0 if name == "LowPassFilter" else (hz < 500.0)
        assert np.abs(found - expected)[passed].max() < 1.0
        assert found[stopped].max() < -40.0 and expected[stopped].max() < -20.0

    def test_modes(self):
        assert convert(self.make("Gain", mode="per_batch")).steps[0].remark == "drawn for each example"
        assert convert(self.make("Gain", mode="per_batch"), exact=True).steps[0].kind == "wrapped"
        assert convert(self.make("PeakNormalization")).steps[0].kind == "wrapped"
        assert convert(self.make("Identity", p=0.3)).policy == sa.Gain(gain_db=(0.0, 0.0), p=0.3)

    def test_files(self, noise_folder):
        noise = self.make("AddBackgroundNoise", background_paths=str(noise_folder), p=1.0)
        assert convert(noise).policy.bank.folder == str(noise_folder / "kind")  # it keeps the files, not the folder
        config = {"transform": "AddBackgroundNoise", "params": {"background_paths": str(noise_folder)}}
        assert convert(config).policy.bank.folder == str(noise_folder)


def test_builders_refuse_what_has_no_counterpart():
    for path, arguments in {
        "audiomentations.Aliasing": {"min_sample_rate": 100},
        "audiomentations.TimeStretch": {"min_rate": 0.1},
        "audiomentations.AddColorNoise": {"min_f_decay": -12.0},
        "audiomentations.BitCrush": {"min_bit_depth": 1},
        "audiomentations.Resample": {"max_sample_rate": 96_000},
    }.items():
        build = COUNTERPARTS[path].build
        rate = {"rate": RATE} if "rate" in inspect.signature(build).parameters else {}
        with pytest.raises(NoCounterpart, match="lies within"):
            build(**arguments, **rate)


def test_description_is_of_their_arguments():
    assert describe(am.Gain(-1.0, 1.0, p=0.5))["arguments"] == {"min_gain_db": -1.0, "max_gain_db": 1.0, "p": 0.5}
