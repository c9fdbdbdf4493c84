"""The order of what is due."""

import math

from tapecast.sim.agenda import Agenda


def test_actions_come_by_time_and_then_in_the_order_of_noting() -> None:
    agenda, done = Agenda(), []
    for due_ms, name in ((5, "c"), (2, "a"), (5, "d"), (3, "b")):
        agenda.note(due_ms, lambda ms, name=name: done.append((ms, name)))  # type: ignore[misc]
    while agenda.next_ms < math.inf:
        due_ms, action = agenda.pop()
        action(due_ms)
    assert done == [(2, "a"), (3, "b"), (5, "c"), (5, "d")]


def test_an_empty_agenda_is_due_never() -> None:
    assert Agenda().next_ms == math.inf
