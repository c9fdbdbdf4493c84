"""The record of what faults did."""

from tapecast.sim.fault_log import FaultEvent, FaultLog


def deed(number: int) -> FaultEvent:
    return FaultEvent(
        number, 1, "lose", "withheld", connection=number % 2, trade_ids=(str(number),)
    )


def test_deeds_keep_their_numbers_when_old_ones_are_dropped() -> None:
    log = FaultLog(limit=3)
    for number in range(1, 6):
        log.append(deed(number))
    assert (len(log), log.dropped) == (3, 2)
    assert list(log.entries()) == [(number, deed(number)) for number in (3, 4, 5)]
    assert list(log.entries(after=4)) == [(5, deed(5))]


def test_trades_are_found_by_deed_and_connection() -> None:
    log = FaultLog()
    for number in range(4):
        log.append(deed(number))
    assert log.trade_ids("withheld") == ["0", "1", "2", "3"]
    assert log.trade_ids("withheld", connection=1) == ["1", "3"]
    assert log.trade_ids("corrupted") == []
