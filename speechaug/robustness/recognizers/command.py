"""Any program that prints what it hears in a file."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from speechaug import audio
from speechaug.audio import FloatArray
from speechaug.robustness.fingerprints import file_fingerprint
from speechaug.robustness.recognizers.recognizer import SAMPLE_RATE, Recognizer

TIMEOUT_S = 600.0
"""How long a command may think about one utterance, in seconds."""

_WAV = "{wav}"


def from_command(command: str, *, sample_rate: int = SAMPLE_RATE, timeout_s: float = TIMEOUT_S) -> Recognizer:
    """Return a recognizer that runs a program once for each utterance and reads what it prints.

    There is no shell: the command is split into words once, and ``{wav}`` in them becomes the path of a 16-bit WAV file
    whose name is made here, so that no name of yours is ever interpreted. What exits with another code than 0 or takes
    too long has failed on this utterance. In the cache of transcripts a command is known by its words and by what the
    program and the files among them hold.

    Args:
        command: such as ``"my_asr --beam 8 {wav}"``; quotes keep words together.
        sample_rate: of the WAV files, in Hz.
        timeout_s: longest time for an utterance, in seconds.

    Raises:
        ValueError: if ``{wav}`` is missing, the quotes do not match, or there is no such program.
    """
    words = _words(command)
    if not timeout_s > 0:
        raise ValueError(f"evaluate: timeout_s must be > 0, got {timeout_s!r}")
    return Recognizer(
        kind="command",
        name=" ".join(Path(word).name or word for word in words if _WAV not in word),
        fingerprint=_fingerprint(words),
        sample_rate=sample_rate,
        copies=(_Program(words, sample_rate, timeout_s),),
    )


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"evaluate: command must be words, quotes in pairs, got {command!r} ({error})") from error
    if not any(_WAV in word for word in words[1:]):
        raise ValueError(f"evaluate: command must hold {_WAV} after the program, got {command!r}")
    if shutil.which(words[0]) is None:
        raise ValueError(f"evaluate: command must begin with a program that can be run, got {words[0]!r}")
    return words


def _fingerprint(words: Sequence[str]) -> str:
    """Identify a command by its words and by what the files among them hold: a script may be changed."""
    named = [Path(shutil.which(words[0]) or words[0]), *map(Path, words[1:])]
    files = [file_fingerprint(path) for path in named if path.is_file()]
    return f"command:{hashlib.sha256(json.dumps([*words, *files]).encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class _Program:
    """What is run for each utterance."""

    words: Sequence[str]
    sample_rate: int
    timeout_s: float

    def __call__(self, waves: list[FloatArray]) -> list[str | Exception]:
        with TemporaryDirectory(prefix="speechaug-") as folder:
            return [self._hear(Path(folder, f"{number}.wav"), wave) for number, wave in enumerate(waves)]

    def _hear(self, path: Path, wave: FloatArray) -> str | Exception:
        audio.write(path, wave, self.sample_rate)
        try:
            code, said, complaint = _output([word.replace(_WAV, str(path)) for word in self.words], self.timeout_s)
        except subprocess.TimeoutExpired:
            return TimeoutError(f"took longer than {self.timeout_s:g} s")
        except UnicodeDecodeError as error:
            return error
        if code:
            last = (complaint.strip().splitlines() or [""])[-1].replace(str(path), _WAV)
            return RuntimeError(f"exit code {code}{': ' if last else ''}{last}")
        return said.strip()


def _output(words: list[str], timeout_s: float) -> tuple[int, str, str]:
    """Run a program: its exit code, and what it prints; one that is stopped takes along whatever it started."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        try:
            said, complaint = process.communicate(timeout=timeout_s)
        except BaseException:
            with suppress(ProcessLookupError):  # it has ended meanwhile, alone
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, said.decode(), complaint.decode(errors="replace")
