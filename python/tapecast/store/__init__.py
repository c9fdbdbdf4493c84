"""What outlives the daemon: the journal of its inputs, and its closed candles."""

from tapecast.store.candles import CandleStore
from tapecast.store.jobs import Reporter
from tapecast.store.journal import Journal
from tapecast.store.recovery import Damage, Past, Recovered, recover
from tapecast.store.rows import CandleRow, GapRow
from tapecast.store.segments import Codec, Record
from tapecast.store.state import State, StateOptions

__all__ = [
    "CandleRow",
    "CandleStore",
    "Codec",
    "Damage",
    "GapRow",
    "Journal",
    "Past",
    "Record",
    "Recovered",
    "Reporter",
    "State",
    "StateOptions",
    "recover",
]
