"""The daemon: the only room that knows all the others."""

from tapecast.daemon.app import Daemon, run
from tapecast.daemon.demo import run_demo
from tapecast.daemon.lifecycle import run_until_signal
from tapecast.daemon.replay import ReplaySettings

__all__ = ["Daemon", "ReplaySettings", "run", "run_demo", "run_until_signal"]
