"""The command line: verbs, progress bars, tables, exit codes."""

from renalmap.cli.app import main

__all__ = ["main"]
