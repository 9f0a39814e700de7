"""The domain: modules, operations, errors, capabilities, and the ports to backends, journal, time and telemetry."""
