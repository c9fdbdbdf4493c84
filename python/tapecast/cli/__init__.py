"""The command `tapecast`: one small module for each of its commands."""

from tapecast.cli.main import main

__all__ = ["main"]
