"""What pages with the viewer are made of: files that browsers load, and HTML that is put into pages."""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files

_LOADED = (".js", ".css")
_FRAGMENTS = ("stage", "comparison", "lists", "keys", "templates")
_PLACE = re.compile(r"\{\{([\w-]+)\}\}")


def page_files() -> Iterator[tuple[str, bytes]]:
    """Scripts and styles of the viewer, by name; the scripts are modules that import each other as `./NAME`.

    >>> "viewer.js" in dict(page_files())
    True
    """
    for file in files("lts.viewer").joinpath("page").iterdir():
        if file.name.endswith(_LOADED):
            yield file.name, file.read_bytes()


def put_together(page: str, values: Mapping[str, str]) -> str:
    """Put the HTML of the viewer, then values, into a page that names them in double braces.

    >>> put_together("<title>{{title}}</title>", {"title": "a scan"})
    '<title>a scan</title>'

    Args:
        page: As `<main>{{stage}}</main>`; see `lts/viewer/page` for the HTML.
        values: HTML by name, put in as it is; `second` is what the second mask is called, and `first-column`
            and `second-column` are what tables call the masks.

    Raises:
        KeyError: A value is missing.
    """
    folder = files("lts.viewer").joinpath("page")
    fragments = {name: folder.joinpath(f"{name}.html").read_text("utf-8").rstrip() for name in _FRAGMENTS}
    with_fragments = _PLACE.sub(lambda place: fragments.get(place[1], place[0]), page)
    if "second" in values:
        values = {**values, "Second": values["second"].capitalize()}
    return _PLACE.sub(lambda place: values[place[1]], with_fragments)
