"""How `make docs` makes a site of the pages that GitHub shows, which asks nothing of the network.

The source folder is that of the project, so that links between pages are the same in both places.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import lts

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]

CONTENTS = {
    "Start": ("docs/tour", "docs/coming-from", "docs/data", "docs/doctor"),
    "Train": ("docs/settings", "docs/recipes", "docs/long-runs", "docs/sweeps", "docs/scaling"),
    "Score": ("docs/scores", "docs/conventions", "docs/accuracy"),
    "Use a model": ("docs/predict", "docs/export", "docs/service"),
    "Python": ("docs/library", "docs/reference"),
    "How it is made": ("ARCHITECTURE", "docs/decisions", "docs/faults", "docs/benchmarks", "docs/speed"),
    "Project": ("CONTRIBUTING", "SECURITY", "CHANGELOG", "findings/README"),
}
"""Pages by the headings of the site's contents. A page that is not named here ends the build."""

project = "lts"
author = "the authors of lts"
version = release = lts.__version__
html_title = f"lts {version}"
root_doc = "README"
# The first suffix is that of the pages which autosummary makes.
source_suffix = {".rst": "restructuredtext", ".md": "markdown", ".ipynb": "markdown"}
include_patterns = ["*.md", "docs/*.md", "docs/*.ipynb", "docs/reference/*.rst", "findings/README.md"]
# Folders without pages are not looked through: data may hold a million files.
exclude_patterns = [
    path.name for path in PROJECT.iterdir() if path.is_dir() and path.name not in ("docs", "findings")
]

extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"),
    *("sphinx.ext.viewcode", "sphinx_copybutton"),
]
myst_heading_anchors = 3  # as GitHub has them
default_role = "code"  # in docstrings
highlight_language = "none"  # of blocks that name no language: commands and what they print
templates_path = [str(HERE / "templates")]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 90
napoleon_use_ivar = True  # attributes of a class as a list, not as entries of their own
napoleon_attr_annotations = False  # the signature of a dataclass has them
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["lts.css"]
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # a page in a file may not fetch others
html_theme_options = {"navigation_with_keys": True}


def contents() -> str:
    """The pages below their headings, hidden in the text of the first one."""
    trees = [
        "\n".join(
            ["```{toctree}", ":hidden:", f":caption: {heading}", "", *(f"/{page}" for page in pages), "```"]
        )
        for heading, pages in CONTENTS.items()
    ]
    return "\n\n".join(trees)


def notebook_text(notebook: dict[str, Any]) -> str:
    """The cells of a notebook and what they showed."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                png = "".join(data["image/png"]).replace("\n", "")
                parts.append(f"![{''.join(data['text/plain'])}](data:image/png;base64,{png})")
            else:
                parts.append(f"```text\n{''.join(output.get('text') or data['text/plain'])}\n```")
    return "\n\n".join(parts)


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """Make Markdown of what is to be read."""
    if page == root_doc:
        source[0] += "\n\n" + contents()
    elif app.env.doc2path(page).suffix == ".ipynb":
        source[0] = notebook_text(json.loads(source[0]))


def shorten(*event: object) -> tuple[str | None, ...]:
    """Signature and annotation with `NDArray[bool]` as it is written, not as NumPy expands it."""
    expanded = r"ndarray\[tuple\[Any, \.\.\.\], dtype\[([\w.]+)\]\]"
    return tuple(text and re.sub(expanded, r"NDArray[\1]", str(text)) for text in event[-2:])


def finish(app: Sphinx, error: Exception | None) -> None:
    """Let the first page be what a browser opens in a folder."""
    if error is None:
        shutil.copyfile(app.outdir / f"{root_doc}.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read)
    app.connect("autodoc-process-signature", shorten)
    app.connect("build-finished", finish)
