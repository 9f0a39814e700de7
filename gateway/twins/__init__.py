"""Stateful stand-ins for the backends; written from the documented facts, never from the adapters that talk to them."""
