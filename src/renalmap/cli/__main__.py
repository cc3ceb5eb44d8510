"""`python -m renalmap.cli`."""

from renalmap.cli.app import main

main()
