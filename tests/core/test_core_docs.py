"""What `help` says of the extension is its reference text, word for word."""

import ast
import inspect
import pydoc
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from tapecast import Engine, _core

STUB = Path(_core.__file__).with_name("_core.pyi")


def documented(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the docstring of every class and function that has one."""
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        name = prefix + node.name
        docstring = ast.get_docstring(node, clean=False)
        if docstring is not None:
            yield name, inspect.cleandoc(docstring)
        if isinstance(node, ast.ClassDef):
            yield from documented(node.body, f"{name}.")


FUNCTIONS = {"decode_trades", "encode_record", "read_records"}
REFERENCE = dict(documented(ast.parse(STUB.read_text(encoding="utf-8")).body))


@pytest.mark.parametrize("name", REFERENCE)
def test_docstring_is_that_of_the_stub(name: str) -> None:
    assert inspect.getdoc(attrgetter(name)(_core)) == REFERENCE[name]


def test_reference_covers_what_the_extension_exports() -> None:
    classes = (
        *(_core.Batch, _core.Block, _core.Engine, _core.Latency),
        *(_core.Layout, _core.Message, _core.Selection),
    )
    members = {
        f"{owner.__name__}.{name}"
        for owner in classes
        for name in vars(owner)
        if not name.startswith("_")
    }
    assert set(REFERENCE) == members | {owner.__name__ for owner in classes} | FUNCTIONS


def test_help_tells_the_contract_of_feed() -> None:
    text = pydoc.plain(pydoc.render_doc(Engine))
    assert "A frame is applied whole or not at all" in text
