"""One REST API for modules, in front of the systems that hold them."""
