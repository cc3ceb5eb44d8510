"""One function per verb: the only place where stages meet. `cli` shows what these return.

Each verb's module is imported where it is called, so that a verb loads only what it needs; torch is
loaded by training and export alone.
"""
