"""Times as people give and read them: local times, ages, and how long ago something was.

With ``--utc`` all times are UTC, and in full. JSON, CSV and the like have times in UTC always.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import click

from session_sqlite.transcript import time_and_zone, time_shown, visible

_WANTS_UTC: Final = f"{__name__}.utc"
_AGE = re.compile(r"([0-9]{1,9})([mhdw])")
_AGE_UNITS: Final = {
    "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1),
}  # fmt: skip
_LONGEST_AGO: Final = timedelta(days=30)  # what is older is shown by its date


def _remember_utc(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta[_WANTS_UTC] = True  # also those of the group and its command: they share it


# It is eager, so that it counts for the times that stand in front of it.
utc_option = click.option(
    "--utc", is_flag=True, is_eager=True, expose_value=False, callback=_remember_utc,
    help="Show and read times as UTC, instead of local time.",
)  # fmt: skip


def _zone() -> tzinfo | None:
    """Returns UTC if that is wanted, otherwise None for the local time."""
    ctx = click.get_current_context(silent=True)
    return UTC if ctx is not None and ctx.meta.get(_WANTS_UTC) else None


def shown_in_zone(when: datetime | None) -> datetime | None:
    """Returns a time in the zone in which times are shown."""
    try:
        return None if when is None else when.astimezone(_zone())
    except (OverflowError, OSError, ValueError):  # the first or last year that there is, or one that the system has not
        return when


def ago(when: datetime | None) -> str:
    """Returns how long ago something was, such as "5 minutes ago"; the time itself if it is older than a month."""
    if when is None:
        return ""
    age = datetime.now(UTC) - when
    if _zone() is UTC or not timedelta(minutes=-1) < age < _LONGEST_AGO:
        return time_shown(shown_in_zone(when), "minutes")
    for unit, name in ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute")):
        if count := max(age // unit, 0):
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"


def full_time(when: datetime | None) -> str:
    """Returns a time with its zone, in the zone in which times are shown."""
    return time_and_zone(shown_in_zone(when))


class Time(click.ParamType):  # type: ignore[type-arg]  # it is generic since click 8.4
    """The type of an option that takes a time: a date, a date with a time, or an age."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Returns the time (aware, UTC)."""
        if isinstance(value, datetime):
            return value
        try:
            if age := _AGE.fullmatch(value):
                return datetime.now(UTC) - int(age[1]) * _AGE_UNITS[age[2]]
            when = datetime.fromisoformat(value)
            if when.tzinfo is None and ctx is not None and ctx.meta.get(_WANTS_UTC):
                when = when.replace(tzinfo=UTC)
            return when.astimezone(UTC)  # of a time without a zone: the local one
        except (ValueError, OverflowError, OSError):
            raise click.BadParameter(
                f"'{visible(value)}' is neither a time, such as 2025-01-31 or 2025-01-31T08:00, nor an age, such as "
                "90d, 2w, 12h or 30m", ctx=ctx, param=param,
            ) from None  # fmt: skip


since_option = click.option(
    "--since", type=Time(), metavar="TIME", help="Only from this time on, or at most this old: 7d, 12h, 2w."
)
until_option = click.option("--until", type=Time(), metavar="TIME", help="Only before this time.")
