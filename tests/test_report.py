"""The report: complete, self-contained, safe against hostile text, the same bytes each time, no number of its own."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jiwer
import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from pages import Page
from rich.console import Console
from simulated import evaluation

import speechaug as sa
from speechaug.page.pictures import audio_uri, spectrogram_uris
from speechaug.page.policy_words import describe
from speechaug.page.words import number, percent, signed, words_of
from speechaug.robustness import (
    Estimate,
    Evaluation,
    Interval,
    colours,
    compare,
    print_table,
    report,
    words,
    write_report,
)
from speechaug.robustness.corrupt import corrupt
from speechaug.robustness.curves import Curve, curve_plot
from speechaug.robustness.differences import align, worst_records
from speechaug.robustness.evaluate import evaluate
from speechaug.robustness.scores import Spread

PLAIN = {"clean": 0.1, "noise_10db": 0.3, "noise_-5db": 0.6, "room": 0.5}
HOSTILE = '<script>alert("x")</script> & \' [red]'
FEW = ("white", "babble", "reverb", "pitch_up")


def results(factor: float, seed: int = 0, conditions: dict[str, float] = PLAIN) -> list[dict[str, Any]]:
    """Invented results of ten speakers, ten utterances of four words each, in every condition."""
    rng = np.random.default_rng(seed)
    rows = []
    for condition, rate in conditions.items():
        for place in range(100):
            wrong = int(rng.binomial(4, factor * rate))
            heard = " ".join(["two"] * wrong + ["one"] * (4 - wrong))
            edits = {"substitutions": wrong, "deletions": 0, "insertions": 0, "words": 4}
            said = {"speaker": f"s{place % 10}", "reference": "one one one one", "hypothesis": heard}
            rows.append({"condition": condition, "id": f"u{place}", **said, **edits})
    return rows


def plain(name: str, factor: float = 1.0, seed: int = 0, conditions: dict[str, float] = PLAIN) -> Evaluation:
    return Evaluation.from_results(name, results(factor, seed, conditions))


def pair() -> list[Evaluation]:
    return [plain("none"), plain("small_sample", 0.4, seed=1)]


def tone(frequency_hz: float, seconds: float = 1.0, rate: int = 16_000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate)) / rate)


def sounds(condition: str, utterance: str) -> tuple[np.ndarray, np.ndarray, int]:
    return tone(1_000.0, 0.4), tone(1_000.0, 0.2), 16_000


def write(folder: Path, *evaluations: Evaluation, **settings: Any) -> str:
    return write_report(folder / "deep" / "report.html", *evaluations, **settings).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def suite() -> list[Evaluation]:
    """Two recognizers on a suite of four corruptions in five severities, one trained on one of the families."""
    return [
        evaluation("none", names=FEW, failed=3),
        evaluation("small_sample", names=FEW, skill=1.5, seed=1, trained=frozenset({"room"})),
    ]


@pytest.fixture(scope="module")
def text(suite: list[Evaluation], tmp_path_factory: pytest.TempPathFactory) -> str:
    policies = [sa.presets.small_sample().to_dict(), sa.presets.specaugment("small").to_dict()]
    settings = {"title": "A & B", "policies": policies, "details": {"steps": 900, "device": "cpu"}, "sounds": sounds}
    return write(tmp_path_factory.mktemp("report"), *suite, **settings)


def test_page_is_well_formed_and_loads_nothing(text: str):
    page = Page(text)
    assert page.open == []
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object")
        for name in ("src", "href", "xlink:href", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("data:", "#")), (tag, name)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|https?://", text)


def test_page_says_everything(text: str, suite: list[Evaluation]):
    shown = re.sub(r"<[^>]+>", "", text)
    for part in ("A &amp; B", "speechaug-C 1 standard", "9f2c4e1a77b03d58", "basic 1", "steps", "900", "as YAML"):
        assert part in shown
    assert "recognizer failures3 with none" in shown.replace("\n", "")
    assert "this family is in the training policy of small_sample" in shown
    assert "held out: kept out of every training preset" in shown
    assert "Evaluation.load(folder).scores()" in shown
    assert "nothing about other speakers" not in shown
    assert "AddColoredNoise on 30\xa0% of the utterances: SNR 0 to 30 dB" in shown
    assert 'name="viewport"' in text
    clean, white = (suite[0].scores().conditions[name] for name in ("clean", "white:3"))
    assert clean.failed == 3
    assert "recognizer failed on: 3 of 60" in text
    assert words.with_span(white.wer) in text
    assert f"{white.words.substitutions} + {white.words.deletions} + {white.words.insertions} of 360 words" in text
    assert "set: SNR 10 dB" in text
    assert "measured: SNR 10 dB" in text


def test_numbers_are_those_of_the_comparison(text: str, suite: list[Evaluation]):
    comparison = compare({each.name: each for each in suite})
    assert comparison.overall is not None
    change = comparison.overall.changes["small_sample"]
    for estimate in (comparison.mce["small_sample"], comparison.relative_mce["small_sample"], change.reduction):
        assert f'data-value="{estimate.value}"' in text
    for row in comparison.conditions.values():
        assert f'data-value="{row.changes["small_sample"].p_holm}"' in text
        assert f'data-value="{row.scores["none"].wer.value}"' in text
    corrupted = [row.changes["small_sample"].p_holm for row in comparison.conditions.values() if row.severity]
    assert f"In {sum(p < 0.05 for p in corrupted)} of 20 corrupted conditions the difference stays" in text
    assert "clean speech is a hypothesis of its own" in text
    for row in comparison.corruptions.values():
        assert f'data-value="{row.changes["small_sample"].difference.value}"' in text


def test_heat_map_holds_every_condition(text: str, suite: list[Evaluation]):
    cells = [button for button in Page(text).all("button") if re.match(r"[hd]\d", button.get("class") or "")]
    conditions = len(suite[0].conditions)
    assert len(cells) == 3 * (conditions + len(FEW))  # of each model and of the difference, with the means
    assert all(cell["title"] and cell["aria-label"] for cell in cells)
    changes = [cell for cell in cells if (cell["class"] or "").startswith("d")]
    assert len(changes) == conditions + len(FEW)
    assert all("p after Holm: " in (cell["title"] or "") for cell in changes)


def test_every_picture_and_sound_is_named(text: str, suite: list[Evaluation]):
    page = Page(text)
    chosen = worst_records([suite[1]], 6)
    titles = [f"{words_of(each['corruption'])}, severity {each['severity']}" for each in chosen]
    assert len(chosen) == 6
    assert [image["alt"] for image in page.all("img")] == [
        f"Spectrogram {side}: {title}" for title in titles for side in ("before", "after")
    ]
    assert all(sound["aria-label"] for sound in page.all("audio"))
    assert [image["style"] for image in page.all("img")][:2] == ["--width: 100.00%", "--width: 50.00%"]
    assert page.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    named = [attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes]
    assert set(named) <= set(ids)


def test_same_input_same_bytes(tmp_path: Path):
    pages = [write(tmp_path / name, *pair(), sounds=sounds, examples=1) for name in "ab"]
    assert pages[0] == pages[1]


def test_hostile_text_stays_text(tmp_path: Path):
    def rename(row: dict[str, Any]) -> dict[str, Any]:
        condition = row["condition"].replace("room", HOSTILE)
        return row | {"condition": condition, "hypothesis": HOSTILE, "speaker": f"{HOSTILE}{row['speaker']}"}

    runs = [Evaluation.from_results(name, map(rename, results(1.0))) for name in ("none", HOSTILE)]
    policy = {"class_path": HOSTILE, "init_args": {"kind": HOSTILE}}
    text = write(tmp_path, *runs, title=HOSTILE, sounds=sounds, policies=[policy], details={HOSTILE: HOSTILE})
    page = Page(text)
    assert len(page.all("script")) == 1
    assert page.open == []
    assert text.count("&lt;script&gt;") >= 10
    assert HOSTILE in printed(*runs)


def test_plain_tests_show_their_table_and_no_map(tmp_path: Path):
    text = write(tmp_path, *pair())
    assert "Which corruption, how strong" not in text
    assert "Listen to the worst" not in text
    assert text.index("Every condition") < text.index("From quiet into noise")
    for part in ("noise, 10 dB", "noise, -5 dB", "all corrupted"):
        assert part in text
    score = plain("none").scores().conditions["room"]
    assert score.wer.interval is not None
    assert f'<span class="value">{100 * score.wer.value:.1f}</span>' in text
    assert words.span(score.wer.interval) in text


def test_one_run_and_nothing_else_is_enough(tmp_path: Path):
    text = write(tmp_path, plain("whisper", conditions={"clean": 0.2}))
    assert "Words wrong with whisper" in text
    assert "fewer errors" not in text


def test_few_speakers_are_said_to_prove_nothing_about_others(tmp_path: Path):
    few = evaluation("a", names=("white",), speakers=3)
    assert "nothing about other speakers" in write(tmp_path, few)
    assert "nothing about other" in " ".join(printed(few).split())


def test_training_seeds_are_one_arm(tmp_path: Path):
    seeds = [evaluation("mine", names=("white",), skill=1.0 + seed / 5, seed=seed) for seed in range(3)]
    text = write(tmp_path, evaluation("none", names=("white",)), *seeds)
    white = compare({"none": evaluation("none", names=("white",)), "mine": seeds}).conditions["white:4"]
    assert len(white.scores["mine"].seeds) == 3
    assert "training seeds: " + ", ".join(percent(rate) for rate in white.scores["mine"].seeds) in text
    assert "and 3 training seeds" in text


@pytest.fixture(scope="module")
def uneven() -> list[Evaluation]:
    """Three training seeds of one recognizer; babble is hard for the last two alone."""
    seeds = [evaluation("mine", names=FEW, skill=skill, seed=seed) for seed, skill in enumerate((2.0, 0.5, 0.0))]
    easy = [
        record
        if record["corruption"] != "babble"
        else {**record, "hypothesis": record["reference"], "substitutions": 0, "deletions": 0, "insertions": 0}
        for record in seeds[0].records
    ]
    return [dataclasses.replace(seeds[0], records=easy), *seeds[1:]]


def rate(evaluations: list[Evaluation], condition: str) -> float:
    found = [row for each in evaluations for row in each.records if row["condition"] == condition]
    return sum(r["substitutions"] + r["deletions"] + r["insertions"] for r in found) / sum(r["words"] for r in found)


def test_what_hurts_most_is_over_all_training_seeds(tmp_path: Path, uneven: list[Evaluation]):
    text = write(tmp_path, *uneven)
    clean = rate(uneven, "clean")
    lost = {
        name: np.mean([max(0.0, rate(uneven, f"{name}:{severity}") - clean) for severity in range(1, 6)])
        for name in FEW
    }
    section = text[text.index('id="ranking"') : text.index('id="kinds"')]
    assert "training seed" not in section
    shown = re.findall(r'<th scope="row">([\w ]+?)<.*?data-value="([\d.]+)"', section.replace("</th>", "<"), re.DOTALL)
    assert [name.strip().replace(" ", "_") for name, _ in shown] == sorted(FEW, key=lambda name: -lost[name])
    assert [float(value) for _, value in shown] == pytest.approx(sorted(lost.values(), reverse=True))
    assert lost["babble"] > min(lost.values())  # but not for the first seed


def test_worst_utterances_are_those_of_all_training_seeds(tmp_path: Path, uneven: list[Evaluation]):
    chosen = worst_records(uneven, 4)
    assert {record["corruption"] for record in chosen} == set(FEW)
    text = write(tmp_path, evaluation("none", names=FEW), *uneven, sounds=sounds, examples=4)
    section = text[text.index('id="listen"') : text.index('id="scores"')]
    for record, example in zip(chosen, section.split("<article")[1:], strict=True):
        heard = [
            next(r for r in each.records if (r["condition"], r["id"]) == (record["condition"], record["id"]))
            for each in uneven
        ]
        wrong = sum(r["substitutions"] + r["deletions"] + r["insertions"] for r in heard)
        assert 2 * wrong >= 3 * record["words"]
        names = re.findall(r'<th scope="row">(mine.*?)</th>', example)
        assert sorted(re.findall(r"\d", "".join(names))) == ["1", "2", "3"]
        assert len(names) == len({r["hypothesis"] for r in heard})
        assert '<th scope="row">none</th>' in example
    assert "with mine, over all its training seeds (numbered as they were given)" in section


def test_failures_and_groups_are_those_of_all_training_seeds(tmp_path: Path):
    seeds = [evaluation("mine", names=("white",), seed=seed, failed=1 + seed) for seed in range(2)]
    named = [
        dataclasses.replace(each, records=[dict(row, group=f"g{int(row['id'][1:]) % 2}") for row in each.records])
        for each in seeds
    ]
    text = write(tmp_path, *named)
    assert "3 with mine" in text
    assert "mine failed on 3 utterances" in printed(*named)
    for name in ("g0", "g1"):
        part = [
            dataclasses.replace(each, records=[row for row in each.records if row["group"] == name]) for each in named
        ]
        assert f'data-value="{rate(part, "clean")}"' in text[text.index('id="groups"') :]


def test_baseline_may_be_another_evaluation(tmp_path: Path):
    none, mine = pair()
    assert "Compared with no augmentation, small_sample" in write(tmp_path, mine, baseline=none)
    assert "Compared with small_sample, none" in write(tmp_path, none, mine, baseline="small_sample")
    with pytest.raises(ValueError, match="baseline"):
        write(tmp_path, none, mine, baseline="other")


def test_baseline_of_the_same_name_is_no_training_seed(tmp_path: Path):
    before, after = (dataclasses.replace(each, name="model") for each in pair())
    assert "Compared with model (baseline), model" in write(tmp_path, after, baseline=before)
    assert "and 2 training seeds" in write(tmp_path, before, after, baseline=before)


# Command.


def test_report_writes_page_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str], suite: list[Evaluation]):
    folders = [str(each.save(tmp_path / each.name)) for each in suite]
    page = report(folders, output=str(tmp_path / "out" / "all.html"))
    assert "50.0" in page.read_text(encoding="utf-8")
    known = json.loads((tmp_path / "out" / "all.json").read_text())
    assert known["arms"] == ["none", "small_sample"]
    assert "white" in (tmp_path / "out" / "all.csv").read_text()
    assert "clean speech, a hypothesis of its own" in (tmp_path / "out" / "all.md").read_text()
    assert "all corrupted" in capsys.readouterr().out


@pytest.mark.parametrize("told", ["small_sample", "runs/small_sample", "runs/../runs/small_sample/"])
def test_baseline_is_a_run_by_its_name_or_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: list[Evaluation], told: str
):
    monkeypatch.chdir(tmp_path)
    folders = [str(each.save(Path("runs") / each.name)) for each in suite]
    page = report(folders, baseline=told)
    known = json.loads(page.with_suffix(".json").read_text())
    assert (sorted(known["arms"]), known["baseline"]) == (["none", "small_sample"], "small_sample")
    assert "training seeds" not in page.read_text(encoding="utf-8")


def test_report_takes_the_results_of_a_training(tmp_path: Path):
    (tmp_path / "demo").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in results(1.0))
    (tmp_path / "demo" / "results.jsonl").write_text(lines)
    page = report([str(tmp_path / "demo")], output=str(tmp_path / "page.html"))
    assert "Words wrong with demo" in page.read_text(encoding="utf-8")


def test_report_makes_no_sounds_that_were_not_heard(tmp_path: Path):
    fixtures = Path(sa.__file__).parent / "fixtures"
    data = str(fixtures / "test.jsonl")
    evaluated = evaluate(lambda waves: ["one"] * len(waves), data, suite=["environment:3"], limit=1, name="mine")
    folder = str(evaluated.save(tmp_path / "mine"))
    options = {"data": data, "output": str(tmp_path / "page.html")}
    with pytest.raises(ValueError, match="noise and rooms must be those of the evaluation, whose suite has the hash"):
        report([folder], noise=str(fixtures / "noise" / "test"), **options)
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in results(1.0)))
    with pytest.raises(ValueError, match="data must be None where conditions are not those of speechaug-C"):
        report([str(tmp_path)], **options)


def test_report_makes_sounds_of_the_data(tmp_path: Path):
    fixtures = Path(sa.__file__).parent / "fixtures"
    evaluated = evaluate(
        lambda waves: ["one"] * len(waves), fixtures / "test.jsonl", suite=["white:3"], limit=2, name="mine"
    )
    data = str(fixtures / "test.jsonl")
    folder = str(evaluated.save(tmp_path / "mine"))
    text = report([folder], data=data, output=str(tmp_path / "page.html"), examples=1).read_text(encoding="utf-8")
    before, after = (decode(sound["src"] or "", "audio/flac") for sound in Page(text).all("audio"))
    (clean, _), (noisy, _) = (soundfile.read(io.BytesIO(each)) for each in (before, after))
    noise = noisy / (noisy @ clean / (clean @ clean)) - clean
    assert 10 * np.log10((clean @ clean) / (noise @ noise)) == pytest.approx(10.0, abs=4.0)  # of active speech


@pytest.mark.parametrize("folders", [("clean", "cafe_0dB"), ("cafe_0dB", "car_0dB")])
def test_report_makes_sounds_of_noisy_sets_of_others(tmp_path: Path, folders: tuple[str, ...]):
    """Read from the files; without clean speech there is nothing to compare with, and the page has no sounds."""
    for place, name in enumerate(folders):
        (tmp_path / "sets" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "sets" / name / "two_ann.wav", tone(500.0 * (1 + place), 0.2), 16_000)
    options = {"suite": None, "pattern": "{text}_{speaker}.wav", "name": "mine"}
    evaluated = evaluate(lambda waves: ["one"] * len(waves), tmp_path / "sets", **options)
    folder, data = str(evaluated.save(tmp_path / "mine")), {"data": tmp_path / "sets", "pattern": options["pattern"]}
    page = Page(report([folder], output=str(tmp_path / "page.html"), **data).read_text(encoding="utf-8"))
    heard = [soundfile.read(io.BytesIO(decode(each["src"] or "", "audio/flac")))[0] for each in page.all("audio")]
    assert len(heard) == (2 if "clean" in folders else 0)
    for x, frequency_hz in zip(heard, (500.0, 1_000.0), strict=False):
        assert np.argmax(np.abs(np.fft.rfft(x))) * 16_000 / len(x) == pytest.approx(frequency_hz, abs=5.0)
    (tmp_path / "sets" / folders[1]).rename(tmp_path / "sets" / "hall_5dB")
    with pytest.raises(ValueError, match="data must be the noisy test sets of the evaluation"):
        report([folder], output=str(tmp_path / "page.html"), **data)


def test_report_makes_sounds_of_noisy_sets_of_ours(tmp_path: Path):
    """The same as of the recordings that they were made of, up to the 16 bits of the files."""
    data = str(Path(sa.__file__).parent / "fixtures" / "test.jsonl")
    corrupt(data, tmp_path / "sets", suite=["white:3"], limit=2)
    evaluated = evaluate(lambda waves: ["one"] * len(waves), tmp_path / "sets", name="mine")
    folder, heard = str(evaluated.save(tmp_path / "mine")), []
    for source in (data, str(tmp_path / "sets")):
        page = Page(report([folder], data=source, output=str(tmp_path / "page.html"), examples=1).read_text("utf-8"))
        heard.append([soundfile.read(io.BytesIO(decode(s["src"] or "", "audio/flac")))[0] for s in page.all("audio")])
    for rendered, written in zip(*heard, strict=True):
        np.testing.assert_allclose(rendered, written, atol=1e-4)


def test_groups_that_another_arm_does_not_know(tmp_path: Path):
    """They are left out of the page of both; a baseline may have been tested without groups."""
    first = evaluation("mine", names=("white",))
    for group, there in ((None, False), ("south", False), ("north", True)):
        pair = [
            dataclasses.replace(first, name=name, records=[dict(row, group=its) for row in first.records])
            for name, its in (("mine", "north"), ("other", group))
        ]
        assert ("Group by group" in write(tmp_path, *pair)) is there


def test_file_names_that_are_no_utf8(tmp_path: Path):
    named = [row | {"id": f"{row['id']}\udcff"} for row in results(1.0, conditions={"clean": 0.1, "white:1": 0.9})]
    kept = Evaluation.from_results("mine", named)
    assert Evaluation.load(kept.save(tmp_path / "mine")).records == kept.records
    assert "\\udcff" in write(tmp_path, kept, sounds=sounds, examples=1)
    page = report([str(tmp_path / "mine")], output=str(tmp_path / "page.html"))
    assert page.with_suffix(".csv").is_file()


@pytest.mark.parametrize(("runs", "error"), [([], "at least one folder"), (["absent"], "absent")])
def test_report_says_what_is_missing(runs: list[str], error: str):
    with pytest.raises((ValueError, FileNotFoundError), match=error):
        report(runs)


# Words.


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (0.4, "Compared with no augmentation, small_sample makes 6"),
        (0.4, "% fewer errors in noise ("),
        (1.6, "% more errors in noise ("),
        (1.0, "about as many errors on clean speech ("),
    ],
)
def test_headline_says_what_happened(factor: float, said: str):
    rates = {"clean": 0.3, "noise_10db": 0.4, "noise_0db": 0.5}
    runs = {"none": plain("none", conditions=rates), "small_sample": plain("small_sample", factor, 1, rates)}
    assert said in words.headline(compare(runs))


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (["noise_20db", "noise_0db"], " in noise and "),
        (["noise_20db", "noise_0db", "room"], " in noise and rooms and "),
        (["noise_5db"], " in noise, 5 dB and "),
        (["telephone"], " in telephone and "),
        (["white:1", "white:2", "hall:1", "hall:2"], " over 2 corruptions and "),
    ],
)
def test_headline_names_what_was_altered(names: list[str], where: str):
    rates = dict.fromkeys(["clean", *names], 0.3)
    assert where in words.headline(compare({"a": plain("a", conditions=rates)}))


def test_headline_without_clean_speech_or_noise():
    said = words.headline(compare({"a": plain("a", conditions={"room": 0.0})}))
    assert said == "Words wrong with a: 0.0\xa0% in room."


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("snr_db", -0.04, "SNR 0 dB"),
        ("snr_db", Spread(9.99, 9.94, 10.13), "SNR 10 dB (9.9 to 10.1)"),
        ("t60_s", 0.4, "T60 0.4 s"),
        ("rate_per_s", 16.0, "rate 16 per s"),
        ("loss_rate", 0.02, "loss rate 0.02"),
        ("level_dbfs", -20.0, "level −20 dBFS"),
        ("bits", 8.0, "bits 8"),
    ],
)
def test_quantities_have_their_units(name: str, value: float | Spread, said: str):
    assert words.quantity(name, value) == said


def test_numbers_have_a_minus_and_no_negative_zero():
    assert [number(value) for value in (-1.25, -0.01, 0.0)] == ["−1.2", "0.0", "0.0"]
    assert [signed(value) for value in (1.0, -1.0, 0.01)] == ["+1.0", "−1.0", "0.0"]
    assert [words.probability(value) for value in (1.0, 0.5, 0.0)] == ["> 99.9\xa0%", "50.0\xa0%", "< 0.1\xa0%"]


# Terminal.


def printed(*evaluations: Evaluation, width: int = 80, **settings: Any) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_table(*evaluations, console=console, **settings)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_table_of_plain_runs_fits_a_terminal():
    everything = dict.fromkeys(PLAIN, 0.9)
    runs = [plain("no augmentation", conditions=everything), plain("small_sample", conditions=everything)]
    text = printed(*runs)
    line = next(line for line in text.splitlines() if "noise, 10 dB" in line)
    for run in runs:
        wer = run.scores().conditions["noise_10db"].wer
        assert wer.interval is not None
        assert f"{100 * wer.value:.1f} ({100 * wer.interval.low:.1f}–{100 * wer.interval.high:.1f})" in line
    assert "from 10 speakers" in text


def test_table_of_a_suite_fits_a_terminal(suite: list[Evaluation]):
    text = printed(*suite)
    assert max(map(len, text.splitlines())) <= 80
    grid, _, together = text.partition("Words wrong, %: small_sample")
    rates = [suite[0].scores().conditions[f"white:{severity}"].wer.value for severity in range(1, 6)]
    line = next(line for line in grid.splitlines() if "white" in line)
    assert re.findall(r"\d+\.\d", line)[:5] == [f"{100 * rate:.1f}" for rate in rates]
    assert "reverb †" in together
    assert "pitch up ◇" in together
    assert "none failed on 3 utterances" in text
    assert "Suite speechaug-C, version 1, standard, hash 9f2c4e1a77b03d58." in text
    assert "…" not in text


def test_conditions_that_need_a_higher_rate_are_named(suite: list[Evaluation], tmp_path: Path):
    one = dataclasses.replace(suite[0], meta={**suite[0].meta, "left_out": ["low_pass:1", "low_pass:2"]})
    assert "Left out, since they need a higher sample rate: low_pass:1, low_pass:2." in printed(one)
    assert "2 (low_pass:1, low_pass:2)" in write(tmp_path, one)


def test_many_arms_are_printed_in_parts():
    runs = [plain(f"recognizer {number}", 0.2 * (number + 1)) for number in range(5)]
    text = printed(*runs)
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"recognizer {number}" in text for number in range(5))


def test_one_utterance_has_no_interval(tmp_path: Path):
    runs = [dataclasses.replace(run, records=[row for row in run.records if row["id"] == "u0"]) for run in pair()]
    page, table = write(tmp_path, *runs), printed(*runs)
    assert '<p class="note">Too few utterances for an interval.</p>' in page
    assert "Too few utterances for an interval" in table
    assert 'class="spread"' not in page
    assert "–" not in table


def test_table_shows_names_as_they_are():
    assert "[red]a" in printed(plain("[red]a"))


# Words heard otherwise.


@pytest.mark.parametrize(("said", "heard"), [("a b c", "a x c d"), ("", "a"), ("a b", ""), ("one", "one")])
def test_alignment_adds_up_to_both_texts(said: str, heard: str):
    found = align(said, heard)
    assert " ".join(word.said for word in found if word.said) == said
    assert " ".join(word.heard for word in found if word.heard) == heard
    edits = jiwer.process_words(said, heard)
    kinds = [word.kind for word in found]
    assert kinds.count("subs") == edits.substitutions
    assert kinds.count("dels") == edits.deletions
    assert kinds.count("inss") == edits.insertions


def test_worst_utterances_are_different_and_wrong_early(suite: list[Evaluation]):
    chosen = worst_records([suite[0]], 4)
    assert {record["corruption"] for record in chosen} == set(FEW)
    assert len({record["id"] for record in chosen}) == 4
    for record in chosen:
        errors = record["substitutions"] + record["deletions"] + record["insertions"]
        assert 2 * errors >= record["words"]
    assert [record["severity"] for record in chosen] == sorted(record["severity"] for record in chosen)
    assert chosen[0]["severity"] <= 2
    assert worst_records([suite[0]], 0) == []


# Colours and curves.


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_text_on_every_colour_can_be_read():
    rules = re.findall(r"--heat:light-dark\((#\w+),(#\w+)\);--ink:light-dark\((#\w+),(#\w+)\)", colours.style())
    assert len(rules) == 2 * (colours.STEPS + 1)
    for day, night, day_ink, night_ink in rules:
        for ground, ink in ((day, day_ink), (night, night_ink)):
            dark, light = sorted((luminance(ground), luminance(ink)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_rates_are_told_apart_by_lightness_alone():
    rules = re.findall(r"\.h\d+\{--heat:light-dark\((#\w+),(#\w+)\)", colours.style())
    day, night = ([luminance(rule[theme]) for rule in rules] for theme in (0, 1))
    assert (np.diff(day) < 0).all()
    assert (np.diff(night) > 0).all()


def test_steps_stay_on_the_scale():
    assert [colours.rate_step(rate, 0.5) for rate in (0.0, 0.5, 3.0)] == ["h0", "h20", "h20"]
    assert [colours.change_step(change, 0.5) for change in (-3.0, 0.0, 0.5)] == ["d0", "d10", "d20"]


def test_curve_is_svg_in_the_colours_of_the_page():
    first = {20.0: Estimate(0.1, Interval(0.05, 0.2)), 0.0: Estimate(0.5, Interval(0.4, 0.7)), -5.0: Estimate(1.4)}
    svg = curve_plot([Curve(0, "<a>", first), Curve(5, "b", {20.0: Estimate(0.0)})], 1.0)
    root = ElementTree.fromstring(svg)
    assert "viewBox" in root.attrib
    assert "#" not in svg
    for x in map(float, re.findall(r"[ML](?=[\d.])([\d.]+) ", "".join(each.get("d", "") for each in root.iter()))):
        assert 0 <= x <= 300
    shown = "".join(root.itertext())
    assert all(part in shown for part in ("20 dB", "−5", "<a>, 0 dB: 50.0\xa0% (40.0 to 70.0)"))
    assert "<a>: 10 % at 20 dB, 50 % at 0 dB" in root.get("aria-label", "")


# Sounds and spectrograms.


def decode(uri: str, kind: str) -> bytes:
    head, _, data = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(data, validate=True)


@pytest.mark.parametrize("shape", [(800,), (1, 800), (2, 800)])
def test_sound_is_what_was_given(shape: tuple[int, ...]):
    samples = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    read, rate = soundfile.read(io.BytesIO(decode(audio_uri(samples, 8_000), "audio/flac")), always_2d=True)
    assert rate == 8_000
    assert np.abs(read.T - np.atleast_2d(samples)).max() <= 1.01 / 2**15


def test_loud_sound_is_clipped_not_wrapped():
    read, _ = soundfile.read(io.BytesIO(decode(audio_uri(np.array([3.0, -3.0]), 8_000), "audio/flac")))
    assert read[0] > 0.99
    assert read[1] < -0.99


@pytest.mark.parametrize("frequency_hz", [500.0, 3_000.0, 7_000.0])
def test_spectrogram_shows_a_tone_at_its_height(frequency_hz: float):
    first, second = spectrogram_uris((tone(frequency_hz), 16_000), (tone(frequency_hz, 0.5), 16_000))
    picture, other = (imread(io.BytesIO(decode(uri, "image/png")))[..., :3].sum(axis=2) for uri in (first, second))
    brightest = np.argmax(picture[:, 20:-20].mean(axis=1))
    height = 1 - brightest / (len(picture) - 1)  # row 0 is the top, Nyquist
    assert height * 8_000 == pytest.approx(frequency_hz, abs=1.5 * 8_000 / 128)
    assert picture.shape[1] == 100
    assert other.shape[1] == 50


def test_spectrogram_of_a_long_recording_is_not_wider_than_a_screen():
    uri, _ = spectrogram_uris((tone(1_000.0, 60.0), 16_000), (tone(1_000.0), 16_000))
    assert imread(io.BytesIO(decode(uri, "image/png"))).shape[1] <= 481


@pytest.mark.parametrize("samples", [np.zeros(1_000), np.ones(1), np.zeros((2, 300)), np.zeros(0)])
def test_silence_and_single_samples_are_drawn(samples: np.ndarray):
    for uri in spectrogram_uris((samples, 8_000), (np.zeros(10), 8_000)):
        assert np.isfinite(imread(io.BytesIO(decode(uri, "image/png")))).all()


# Policies.


def test_description_of_nested_policies():
    policy = sa.Compose(
        [
            sa.OneOf([sa.LowPass(cutoff_hz=(2_000.0, 7_500.0)), sa.HighPass(cutoff_hz=(50.0, 300.0))], p=0.2),
            sa.Gain(gain_db=(-6.0, 6.0), p=1.0),
        ]
    )
    lines = list(describe(policy.to_dict()))
    assert lines[0] == (0, "Compose: all of these, in order")
    assert lines[1] == (1, "OneOf on 20\xa0% of the utterances: one of these")
    assert any(depth == 2 and line.startswith("LowPass") and "cutoff 2000 to 7500 Hz" in line for depth, line in lines)
    assert lines[-1] == (1, "Gain: gain −6 to 6 dB")
