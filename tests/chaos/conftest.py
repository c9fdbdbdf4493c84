"""What is the same for all runs."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Leave thousands of refused frames and lost lines out of the log of a test."""
    logger = logging.getLogger("tapecast")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)
