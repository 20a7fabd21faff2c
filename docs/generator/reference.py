"""The reference: every public class and function, from signatures and docstrings."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ForwardRef

from speechaug import TRANSFORMS

from .docstrings import Docstring, Link, body, example, parse, prose, table

_WIDTH = 88


@dataclass(frozen=True)
class Topic:
    """A page of the reference.

    Args:
        slug: name of the page.
        title: its heading.
        modules: whose public names it holds, those of ``__all__`` or else those defined there.
        about: what they are for.
        first: what most readers come for; the rest follows as the modules have it.
    """

    slug: str
    title: str
    modules: tuple[str, ...]
    about: str
    first: tuple[str, ...] = ()


TOPICS = (
    Topic(
        "folders",
        "Folders",
        ("folders", "preview"),
        "Augment recordings on disk; look and listen before that.",
        first=("augment_folder", "augment_manifest", "preview", "Report"),
    ),
    Topic(
        "data",
        "Data",
        ("data", "audio"),
        "Read speech from anywhere, split it, batch it.",
        first=("read_manifest", "write_manifest", "Utterance", "SpeechDataModule"),
    ),
    Topic(
        "recognizers",
        "Recognizers",
        ("asr",),
        "Small recognizers and keyword spotters, as Lightning modules.",
        first=("SpeechRecognizer", "SpeechClassifier", "Tokenizer"),
    ),
    Topic("callbacks", "Callbacks", ("callbacks",), "Augment, schedule, log, listen and evaluate in any trainer."),
    Topic(
        "robustness",
        "Robustness",
        ("robustness",),
        "The suite, evaluation of any recognizer, statistics, reports.",
        first=("evaluate", "corrupt", "compare", "report", "write_report", "Recognizer", "Evaluation", "Suite"),
    ),
    Topic("interop", "Other libraries", ("interop", "convert"), "Our policies elsewhere, and theirs here."),
    Topic(
        "testing",
        "Testing",
        ("testing",),
        "The contract of every transform, as checks to run on your own.",
        first=("check_transform",),
    ),
    Topic("functional", "Functions", ("functional",), "One pure function an effect; every strength is `(B,)`."),
    Topic(
        "core",
        "Core",
        ("", "presets", "graph"),
        "What transforms are made of; they have pages of their own.",
        first=("augment", "Transform", "span", "Draws", "Rng", "Bank"),
    ),
)
"""A name is documented on the first page that holds it; the package itself comes last."""


def contents() -> dict[str, list[tuple[str, Any]]]:
    """Return what each page documents: names and things, by slug."""
    seen = {id(cls) for cls in TRANSFORMS.values()}
    pages: dict[str, list[tuple[str, Any]]] = {topic.slug: [] for topic in TOPICS}
    for topic in TOPICS:
        for name, thing in (pair for module in topic.modules for pair in _public(module)):
            if id(thing) not in seen:
                seen.add(id(thing))
                pages[topic.slug].append((name, thing))
        order = {name: place for place, name in enumerate(topic.first)}
        pages[topic.slug].sort(key=lambda pair: order.get(pair[0], len(order)))
    return pages


def _public(name: str) -> Iterator[tuple[str, Any]]:
    """Yield the classes and functions that a module offers."""
    module = importlib.import_module(f"speechaug.{name}".rstrip("."))
    here = [key for key, value in vars(module).items() if getattr(value, "__module__", "").startswith(module.__name__)]
    names = getattr(module, "__all__", here)
    for key in names:
        thing = getattr(module, key)
        if not key.startswith("_") and (inspect.isclass(thing) or inspect.isfunction(thing)):
            yield key, thing


def page(topic: Topic, things: list[tuple[str, Any]], link: Link) -> str:
    """Return one page."""
    parts = [f"# {topic.title}", topic.about]
    for name, thing in things:
        parts.append(_entry(name, thing, link))
        if inspect.isclass(thing):
            parts += [_entry(f"{name}.{key}", method, link, 3) for key, method in methods(thing)]
    return "\n\n".join(parts)


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield what a class adds to the classes of other packages that it extends."""
    foreign = [base for base in cls.__mro__[1:] if not base.__module__.startswith("speechaug")]
    for name, value in vars(cls).items():
        if name.startswith("_") or any(hasattr(base, name) for base in foreign):
            continue
        thing = value if isinstance(value, property) else inspect.unwrap(getattr(value, "__func__", value))
        if (isinstance(thing, property) or inspect.isfunction(thing)) and thing.__doc__:
            yield name, thing


def _entry(name: str, thing: Any, link: Link, level: int = 2) -> str:
    text = parse(thing)
    parts = [f"{'#' * level} {name} {{ #{name} }}", _signature(name, thing), prose(text.summary, link)]
    return "\n\n".join(filter(None, [*parts, _arguments(text, link), body(text, link), example(text)]))


def _signature(name: str, thing: Any) -> str:
    """Return a signature as a block of code, an argument a line where it is long."""
    if isinstance(thing, property):
        return f"```python\n{name}: {thing.fget.__annotations__.get('return', 'Any')}\n```"
    try:
        signature = inspect.signature(thing)
    except ValueError:  # a class without one, such as an error
        return ""
    shown = list(_parameters(signature))
    returns = signature.return_annotation
    after = "" if returns is signature.empty or inspect.isclass(thing) else f" -> {_type(returns)}"
    line = f"{name}({', '.join(shown)}){after}"
    if len(line) > _WIDTH and shown:
        line = f"{name}(\n    " + ",\n    ".join(shown) + f",\n){after}"
    return f"```python\n{line}\n```"


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    star_needed = True
    for parameter in signature.parameters.values():
        star_needed = star_needed and parameter.kind is not parameter.VAR_POSITIONAL
        if parameter.kind is parameter.KEYWORD_ONLY and star_needed:
            star_needed = False
            yield "*"
        if parameter.name not in ("self", "cls"):
            kind = "" if parameter.annotation is parameter.empty else f": {_type(parameter.annotation)}"
            default = "" if parameter.default is parameter.empty else f" = {_value(parameter.default)}"
            yield f"{stars.get(parameter.kind, '')}{parameter.name}{kind}{default}"


def _type(annotation: Any) -> str:
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _value(default: Any) -> str:
    """Return a default as written; what has no such form, a function for instance, by its name."""
    return getattr(default, "__name__", "...") if repr(default).startswith("<") else repr(default)


def _arguments(text: Docstring, link: Link) -> str:
    for heading, what in (("Args", "argument"), ("Attributes", "attribute")):
        if items := text.items(heading):
            return table((what, "meaning"), [(f"`{name}`", prose(said, link)) for name, said in items.items()])
    return ""
