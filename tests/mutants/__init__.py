"""Mutants: small changes of our code, made at random, each of which a test has to see.

``python -m tests.mutants --write`` tries 200 of each part of the package, and writes what no test saw into
``survivors.toml``, where each such mutant gets its reason. It goes on where it was stopped; ``--again`` asks the
survivors that have no reason once more, as after a new test. It needs ``pip install cosmic-ray coverage``.
"""
