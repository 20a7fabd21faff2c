"""The preview: complete, self-contained, true to the policy, and served to this machine alone."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from pages import Page, picture, sound

import speechaug as sa
from speechaug.page.pictures import small_audio_uri
from speechaug.preview import preview
from speechaug.preview.excerpts import read_excerpts, spread
from speechaug.preview.gallery import Gallery
from speechaug.preview.members import members_of
from speechaug.preview.policies import Source
from speechaug.preview.server import PreviewServer
from speechaug.testing import example

RATE = 16_000
HOSTILE = "<b onclick=alert(1)> & 'x'.wav"


def speechlike(duration_s: float, rate: int = RATE, level: float = 0.1) -> np.ndarray:
    """A gliding tone with pauses."""
    time = np.arange(round(duration_s * rate)) / rate
    tone = np.sin(2 * np.pi * (300 * time + 100 * np.sin(2 * np.pi * time)))
    return level * tone * (np.sin(2 * np.pi * 1.5 * time) > -0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return recordings of several kinds: mono, stereo at another rate, one too long, one with an evil name."""
    root = tmp_path_factory.mktemp("recordings")
    (root / "deep").mkdir()
    soundfile.write(root / "a.wav", speechlike(1.5), RATE)
    soundfile.write(root / "deep" / "b.flac", np.stack([speechlike(1.0, 44_100)] * 2, axis=1), 44_100)
    soundfile.write(root / "c.wav", speechlike(3.0, 8_000), 8_000)
    soundfile.write(root / HOSTILE, speechlike(0.5), RATE)
    (root / "notes.txt").write_text("no sound", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("noise")
    soundfile.write(root / "cafe.flac", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    return root


@pytest.fixture(scope="module")
def policy(noise: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a policy in a file, with a bank of 16 kHz."""
    members = [
        sa.Speed(factor=(1.2, 1.3)),
        sa.AddNoise(bank=sa.Bank(noise, sample_rate=RATE), snr_db=(5.0, 10.0)),
        sa.OneOf([sa.LowPass(), sa.HighPass()], p=0.0),
        sa.Gain(gain_db=(6.0, 6.0)),
    ]
    path = tmp_path_factory.mktemp("policy") / "noisy.yaml"
    sa.save_policy(sa.Compose(members), path)
    return path


@pytest.fixture(scope="module")
def text(folder: Path, policy: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("page") / "deep" / "preview.html"
    assert preview(folder, policy, output=output, limit=4, seconds=2.0) == output
    return output.read_text(encoding="utf-8")


def shown(folder: Path, files: Any, policy: Any, **settings: Any) -> str:
    return preview(files, policy, output=folder / "page.html", **settings).read_text(encoding="utf-8")


def words(page: str) -> str:
    """What is read on the page."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def cards(page: str) -> list[str]:
    """The part of the page of each draw."""
    return re.findall(r"<article.*?</article>", page, flags=re.DOTALL)


def takes(card: str) -> list[str]:
    """What is said of each strength."""
    return re.findall(r'<div class="take told".*?</dl>', card, flags=re.DOTALL)


def replayed(card: str, **given: Any) -> dict[str, Any]:
    """Run the Python that is shown."""
    code = re.search(r"<pre>(.*?)</pre>", card, flags=re.DOTALL)
    assert code is not None
    names: dict[str, Any] = dict(given)
    exec(unescape(code[1]), names)
    return names


# What the page holds.


def test_page_is_well_formed_and_loads_nothing(text: str):
    page = Page(text)
    assert page.open == []
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object")
        for name in ("src", "href", "xlink:href", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("data:", "#")), (tag, name)
    assert not re.search(r"@import|url\(|XMLHttpRequest|https?://", text)
    assert "connect-src 'none'" in text
    assert 'class="fresh"' not in text


def test_page_holds_every_recording_and_draw(text: str):
    page = Page(text)
    assert len(page.all("article")) == 4 * 2
    assert [each["data-seed"] for each in page.all("article")] == ["0", "1"] * 4
    assert len(page.all("audio")) == len(page.all("img")) == 8 * (1 + 5)
    said = words(text)
    for part in ("a.wav", "deep/b.flac", "44.1 kHz, stereo", "the first 2 s of 3.0 s, 8 kHz, mono", "noisy.yaml"):
        assert part in said


def test_names_are_harmless(text: str):
    page = Page(text)
    assert not any("onclick" in attributes for _, attributes in page.tags)
    assert not any(tag == "b" and attributes for tag, attributes in page.tags)
    assert "&lt;b onclick=alert(1)&gt; &amp; &#39;x&#39;.wav" in text


def test_every_control_has_a_name(text: str):
    page = Page(text)
    for tag in ("audio", "input", "svg"):
        assert all(each.get("aria-label") or each.get("aria-hidden") for each in page.all(tag))
    assert all(each.get("alt") for each in page.all("img"))
    names = [each["aria-label"] for each in page.all("audio")]
    assert len(set(names)) == len(names)


def test_what_was_drawn_is_said(text: str):
    for card in cards(text):
        told = words(takes(card)[2])
        speed = re.search(r"Speed factor (1\.\d+)", told)
        assert speed is not None and 1.2 <= float(speed[1]) <= 1.3
        ratio = re.search(r"AddNoise cafe\.flac, SNR (\d+\.?\d?) dB", told)
        assert ratio is not None and 5.0 <= float(ratio[1]) <= 10.0
        assert f"measured SNR {ratio[1]} dB" in told
        assert "Gain gain 6 dB" in told
        assert "off: LowPass, HighPass" in told
    first, second = (words(takes(card)[2]) for card in cards(text)[:2])
    assert first != second


def test_strengths_are_the_same_draw_milder_and_stronger(text: str):
    for card in cards(text):
        said = [words(take) for take in takes(card)]
        assert "off: Speed, AddNoise, LowPass, HighPass, Gain" in said[0]
        factors = [float(re.search(r"factor ([\d.]+)", each)[1]) for each in said[1:]]  # type: ignore[index]
        assert factors == sorted(factors) and factors[0] < 1.15
        ratios = [float(re.search(r"cafe.flac, SNR ([\d.−]+)", each)[1].replace("−", "-")) for each in said[1:]]  # type: ignore[index]
        assert ratios == sorted(ratios, reverse=True)


@pytest.mark.parametrize("name", sorted(name for name in sa.TRANSFORMS if name in sa.__all__))
def test_every_transform_has_words(name: str):
    """Names and figures that somebody can read, whatever is drawn."""
    transform = example(sa.TRANSFORMS[name])
    draws = transform.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=["a"]))
    for member in members_of(transform, draws, (40, 100)):
        assert not re.search(r"\d{6}|nan|inf|[\[\]_]", member.said), member.said


# Sounds and pictures.


def test_sounds_are_what_the_policy_made(text: str):
    audios = Page(text).all("audio")
    for place, card in enumerate(cards(text)):
        before, at_0, _, at_1, *_ = (sound(each["src"]) for each in audios[6 * place : 6 * place + 6])
        made = np.atleast_2d(replayed(card)["augmented"])
        assert at_1[1] == before[1] and len(at_1[0]) == made.shape[1]
        assert np.corrcoef(at_1[0][:, 0], made[0])[0, 1] > 0.97  # white noise suffers from MP3
        np.testing.assert_array_equal(at_0[0], before[0])
        factor = float(re.search(r"Speed</b> <span>factor ([\d.]+)", takes(card)[2])[1])  # type: ignore[index]
        assert len(before[0]) / len(at_1[0]) == pytest.approx(factor, rel=0.005)


def test_figures_agree_with_what_is_heard(text: str):
    for place, card in enumerate(cards(text)):
        audios = Page(text).all("audio")[6 * place : 6 * place + 6]
        levels = [20 * np.log10(np.sqrt(np.mean(sound(each["src"])[0] ** 2))) for each in (audios[0], audios[3])]
        said = re.search(r"level (−[\d.]+) → (−[\d.]+) dBFS", words(takes(card)[2]))
        assert said is not None
        assert [float(each.replace("−", "-")) for each in said.groups()] == pytest.approx(levels, abs=0.3)


def test_a_draw_is_the_first_copy_of_a_folder_job(folder: Path, policy: Path, text: str, tmp_path: Path):
    sa.augment_folder(folder, tmp_path / "copies", policy, seed=1, workers=1)
    card = next(each for each in cards(text) if 'aria-label="a.wav, seed 1"' in each)
    written = soundfile.read(tmp_path / "copies" / "a_aug1.flac")[0]
    np.testing.assert_allclose(written, replayed(card)["augmented"][0].clip(-1, 1), atol=1.01 / 32_768)


def test_clipped_samples_are_counted_and_marked(tmp_path: Path):
    samples = np.array([0.1, 0.5, -0.6, 0.49], np.float32).repeat(1_000)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    page = shown(tmp_path, tmp_path / "a.wav", sa.Gain(gain_db=(6.1, 6.1)), draws=1)
    assert "clipped samples 2000 (50.0 %)" in words(takes(page)[2]).replace("\xa0", " ")
    assert "clipped samples none" in words(takes(page)[0])
    marks = [each["d"] for each in Page(page).all("path") if each.get("class") == "over"]
    assert [bool(each) for each in marks] == [False, False, False, True, True, True]


def test_pictures_share_their_scale(text: str):
    """The same seconds for a pixel, and a tone of the same level in the same colour."""
    images = [picture(each["src"]) for each in Page(text).all("img")[:6]]
    audios = [sound(each["src"]) for each in Page(text).all("audio")[:6]]
    columns = np.array([len(samples) / rate for samples, rate in audios]) * 100
    assert np.abs([image.shape[1] for image in images] - columns).max() <= 2
    assert {image.shape[0] for image in images} == {128}
    np.testing.assert_array_equal(images[0], images[1])
    assert images[3].sum() > images[0][:, : images[3].shape[1]].sum()  # noise and gain are brighter


def test_silence_is_dark_and_everything_finite(tmp_path: Path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(8_000), RATE)
    soundfile.write(tmp_path / "one.wav", np.ones(1) / 2, RATE)
    page = shown(tmp_path, tmp_path, sa.Compose([sa.Speed(factor=(3.0, 3.0)), sa.AddColoredNoise()]), draws=1)
    assert "silence" in words(page)
    assert words(page).count("measured SNR") == 4  # of the one sample, at each strength beyond 0; none of silence
    images = [picture(each["src"]) for each in Page(page).all("img")]
    assert images[-6].max() < 0.05
    assert not re.search(r"\b(nan|inf)\b", words(page))


@pytest.mark.parametrize("rate", [4_000, 8_000, 37_000, 44_100, 96_000])
def test_any_rate_can_be_heard(rate: int):
    samples, played = sound(small_audio_uri(speechlike(0.5, rate), rate))
    assert played in (8_000, 44_100, 48_000)
    assert len(samples) / played == pytest.approx(0.5, abs=0.001)


def test_of_many_channels_one_is_heard(tmp_path: Path):
    soundfile.write(tmp_path / "array.wav", np.stack([speechlike(0.5)] * 6, axis=1), RATE)
    page = shown(tmp_path, [tmp_path / "array.wav"], sa.Gain(), draws=1)
    assert "6 channels, one shown" in words(page)
    assert sound(Page(page).all("audio")[0]["src"])[0].shape == (8_000, 1)


def test_same_page_each_time(folder: Path, policy: Path, tmp_path: Path):
    first, second = (shown(tmp_path, folder / "a.wav", policy, draws=1, seed=4) for _ in range(2))
    assert first == second
    assert shown(tmp_path, folder / "a.wav", policy, draws=1, seed=5) != first


def test_a_preset_and_two_files(folder: Path, tmp_path: Path):
    page = shown(tmp_path, [folder / "a.wav", folder / "c.wav"], "small_sample", draws=1)
    assert "What small_sample does to 2 recordings" in words(page)
    assert sa.augment(speechlike(1.5), RATE, sa.presets.small_sample(), seed=0, id="a.wav").size > 0
    for place, card in enumerate(cards(page)):
        heard = sound(Page(page).all("audio")[6 * place + 3]["src"])[0]
        assert len(heard) == np.shape(replayed(card)["augmented"])[-1]


def test_a_policy_from_python_with_a_bank_of_another_rate(folder: Path, tmp_path: Path):
    bank = sa.Bank.from_arrays([np.random.default_rng(0).normal(0, 0.1, 9_000)], sample_rate=RATE)
    policy = sa.AddNoise(bank=bank, snr_db=(3.0, 3.0))
    page = shown(tmp_path, folder / "c.wav", policy, draws=1)
    assert "What AddNoise does to 1 recording." in words(page)
    made = replayed(page.replace("...  # the one that was previewed", "given"), given=policy)["augmented"][0]
    clean = sound(Page(page).all("audio")[0]["src"])[0][:, 0]
    ratio = 10 * np.log10(np.sum(clean**2) / np.sum((made - clean) ** 2))
    assert ratio == pytest.approx(3.0, abs=0.2)
    assert "clip-0, SNR 3 dB" in words(page) and "measured SNR 3 dB" in words(page)


def test_a_preset_with_recorded_noise(folder: Path, noise_folder: Path, tmp_path: Path):
    page = shown(tmp_path, folder / "a.wav", "small_sample", draws=1, noise=noise_folder)
    assert "What small_sample does to 1 recording." in words(page)
    made = f"sa.presets.small_sample(noises=sa.Bank({str(noise_folder)!r}, sample_rate=16000))"
    assert made in unescape(page)
    heard = sound(Page(page).all("audio")[3]["src"])[0]
    assert len(heard) == np.shape(replayed(page)["augmented"])[-1]
    with pytest.raises(ValueError, match="preview: noise must be None unless policy is small_sample"):
        preview(folder / "a.wav", "specaugment", noise=noise_folder, output=tmp_path / "page.html")


def test_a_preset_with_voices(folder: Path, tmp_path: Path):
    page = shown(tmp_path, folder / "a.wav", "small_sample", draws=1, seed=6, voices=folder)
    made = f"sa.presets.small_sample(voices=sa.Bank({str(folder)!r}, sample_rate=16000))"
    assert made in unescape(page) and "AddBabble" in words(page)
    heard = sound(Page(page).all("audio")[3]["src"])[0]
    assert len(heard) == np.shape(replayed(page)["augmented"])[-1]


# Spectrogram policies.


def test_masks_are_shown_without_sound(folder: Path, tmp_path: Path):
    policy = sa.Compose([sa.FrequencyMask(width_bins=(9, 9), count=1), sa.TimeMask(width_frames=(20, 20), count=2)])
    page = shown(tmp_path, folder / "a.wav", policy, draws=1)
    parsed = Page(page)
    assert parsed.open == [] and not parsed.all("audio") and len(parsed.all("img")) == 6
    told = words(takes(page)[2])
    assert "FrequencyMask 9 bands hidden" in told
    assert "TimeMask 20 and 20 frames hidden" in told
    names = replayed(page.replace("...  # the one that was previewed", "given"), given=policy)
    masked, spectrogram = names["masked"][0].numpy(), names["features"][0].numpy()
    changed = 100 * np.mean(masked != spectrogram)
    assert float(re.search(r"changed cells ([\d.]+)", told)[1]) == pytest.approx(changed, abs=0.06)  # type: ignore[index]
    image, before = picture(parsed.all("img")[3]["src"]), picture(parsed.all("img")[0]["src"])
    assert image.shape[:2] == masked.shape
    np.testing.assert_array_equal((image != before).any(axis=2) & (masked == spectrogram)[::-1], False)


# What is taken, and what is refused.


def test_recordings_of_a_folder_are_spread():
    names = [f"{place:03d}" for place in range(100)]
    assert spread(names, 4) == ["012", "037", "062", "087"]
    assert spread(names[:3], 5) == names[:3]


def test_what_cannot_be_read_is_left_out_with_a_warning(tmp_path: Path):
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.wav", speechlike(0.2), RATE)
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.warns(UserWarning, match=r"left out: .*a\.wav: is not an audio file"):
        found = read_excerpts([tmp_path], 2, 1.0)
    assert [each.id for each in found] == ["c.wav", "b.wav"]


@pytest.mark.parametrize(
    ("files", "settings", "error", "message"),
    [
        ("none.wav", {}, FileNotFoundError, r"none\.wav: no such file"),
        ("empty", {}, ValueError, r"empty: the folder is empty"),
        ("texts", {}, ValueError, r"texts: no audio found \(\.aif, "),
        ("texts/notes.txt", {}, ValueError, r"notes\.txt: is not an audio file"),
        ("a.wav", {"policy": "nonsense"}, ValueError, "preview: policy must be small_sample, .* got 'nonsense'"),
        ("a.wav", {"draws": 0}, ValueError, "preview: draws must be >= 1, got 0"),
        ("a.wav", {"seed": -1}, ValueError, "preview: seed must be >= 0, got -1"),
        ("a.wav", {"port": 65_536}, ValueError, r"preview: port must be in \[0, 65535\], got 65536"),
        ("a.wav", {"output": "."}, ValueError, r"preview: output must be a file, got the folder '\.'"),
        ("a.wav", {"seconds": 0.0}, ValueError, r"preview: seconds must be in \(0, 60\], got 0.0"),
        ("a.wav", {"draws": 1_000}, ValueError, "preview: files, draws and seconds must give at most 30 minutes"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, files: str, settings: dict, error: type[Exception], message: str):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no sound", encoding="utf-8")
    soundfile.write(tmp_path / "a.wav", speechlike(1.0), RATE)
    settings = {"policy": sa.Gain(), "output": tmp_path / "page.html", **settings}
    with pytest.raises(error, match=message) as caught:
        preview(tmp_path / files, **settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "page.html").exists()


# Served.


@pytest.fixture(scope="module")
def server(folder: Path, policy: Path) -> Iterator[PreviewServer]:
    gallery = Gallery(read_excerpts([folder / "a.wav"], 1, 1.0), Source.of(policy), [0])
    with PreviewServer(gallery) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def get(server: PreviewServer, path: str, host: str | None = None) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{server.server_port}"})
    answer = connection.getresponse()
    page, headers = answer.read().decode(), dict(answer.headers)
    connection.close()
    return answer.status, page, headers


def test_served_page_has_fresh_draws(server: PreviewServer):
    status, page, headers = get(server, f"/{server.token}/")
    assert status == 200 and Page(page).open == []
    assert 'class="fresh"' in page and "connect-src 'self'" in page
    assert headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"
    status, card, _ = get(server, f"/{server.token}/draw?recording=0&seed=7")
    assert status == 200
    assert Page(card).all("article")[0]["data-seed"] == "7"
    assert takes(card) != takes(page)
    heard = sound(Page(card).all("audio")[3]["src"])[0]
    assert len(heard) == np.shape(replayed(card)["augmented"])[-1]
    assert get(server, f"/{server.token}/draw?recording=0&seed=0")[1] == cards(page)[0]


def test_served_to_this_machine_and_to_who_knows_the_address(server: PreviewServer):
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/{server.token}/"
    port = server.server_port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.evil:{port}"):
        assert get(server, f"/{server.token}/", host)[:2] == (421, "not for this host")
    assert get(server, f"/{server.token}/", f"localhost:{server.server_port}")[0] == 200
    for path in ("/", "/draw?recording=0&seed=1", f"/{server.token[:-1]}/", f"/{server.token}/../etc/passwd", "/%00"):
        assert get(server, path)[0] == 404


@pytest.mark.parametrize("query", ["", "recording=1&seed=1", "recording=-1&seed=1", "recording=0&seed=<b>", "seed=1"])
def test_wrong_requests_are_told(server: PreviewServer, query: str):
    status, text, headers = get(server, f"/{server.token}/draw?{query}")
    assert status == 400 and re.match(r"preview: (recording|seed) must be ", text)
    assert headers["Content-Type"].startswith("text/plain")


def test_a_browser_that_has_gone_is_no_error(server: PreviewServer, capfd: pytest.CaptureFixture[str]):
    for error, said in ((ConnectionResetError(), False), (KeyError("x"), True)):
        try:
            raise error
        except (OSError, KeyError):
            server.handle_error(None, ("127.0.0.1", 1))
        assert bool(capfd.readouterr().err) is said


def test_a_port_that_is_taken_is_told(server: PreviewServer):
    with pytest.raises(ValueError, match=f"preview: port must be free, got {server.server_port} "):
        PreviewServer(server.gallery, server.server_port)


def test_ctrl_c_ends_serving(folder: Path, tmp_path: Path):
    code = "import sys; from speechaug.preview import preview; preview(*sys.argv[1:], draws=1, serve=True)"
    command = [sys.executable, "-c", code, str(folder / "a.wav"), "small_sample"]
    root = str(Path(sa.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # background shells hand down another
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **options) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Wrote preview.html (")
        address = re.search(r"Serving (\S+) \(this machine only", process.stdout.readline())
        assert address is not None and urlsplit(address[1]).hostname == "127.0.0.1"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
