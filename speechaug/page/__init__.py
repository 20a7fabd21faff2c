"""What every page has in common: skeleton, style and script, pictures and sounds, and numbers in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechaug.page.words import number

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def make_environment(package: str) -> Environment:
    """Return what renders the templates in the folder ``page`` of a package; they extend ``base.html.jinja``."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, "page"), jinja2.PackageLoader("speechaug", "page")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(breakable=_breakable, number=number)
    return environment


def _breakable(name: str) -> Markup:
    """Let a long name break after its underscores."""
    from markupsafe import Markup, escape

    return Markup(str(escape(name)).replace("_", "_<wbr>"))
