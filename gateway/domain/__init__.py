"""The gateway's own language: what a module is, what can go wrong, what a backend must offer."""
