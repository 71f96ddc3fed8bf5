"""Modules of the page as one script for a file on disk."""

import re

import pytest

from lts.viewer import page_files
from lts.viewer.bundle import bundle


def test_a_module_comes_once_and_after_those_it_imports() -> None:
    modules = {
        "main.js": 'import { b } from "./b.js";\nimport {\n  a,\n  A,\n} from "../page/a.js";\nb(a, A);\n',
        "b.js": 'import { a } from "./a.js";\nexport function b() {\n  return a();\n}\n',
        "a.js": "export const A = 1;\nconst hidden = 2;\nexport async function a() {}\nexport class C {}\n",
        "unused.js": "export const U = 1;\n",
    }
    script = bundle("main.js", modules)
    assert re.findall(r'^modules\["(.+)"\] = ', script, re.MULTILINE) == ["a.js", "b.js", "main.js"]
    assert "return { A, a, C };" in script
    assert 'const {\n  a,\n  A,\n} = modules["a.js"];' in script
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)


@pytest.mark.parametrize(
    "line",
    [
        "export default 1;",
        "export { a };",
        'import * as a from "./a.js";',
        'import "./a.js";',
        "export let a = 1;",
    ],
)
def test_what_would_be_left_as_it_is_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"main\.js: must import and export as the page does, got "):
        bundle("main.js", {"main.js": f"const b = 1;\n{line}\n", "a.js": ""})


def test_a_circle_is_refused() -> None:
    circle = {
        "a.js": 'import { b } from "./b.js";\nexport const a = 1;\n',
        "b.js": 'import { a } from "./a.js";\nexport const b = 1;\n',
    }
    with pytest.raises(ValueError, match=r"a\.js: imports itself, by a\.js and b\.js"):
        bundle("a.js", circle)


def test_the_scripts_of_the_page_can_be_joined() -> None:
    scripts = {name: content.decode() for name, content in page_files() if name.endswith(".js")}
    joined = bundle("viewer.js", scripts)
    assert '"viewer.js"' in joined
    # What would end the element that a page has it in.
    assert not re.search(r"</script|<!--", joined, re.IGNORECASE)
