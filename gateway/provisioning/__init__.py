"""The writes of the gateway: creates that are sent once, updates and deletes, and the lookups of lost creates."""
