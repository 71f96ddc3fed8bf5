"""Runs the code of a notebook cell by cell, in one namespace and without Jupyter.

`python tests/kits/notebook_kit.py docs/tour.ipynb` writes what the cells print and show into the notebook.
"""

import ast
import base64
import json
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def code_cells(notebook: dict[str, Any]) -> list[Cell]:
    """The cells of a notebook that hold code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs_of(cell: Cell, namespace: dict[str, Any], *, number: int) -> list[dict[str, Any]]:
    """Run a cell, and return what it prints and what its last line shows, as a notebook keeps it."""
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = StringIO(), None
    with redirect_stdout(printed):
        exec(compile(tree, cell["id"], "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), cell["id"], "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append(
            {"name": "stdout", "output_type": "stream", "text": printed.getvalue().splitlines(keepends=True)}
        )
    if value is not None:
        outputs.append(
            {
                "data": _shown(value),
                "execution_count": number,
                "metadata": {},
                "output_type": "execute_result",
            }
        )
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    if not hasattr(value, "_repr_png_"):
        return {"text/plain": [repr(value)]}
    png = base64.b64encode(value._repr_png_()).decode()
    return {"image/png": png, "text/plain": [f"<{value.mode} image of {value.width}x{value.height}>"]}


def fill(path: Path) -> None:
    """Run a notebook and keep its outputs in it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {}
    for number, cell in enumerate(code_cells(notebook), start=1):
        cell["outputs"] = outputs_of(cell, namespace, number=number)
        cell["execution_count"] = number
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
