"""ES modules as one classic script, as a browser loads no module from a file on disk."""

import re
from collections.abc import Mapping

_IMPORT = re.compile(r'^import \{([^}]*)\} from "(?:[^"]*/)?([^"/]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle(entry: str, modules: Mapping[str, str]) -> str:
    """Join a module and all that it imports to one script.

    Each module becomes a function that is called once, after those it imports, and returns what it exports,
    so that names of different modules do not meet. Imports and exports have the forms of the page:
    `import { a, b } from "./NAME.js";` at the start of lines, and `export` before a function, class or const.

    >>> print(bundle("b.js", {"a.js": "export const A = 1;", "b.js": 'import { A } from "./a.js";'}))
    "use strict";
    const modules = {};
    modules["a.js"] = (() => {
    const A = 1;
    return { A };
    })();
    modules["b.js"] = (() => {
    const { A } = modules["a.js"];
    return {  };
    })();

    Args:
        entry: Name of the module that begins.
        modules: Sources by file name.

    Raises:
        ValueError: An import or export has another form, or modules import each other in a circle.
        KeyError: A module is missing.
    """
    parts = ['"use strict";', "const modules = {};"]
    _add(entry, modules, parts, done=set(), above=())
    return "\n".join(parts)


def _add(
    name: str, modules: Mapping[str, str], parts: list[str], *, done: set[str], above: tuple[str, ...]
) -> None:
    """Add a module after those it imports, once."""
    if name in above:
        raise ValueError(f"{name}: imports itself, by {' and '.join(above)}")
    if name in done:
        return
    done.add(name)
    source = modules[name]
    for _, imported in _IMPORT.findall(source):
        _add(imported, modules, parts, done=done, above=(*above, name))
    exported = ", ".join(_EXPORT.findall(source))
    plain = _IMPORT.sub(r'const {\1} = modules["\2"];', _EXPORT.sub("", source))
    if left := _LEFT.search(plain):
        raise ValueError(f"{name}: must import and export as the page does, got {left[0]!r}")
    parts.append(f'modules["{name}"] = (() => {{\n{plain.rstrip()}\nreturn {{ {exported} }};\n}})();')
