"""The table "What has been tried" in the README: a row a trial, written by the command and compared by a test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .trials import Trial, Tried

BEGIN: Final = "<!-- tried: begin -->"
END: Final = "<!-- tried: end -->"


def rows_in(readme: str) -> dict[str, str]:
    """The lines of the README's table, by the promise in their first cell."""
    lines = readme.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    return {line.split("|")[1].strip(): line for line in lines}


def written(readme: str, trials: Iterable[Trial], tried: dict[str, Tried]) -> str:
    """The README with the rows of what was tried now; other rows stay, and the rows of trials that are gone go."""
    before = rows_in(readme)
    rows = {trial.promise: before.get(trial.promise) for trial in trials}
    for trial in trials:
        if one := tried.get(trial.name):
            rows[trial.promise] = f"| {trial.promise} | {one.what} | {one.found} |"
    table = "\n".join(["| Promise | What was done | What was found |", "|---|---|---|", *filter(None, rows.values())])
    start, rest = readme.split(BEGIN)
    return f"{start}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"
