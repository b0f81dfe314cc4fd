"""The documentation runs: every fenced block of every page, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.claims import play, way_of
from tests.cli.pages import ROOT, Block, anchors_of, blocks_of, links_of, pages, text_of
from tests.cli.stage import Stage, alike, commands_of, needs_server
from tests.cli.terminals import DRIVERS


def _params() -> list[Any]:
    """Return the pages that have blocks, marked if they need a server."""
    found = []
    for page in pages():
        if blocks := blocks_of(page):
            server = [pytest.mark.server] if needs_server(blocks) else []
            found.append(pytest.param(page, id=page, marks=[pytest.mark.slow, *server]))
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", _params())
def test_the_blocks_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    try:
        play(stage, blocks_of(page))
    finally:
        stage.close()


def test_every_block_is_tested_in_one_way() -> None:
    blocks = [block for page in pages() for block in blocks_of(page)]
    assert all(way_of(block) for block in blocks)
    assert {block.language for block in blocks} == {"python", "console", "json", "markdown"}


@pytest.mark.parametrize("page", pages())
def test_a_file_that_is_saved_is_used_on_its_page(page: str) -> None:
    blocks = blocks_of(page)
    for block in blocks:
        name = block.file_name
        if not name or (page, block.heading) in DRIVERS:
            continue
        users = [each.text for each in blocks if each is not block]
        module = rf"\b(?:from|import) {re.escape(name.removesuffix('.py'))}\b"
        used = [text for text in users if f"python {name}" in text or re.search(module, text)]
        assert used, f"{block}: nothing runs {name}"


def test_every_driver_has_its_blocks() -> None:
    headings = {(block.page, block.heading) for page in pages() for block in blocks_of(page)}
    assert set(DRIVERS) <= headings


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    for target in links_of(page):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.is_file(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors_of(found.resolve().relative_to(ROOT).as_posix()), target


def test_every_page_is_reached_from_the_index() -> None:
    seen, left = set[str](), ["README.md"]
    while left:
        page = left.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in links_of(page):
            if target.endswith(".md") and "://" not in target:
                left.append(((ROOT / page).parent / target).resolve().relative_to(ROOT).as_posix())
    below = {page for page in pages() if page.startswith("docs/")}
    decisions = {page for page in below if page.startswith("docs/decisions/0")}
    assert below - decisions <= seen


# --- the tools of this test ---------------------------------------------------------------

_PAGE = """# A page

```python
print(1)
```

## Below

- in a list

  ```console
  $ true
  ```
"""


def test_blocks_are_found_with_their_lines_and_headings() -> None:
    assert blocks_of("page.md", _PAGE) == [
        Block("page.md", "A page", 4, "python", "print(1)\n"),
        Block("page.md", "Below", 12, "console", "$ true\n"),
    ]


def test_a_fence_that_is_never_closed_is_found() -> None:
    with pytest.raises(ValueError, match="line 3 is never closed"):
        blocks_of("page.md", "text\n\n```python\nprint(1)\n")


@pytest.mark.parametrize("language", ["", "bash", "text", "python no-run"])
def test_a_block_that_nothing_would_test_is_refused(language: str) -> None:
    block = Block("page.md", "A page", 4, language, "print(1)\n")
    with pytest.raises(ValueError, match=r"page\.md:4: nothing tests"):
        way_of(block)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "assert 1 == 2\n"),
        ("python", "import os; os._exit(3)\n"),
        ("console", "$ false\n"),
        ("console", "$ echo one\ntwo\n"),
        ("console", "$ false\n$ echo $?\n2\n"),
        ("console", "$ make nothing-of-the-kind\n"),
        ("console", "$ .venv/bin/pip install '.[nothing]'\n"),
        ("console", "$ .venv/bin/python tools/nothing.py\n"),
        ("json", "{'a': 1}\n"),
    ],
)
def test_a_block_that_is_wrong_fails(language: str, text: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    try:
        with pytest.raises((AssertionError, ValueError)):
            play(stage, [Block("page.md", "A page", 4, language, text)])
    finally:
        stage.close()


def test_blocks_build_on_each_other(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    texts = [
        ("python", "# one.py\nprint('from a file')\n"),
        ("python", "from pathlib import Path\n"),
        ("console", "$ export WORD=kept\n$ python one.py && echo $WORD > two\nfrom a file\n"),
        ("python", "assert Path('two').read_text() == 'kept\\n'\n"),
    ]
    try:
        play(stage, [Block("page.md", "A page", 4, *each) for each in texts])
    finally:
        stage.close()


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("fence 1795416981834070\n", "fence 1795416999257506\n", True),
        ("a  b\n", "a b", True),
        ("first\n...\nlast\n", "first\nsecond\nthird\nlast\n", True),
        ("first\n...\nlast\n", "first\nsecond\n", False),
        ("held\n", "free\n", False),
        ("owner 54itoifqxa3jqmks.1\n", "owner uysppinxrx4coiyc.12\n", True),
        ("done\n", "done\nand more\n", False),
    ],
)
def test_output_is_compared_but_for_what_varies(shown: str, printed: str, same: bool) -> None:
    assert alike(shown, printed) is same


def test_a_command_may_go_on_in_the_next_line() -> None:
    block = Block("page.md", "A page", 4, "console", "$ echo one \\\n    two\none two\n")
    assert commands_of(block) == [("echo one \\\n    two", "one two\n")]


def test_the_pages_tell_of_no_address_but_their_own() -> None:
    for page in pages():
        assert not re.search(r"127\.0\.0\.1:\d+/\w", text_of(page)), page
