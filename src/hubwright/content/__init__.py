"""Content that people get into their homes: taken from a folder or a git repository, merged, never overwriting theirs.

What is decided is pure (`merge.py`), what is done in a home is done by a program that has become the home's owner
(`hand.py`). Modules that root's programs import keep to the standard library: all but `config.py`.
"""
