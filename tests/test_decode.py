"""Beam search: against sums over all paths, language models evaluated by hand, and in a recognizer."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import math
import pickle
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor

from speechaug.asr import SpeechRecognizer, Tokenizer
from speechaug.asr.beam import BeamSearch
from speechaug.asr.decode import greedy

needs_flashlight = pytest.mark.skipif(
    importlib.util.find_spec("flashlight") is None, reason="flashlight-text is not installed"
)

Grams = dict[tuple[str, ...], tuple[float, float]]
"""N-grams with their log10 probability and back-off."""

WORDS: Grams = {
    ("<unk>",): (-2.0, 0.0), ("<s>",): (-99.0, -0.3), ("</s>",): (-0.9, 0.0), ("a",): (-0.5, -0.2),
    ("ab",): (-0.7, -0.1), ("<s>", "ab"): (-0.2, 0.0), ("a", "ab"): (-0.4, 0.0), ("ab", "</s>"): (-0.3, 0.0),
}  # fmt: skip
CHARACTERS: Grams = {
    ("<unk>",): (-2.0, 0.0), ("<s>",): (-99.0, -0.2), ("</s>",): (-0.8, 0.0), ("a",): (-0.4, -0.3),
    ("b",): (-0.6, -0.1), ("<space>",): (-0.7, -0.4), ("a", "<space>"): (-0.3, 0.0), ("b", "b"): (-1.2, 0.0),
}  # fmt: skip


def _write_arpa(path: Path, grams: Grams) -> Path:
    orders = [{key: value for key, value in grams.items() if len(key) == order} for order in (1, 2)]
    lines = ["\\data\\", *(f"ngram {i + 1}={len(part)}" for i, part in enumerate(orders))]
    for i, part in enumerate(orders):
        lines += ["", f"\\{i + 1}-grams:"]
        lines += [f"{p}\t{' '.join(key)}" + (f"\t{back}" if i == 0 else "") for key, (p, back) in part.items()]
    path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")
    return path


def _lm_log_prob(units: Sequence[str], grams: Grams) -> float:
    """Natural logarithm of a sentence's probability, by the definition of back-off."""
    total, before = 0.0, "<s>"
    for unit in [*units, "</s>"]:
        known = unit if (unit,) in grams else "<unk>"
        pair = grams.get((before, known))
        total += pair[0] if pair else grams[(before,)][1] + grams[(known,)][0]
        before = known
    return total * math.log(10.0)


def _posteriors(frames: int, tokens: int, seed: int) -> Tensor:
    p = np.random.default_rng(seed).dirichlet(np.full(tokens, 0.7), frames)
    return torch.from_numpy(np.log(p)).float()


def _all_sequences(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """Log-probability of every sequence of tokens: the sum over all paths that collapse to it."""
    table = log_probs.double().numpy()
    scores: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(table.shape[1]), repeat=len(table)):
        key = tuple(token for token, _ in itertools.groupby(path) if token)
        score = sum(table[t, token] for t, token in enumerate(path))
        scores[key] = np.logaddexp(scores.get(key, -np.inf), score)
    return scores


def _assert_equal(found: Iterable[Any], expected: dict[str, float]) -> None:
    scores = {hypothesis.text: hypothesis.score for hypothesis in found}
    assert scores.keys() == expected.keys()
    assert scores == pytest.approx(expected, abs=1e-4)


@needs_flashlight
@pytest.mark.parametrize("tokenizer", [Tokenizer(("a", "b")), Tokenizer(("one", "two"), "word")], ids=["char", "word"])
def test_a_wide_beam_sums_over_all_paths(tokenizer: Tokenizer) -> None:
    search = BeamSearch(beam_size=500)
    changed = 0
    for seed in range(20):
        log_probs = _posteriors(5, 3, seed)
        expected = {tokenizer.decode(key): score for key, score in _all_sequences(log_probs).items()}
        found = search.hypotheses(log_probs, tokenizer)
        _assert_equal(found, expected)
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        text = search(log_probs[None], torch.tensor([5]), tokenizer)[0]
        assert text == max(expected, key=expected.__getitem__)
        changed += text != greedy(log_probs[None], torch.tensor([5]), tokenizer)[0]
    assert changed, "the best path was the best text every time, so nothing was tested"


@needs_flashlight
@pytest.mark.parametrize("word_score", [0.0, 0.8])
def test_language_model_of_words_counts_the_tokens_of_a_recognizer_of_words(word_score: float, tmp_path: Path) -> None:
    tokenizer = Tokenizer(("a", "ab", "unseen"), "word")
    search = BeamSearch(500, _write_arpa(tmp_path / "lm.arpa", WORDS), 0.6, word_score)
    for seed in range(5):
        log_probs = _posteriors(4, 4, seed)
        expected = {}
        for key, score in _all_sequences(log_probs).items():
            words = [tokenizer.vocabulary[i - 1] for i in key]
            expected[" ".join(words)] = score + 0.6 * _lm_log_prob(words, WORDS) + word_score * len(words)
        _assert_equal(search.hypotheses(log_probs, tokenizer), expected)


@needs_flashlight
def test_language_model_of_characters(tmp_path: Path) -> None:
    tokenizer = Tokenizer(("a", "b", " "))
    search = BeamSearch(500, _write_arpa(tmp_path / "lm.arpa", CHARACTERS), 0.7)
    log_probs = _posteriors(4, 4, seed=0)
    expected: dict[str, list[float]] = {}
    for key, score in _all_sequences(log_probs).items():
        units = [("a", "b", "<space>")[i - 1] for i in key]
        expected.setdefault(tokenizer.decode(key), []).append(score + 0.7 * _lm_log_prob(units, CHARACTERS))
    found: dict[str, list[float]] = {}
    for hypothesis in search.hypotheses(log_probs, tokenizer):  # texts that differ in spaces alone come apart
        found.setdefault(hypothesis.text, []).append(hypothesis.score)
    assert found.keys() == expected.keys()
    for text, scores in found.items():
        assert sorted(scores) == pytest.approx(sorted(expected[text]), abs=1e-4)


@needs_flashlight
@pytest.mark.parametrize("vocabulary", [(" ", "a", "b"), ("a", "b", " ")])
def test_lexicon_with_a_language_model_of_words(vocabulary: tuple[str, ...], tmp_path: Path) -> None:
    tokenizer, lexicon = Tokenizer(vocabulary), ["a", "ab", "bb"]
    search = BeamSearch(2_000, _write_arpa(tmp_path / "lm.arpa", WORDS), 0.8, 0.4, lexicon)
    for seed in range(3):
        log_probs = _posteriors(6, 4, seed)
        expected: dict[str, float] = {}
        for key, score in _all_sequences(log_probs).items():
            text = tokenizer.decode(key)
            if set(text.split()) <= set(lexicon):
                expected[text] = np.logaddexp(expected.get(text, -np.inf), score)
        for text in expected:
            expected[text] += 0.8 * _lm_log_prob(text.split(), WORDS) + 0.4 * len(text.split())
        _assert_equal(search.hypotheses(log_probs, tokenizer), expected)


@needs_flashlight
def test_language_model_decides_what_sounds_alike(tmp_path: Path) -> None:
    grams: Grams = {
        ("<unk>",): (-3.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0), ("i",): (-0.5, 0.0),
        ("see",): (-1.0, 0.0), ("sea",): (-1.0, 0.0), ("the",): (-0.6, 0.0), ("the", "sea"): (-0.2, 0.0),
        ("the", "see"): (-2.0, 0.0), ("i", "see"): (-0.2, 0.0), ("i", "sea"): (-2.0, 0.0),
    }  # fmt: skip
    tokenizer = Tokenizer(("i", "sea", "see", "the"), "word")
    probabilities = torch.full((1, 3, 5), 0.01)
    probabilities[0, 0, 4] = 0.96  # the
    probabilities[0, 1, 0] = 0.96  # blank
    probabilities[0, 2, 2:4] = torch.tensor([0.47, 0.50])  # sea or see
    frames = torch.tensor([3])
    lm = _write_arpa(tmp_path / "lm.arpa", grams)
    assert greedy(probabilities.log(), frames, tokenizer) == ["the see"]
    assert BeamSearch()(probabilities.log(), frames, tokenizer) == ["the see"]
    # ln(0.47 / 0.50) = -0.06; the language model adds weight * 1.8 * ln 10 = weight * 4.14 for "sea": even at 0.0149
    assert BeamSearch(lm=lm, lm_weight=0.012)(probabilities.log(), frames, tokenizer) == ["the see"]
    assert BeamSearch(lm=lm, lm_weight=0.018)(probabilities.log(), frames, tokenizer) == ["the sea"]
    probabilities[0, 0, [1, 4]] = torch.tensor([0.96, 0.01])  # i
    assert BeamSearch(lm=lm)(probabilities.log(), frames, tokenizer) == ["i see"]


@needs_flashlight
def test_lexicon_of_a_recognizer_without_spaces_writes_one_word() -> None:
    tokenizer = Tokenizer(("a", "b"))
    log_probs = _posteriors(5, 3, seed=3)
    sums = _all_sequences(log_probs)
    expected = {"": sums[()], "ab": sums[1, 2], "ba": sums[2, 1]}
    _assert_equal(BeamSearch(500, lexicon=["ab", "ba"]).hypotheses(log_probs, tokenizer), expected)


@needs_flashlight
def test_lexicon_drops_a_word_that_is_cut_off() -> None:
    log_probs = torch.full((4, 4), -30.0)
    log_probs[range(4), [1, 3, 2, 0]] = 0.0  # "b a" and silence
    log_probs[2, 0] = -20.0  # which of two equally probable texts comes first is not defined
    tokenizer = Tokenizer(("b", "a", " "))
    for beam_size in (1, 4):  # one hypothesis, which is cut off, or others beside it
        assert BeamSearch(beam_size, lexicon=["b", "abb"])(log_probs[None], torch.tensor([4]), tokenizer) == ["b"]


@needs_flashlight
def test_rows_lengths_and_types() -> None:
    tokenizer, search = Tokenizer(("a", "b")), BeamSearch(20)
    log_probs = torch.stack([_posteriors(30, 3, seed) for seed in range(3)])
    lengths = torch.tensor([30, 0, 7])
    texts = search(log_probs, lengths, tokenizer)
    alone = [search(row[None, :n], torch.tensor([n]), tokenizer)[0] for row, n in zip(log_probs, lengths, strict=True)]
    assert texts == alone == search(log_probs.double().requires_grad_(), lengths, tokenizer)
    assert texts[1] == ""
    assert texts == search(log_probs.transpose(1, 2).contiguous().transpose(1, 2), lengths, tokenizer)
    assert search(torch.zeros(0, 5, 3), torch.zeros(0, dtype=torch.int64), tokenizer) == []
    assert len(BeamSearch(1)(log_probs, lengths, tokenizer)) == 3


@needs_flashlight
def test_copies_and_pickles_search_alike(tmp_path: Path) -> None:
    tokenizer = Tokenizer(("a", "b", " "))
    search = BeamSearch(20, _write_arpa(tmp_path / "lm.arpa", WORDS), lexicon=["a", "ab"])
    batch = _posteriors(9, 4, seed=5)[None], torch.tensor([9]), tokenizer
    before = search(*batch)
    for other in (copy.deepcopy(search), pickle.loads(pickle.dumps(search))):
        assert other == search
        assert hash(other) == hash(search)
        assert other(*batch) == before
    assert "lexicon" not in repr(BeamSearch(lexicon=["a"] * 10_000))


@needs_flashlight
@pytest.mark.parametrize(("options", "message"), [
    ({"beam_size": 0}, "beam_size must be a whole number >= 1, got 0"),
    ({"beam_size": 4.5}, "beam_size must be a whole number >= 1, got 4.5"),
    ({"lm_weight": math.nan}, "lm_weight must be finite"),
    ({"word_score": math.inf}, "word_score must be finite"),
    ({"lm": "nowhere.arpa"}, "lm must be an ARPA or KenLM file, got 'nowhere.arpa': no such file"),
    ({"lexicon": []}, "lexicon must hold at least one word"),
    ({"lexicon": "words.txt"}, "lexicon must be a list of words, got 'words.txt'"),
])  # fmt: skip
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"BeamSearch: {message}"):
        BeamSearch(**options)


@needs_flashlight
def test_settings_that_do_not_go_with_the_recognizer(tmp_path: Path) -> None:
    lm = _write_arpa(tmp_path / "wörter.arpa", WORDS)
    broken = tmp_path / "broken.arpa"
    broken.write_text("hello\n", encoding="utf-8")
    log_probs = _posteriors(3, 3, seed=0)
    characters, words = Tokenizer(("x", "y")), Tokenizer(("one", "two"), "word")
    with pytest.raises(ValueError, match=r"knows none of them; .* characters .* give a lexicon"):
        BeamSearch(lm=lm).hypotheses(log_probs, characters)
    with pytest.raises(ValueError, match=r"lm must be one of .*'xx'"):
        BeamSearch(lm=lm, lexicon=["xx"]).hypotheses(log_probs, characters)
    with pytest.raises(ValueError, match=r"broken.arpa'.*hello"):
        BeamSearch(lm=broken).hypotheses(log_probs, words)
    with pytest.raises(ValueError, match="lexicon must be None for a recognizer of words"):
        BeamSearch(lexicon=["one"]).hypotheses(log_probs, words)
    with pytest.raises(ValueError, match=r"spelled in the characters \['x', 'y'\], got \['xz'\]"):
        BeamSearch(lexicon=["xy", "xz"]).hypotheses(log_probs, characters)


def test_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder", None)
    with pytest.raises(ImportError, match=r"BeamSearch needs flashlight-text.*pip install flashlight-text"):
        BeamSearch()


@pytest.mark.global_rng
def test_greedy_is_the_decoder_of_a_new_recognizer() -> None:
    recognizer = SpeechRecognizer(["one"], "word", size="xs", sample_rate=8_000)
    assert recognizer.decoder is greedy
    assert "decoder" not in recognizer.hparams


class Undecided(SpeechRecognizer):
    """Hears "la" in every utterance, on three paths that are each less probable than silence."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log().expand(len(x), 2, 2)
        return log_probs, torch.full((len(x),), 2)


@needs_flashlight
@pytest.mark.global_rng
def test_decoder_of_a_recognizer_serves_tests_and_stays_out_of_checkpoints(tmp_path: Path) -> None:
    recognizer = Undecided(["la"], "word", size="xs", sample_rate=8_000)
    batch = {"waveform": torch.zeros(2, 800), "lengths": torch.tensor([800, 800]), "text": ["la", "la"]}
    batch |= {"id": ["1", "2"], "speaker": ["s", "s"]}
    trainer = L.Trainer(default_root_dir=tmp_path, logger=False, accelerator="cpu", enable_progress_bar=False)
    loader = torch.utils.data.DataLoader([batch], batch_size=None)
    wer = {}
    for name, decoder in (("greedy", greedy), ("beam", BeamSearch(beam_size=4))):
        recognizer.decoder = decoder
        wer[name] = trainer.test(recognizer, loader, verbose=False)[0]["test_wer/test_0"]
    assert wer == {"greedy": 1.0, "beam": 0.0}
    assert [row["hypothesis"] for row in recognizer.test_results] == ["la", "la"]
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    again = Undecided.load_from_checkpoint(tmp_path / "model.ckpt")
    assert again.decoder is greedy
    assert "decoder" not in torch.load(tmp_path / "model.ckpt", weights_only=True)["hyper_parameters"]
