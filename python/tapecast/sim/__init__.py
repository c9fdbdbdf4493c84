"""A Bybit that never was: market, servers, faults, and the ledger of the truth."""

from tapecast.sim.exchange import SimExchange, SimSettings, run
from tapecast.sim.fault_scripts import script_of

__all__ = ["SimExchange", "SimSettings", "run", "script_of"]
