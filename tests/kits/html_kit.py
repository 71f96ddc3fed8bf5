"""Reads a page as a browser would, for tests of what it holds."""

from html.parser import HTMLParser
from pathlib import Path

_VOID = {"img", "meta", "link", "input"}


class Node:
    """An element as a browser would find it."""

    def __init__(self, tag: str, attrs: dict[str, str | None]) -> None:
        self.tag, self.attrs = tag, attrs
        self.children: list[Node | str] = []

    def all(self, tag: str | None = None, **attrs: str) -> list["Node"]:
        found = []
        for child in self.children:
            if isinstance(child, Node):
                wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}
                if tag in (None, child.tag) and wanted.items() <= child.attrs.items():
                    found.append(child)
                found += child.all(tag, **attrs)
        return found

    def one(self, tag: str | None = None, **attrs: str) -> "Node":
        (found,) = self.all(tag, **attrs)
        return found

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def number(self, name: str) -> float:
        return float(self.attrs[name] or "nan")


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open = [Node("", {})]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(path: Path) -> Node:
    """The document of a file."""
    (document,) = Reader(path.read_text("utf-8")).open
    return document


def cells(table: Node) -> list[list[str]]:
    return [[cell.text for cell in row.children] for row in table.one("tbody").children]
