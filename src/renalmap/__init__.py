"""RenalMap: kidneys and kidney tumours on abdominal CT."""

__version__ = "0.1.0"
