"""One function per verb: the only place where the stages meet. `cli` shows what these return.

Each verb's module is imported where it is called, so that a verb loads only what it needs; torch is
loaded only by training and export.
"""
