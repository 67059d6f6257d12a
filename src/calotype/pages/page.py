"""The shell of a page: one HTML file that forbids itself scripts and everything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import calotype
from calotype.pages import wording

if TYPE_CHECKING:
    import jinja2


def render(
    package: str,
    template: str,
    *,
    style: str,
    filters: Mapping[str, Callable[..., str]],
    **content: Any,
) -> str:
    """Return a page as HTML.

    Whatever is not ours (names, paths) is escaped by the template engine. The policy of the page
    allows its style by digest, pictures inside the page, and nothing else.

    Args:
        package: whose folder `templates` holds the two templates.
        template: of the page; extends `page.html.j2` of this package.
        style: the template of the style; includes `base.css.j2` of this package.
        filters: further filters for the templates.
        content: what the templates show; `title` is needed.
    """
    templates = _environment(package)
    templates.filters.update({**wording.FILTERS, **filters})
    sheet = templates.get_template(style).render()
    return templates.get_template(template).render(
        style=sheet,
        style_digest=base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode(),
        version=calotype.__version__,
        **content,
    )


def _environment(package: str) -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package), jinja2.PackageLoader("calotype.pages")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
