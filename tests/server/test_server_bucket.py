"""A rate with a burst."""

from tapecast.server.bucket import TokenBucket


def test_a_burst_passes_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=4, burst=2)
    assert [bucket.take(9.0) for _ in range(3)] == [True, True, False]
    assert not bucket.take(9.125)
    assert bucket.take(9.25)
    assert [bucket.take(99.0) for _ in range(3)] == [True, True, False]


def test_a_step_back_gives_no_tokens_and_takes_none() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.take(9.0)
    assert not bucket.take(5.0)
    assert bucket.take(6.0)


def test_no_more_is_charged_than_there_is() -> None:
    bucket = TokenBucket(rate=1, burst=3, now_s=0.0)
    bucket.charge(99.0)
    assert not bucket.take(0.5)
    assert bucket.take(1.0)
