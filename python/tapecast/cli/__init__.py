"""tapecast.cli."""
