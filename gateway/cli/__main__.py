"""`python -m gateway.cli` is `module-gateway`."""

from gateway.cli import main

main(prog_name="module-gateway")
