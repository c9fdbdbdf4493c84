"""What a process does for its event loop."""

import gc
from collections.abc import Iterator

import pytest

from tapecast.daemon.lifecycle import calm_collector


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_the_collector_leaves_alone_what_is_there_and_looks_less_often_at_the_rest() -> None:
    gc.unfreeze()
    before = gc.get_threshold()
    calm_collector()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() > before
