"""Conditions as one value: the text behind WHERE together with the values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

Id = TypeVar("Id", str, int)

IDS_AT_ONCE: Final = 400  # how many ids one statement looks up: SQLite and the servers limit its parameters


@dataclass(frozen=True)
class Where:
    """Conditions that all have to hold, with the values of their named parameters.

    Conditions are constants of `queries`; values are always bound. A statement may have more parameters of
    its own: `with_values` adds their values.

    Attributes:
        conditions: The conditions, which are joined with AND.
        params: The values, by the names that the conditions (and the statement) use.
    """

    conditions: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)

    def also(self, condition: str, **values: Any) -> Where:
        """Returns these conditions and one more, unless it is there already, with its values."""
        known = condition in self.conditions
        return Where(self.conditions if known else (*self.conditions, condition), {**self.params, **values})

    def with_values(self, **values: Any) -> Where:
        """Returns the same conditions with more values."""
        return Where(self.conditions, {**self.params, **values})

    def __and__(self, other: Where) -> Where:
        return Where((*self.conditions, *other.conditions), {**self.params, **other.params})

    def statement(self, select: str, tail: str = "") -> str:
        """Returns a SELECT or DELETE without WHERE, these conditions, and what follows them (ORDER BY, LIMIT)."""
        condition = " AND ".join(self.conditions)
        return f"{select} {f'WHERE {condition}' if condition else ''} {tail}"


def with_ids(statement: str, ids: Sequence[Id]) -> tuple[str, dict[str, Id]]:
    """Returns a statement that takes a list of ids (its ``{}``), with a name for each, and the values of the names."""
    params = {f"id_{index}": id for index, id in enumerate(ids)}
    return statement.format(", ".join(f":{name}" for name in params)), params
