"""Finished frames, as an independent implementation reads them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapecast.server.wire import deflated_frame, text_frame

from .server_fakes import parsed

LENGTHS = [0, 1, 117, 118, 119, 65_527, 65_528, 70_000]
"""Around the borders at which a header grows, less the eight bytes of JSON around the text."""


@pytest.mark.parametrize("characters", LENGTHS)
def test_frames_have_headers_of_every_length(characters: int) -> None:
    payload = json.dumps({"x": "y" * characters}).encode()
    for frame in (text_frame(payload), deflated_frame(payload, 9)):
        assert list(parsed(frame * 2)) == [json.loads(payload)] * 2


@given(texts=st.lists(st.text(max_size=400), min_size=1), window_bits=st.integers(9, 15))
def test_each_deflated_frame_can_be_read_by_itself(texts: list[str], window_bits: int) -> None:
    values = [{"text": text} for text in texts]
    frames = [deflated_frame(json.dumps(value).encode(), window_bits) for value in values]
    assert list(parsed(b"".join(reversed(frames)))) == list(reversed(values))


def test_deflated_frames_are_marked_as_such_and_smaller() -> None:
    payload = b'{"a":"' + b"0123456789" * 30 + b'"}'
    frame = deflated_frame(payload, 11)
    assert frame[0] == 0xC1
    # What a flush ends with is left out (RFC 7692, section 7.2.1).
    assert not frame.endswith(b"\x00\x00\xff\xff")
    assert len(frame) < len(payload) / 4
