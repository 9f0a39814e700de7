"""Stateful stand-ins for the backends, written from the documented facts and not from the adapters."""
