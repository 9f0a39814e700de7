"""Who is calling: proofs of identity, checked; the rest of the gateway sees callers only."""

from gateway.identity.identifier import Identifier, Request, connect

__all__ = ["Identifier", "Request", "connect"]
