"""What the documentation shows is what the code does."""

import re
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tapecast.messages import ACTIONS, decode_message, encode_message

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benches/*.md")])
PROTOCOL: Final = (ROOT / "docs/protocol.md").read_text()
EXAMPLES: Final = re.findall(r"^```json\n(.*?)\n```$", PROTOCOL, re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_of_the_protocol_is_valid(example: str) -> None:
    fields = msgspec.json.decode(example, type=dict[str, msgspec.Raw])
    if "action" in fields:
        action = msgspec.json.decode(fields["action"], type=str)
        command = msgspec.json.decode(example, type=ACTIONS[action])
        assert msgspec.json.decode(encode_message(command)) == msgspec.json.decode(example)
    else:
        assert decode_message(example.encode()).topic == "status"


def test_the_protocol_shows_every_type_of_message() -> None:
    types = {msgspec.json.decode(example).get("type") for example in EXAMPLES} - {None}
    assert types == {
        *("snapshot", "stats", "trade", "ohlcv", "gap", "upstream"),
        *("resumed", "unsubscribed", "pong", "error", "bye"),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []
