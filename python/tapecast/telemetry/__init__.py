"""tapecast.telemetry."""
