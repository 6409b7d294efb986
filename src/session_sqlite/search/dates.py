"""Dates in questions: *on May 3rd*, *last week*, *on Tuesday*, *5月3日*, and the few other words that are known.

A date without a year is that day of any year. Days are those of UTC, by which events have their times. Weeks begin on
Monday; a weekday alone is the latest one before today. The text is folded (see `words.fold`), so months are written
without accents here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from datetime import date, timedelta
from typing import Final, NamedTuple

from session_sqlite.search.stop_words import LANGUAGES, language_of
from session_sqlite.search.words import divide, fold


class Days(NamedTuple):
    """A span of days, or one day or month of any year.

    Attributes:
        since: The first day, as ``2026-01-31``; empty if the year is not known.
        until: The day after the last.
        any_year: The end of a month or of a day, as ``-05-`` or ``-05-03``; empty if the year is known.
    """

    since: str = ""
    until: str = ""
    any_year: str = ""

    def includes(self, time: str) -> bool:
        """Returns True if a stored time lies in these days."""
        if self.any_year:
            return time.startswith(self.any_year, 4)
        return self.since <= time[:10] < self.until


class Period(NamedTuple):
    """The days that a question names, of which any will do."""

    days: tuple[Days, ...]

    def includes(self, time: str) -> bool:
        """Returns True if a stored time lies in one of them."""
        return any(days.includes(time) for days in self.days)


_MONTHS: Final = {
    "English": "january february march april may june july august september october november december",
    "English, short": "jan feb mar apr may jun jul aug sep oct nov dec",
    "German": "januar februar marz april mai juni juli august september oktober november dezember",
    "French": "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "Spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
_TRADITIONAL: Final = str.maketrans("个这周礼两", "個這週禮兩")
_CHINESE: Final = {
    "今天": (0, "day"), "昨天": (1, "day"), "昨晚": (1, "day"), "前天": (2, "day"), "这周": (0, "week"),
    "本周": (0, "week"), "这个星期": (0, "week"), "这个礼拜": (0, "week"), "上周": (1, "week"),
    "上个星期": (1, "week"), "上星期": (1, "week"), "上个礼拜": (1, "week"), "上礼拜": (1, "week"),
    "这个月": (0, "month"), "本月": (0, "month"), "上个月": (1, "month"), "上月": (1, "month"), "今年": (0, "year"),
    "去年": (1, "year"), "前年": (2, "year"),
}  # fmt: skip
# How many units back, and the unit: a day, or a week, month or year as a whole.
_RELATIVE: Final = {
    "English": {
        "today": (0, "day"), "yesterday": (1, "day"), "last night": (1, "day"), "this week": (0, "week"),
        "last week": (1, "week"), "this month": (0, "month"), "last month": (1, "month"), "this year": (0, "year"),
        "last year": (1, "year"),
    },
    "German": {
        "heute": (0, "day"), "gestern": (1, "day"), "vorgestern": (2, "day"), "diese woche": (0, "week"),
        "letzte woche": (1, "week"), "letzter woche": (1, "week"), "diesen monat": (0, "month"),
        "letzten monat": (1, "month"), "dieses jahr": (0, "year"), "letztes jahr": (1, "year"),
    },
    "French": {
        "aujourd'hui": (0, "day"), "hier": (1, "day"), "avant-hier": (2, "day"), "cette semaine": (0, "week"),
        "la semaine derniere": (1, "week"), "ce mois-ci": (0, "month"), "le mois dernier": (1, "month"),
        "cette annee": (0, "year"), "l'annee derniere": (1, "year"),
    },
    "Spanish": {
        "hoy": (0, "day"), "ayer": (1, "day"), "anteayer": (2, "day"), "esta semana": (0, "week"),
        "la semana pasada": (1, "week"), "este mes": (0, "month"), "el mes pasado": (1, "month"),
        "este ano": (0, "year"), "el ano pasado": (1, "year"),
    },
    "Chinese": _CHINESE | {phrase.translate(_TRADITIONAL): back for phrase, back in _CHINESE.items()},
    "Japanese": {
        "今日": (0, "day"), "昨日": (1, "day"), "一昨日": (2, "day"), "今週": (0, "week"), "先週": (1, "week"),
        "今月": (0, "month"), "先月": (1, "month"), "昨年": (1, "year"),
    },
    "Korean": {
        "오늘": (0, "day"), "어제": (1, "day"), "그저께": (2, "day"), "이번 주": (0, "week"), "지난주": (1, "week"),
        "지난 주": (1, "week"), "이번 달": (0, "month"), "지난달": (1, "month"), "지난 달": (1, "month"),
        "올해": (0, "year"), "작년": (1, "year"),
    },
}  # fmt: skip
_WEEKDAYS: Final = {
    "English": "monday tuesday wednesday thursday friday saturday sunday",
    "German": "montag dienstag mittwoch donnerstag freitag samstag sonntag",
    "French": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "Spanish": "lunes martes miercoles jueves viernes sabado domingo",
    "Chinese": "一 二 三 四 五 六 日",
    "Japanese": "月 火 水 木 金 土 日",
    "Korean": "월 화 수 목 금 토 일",
}
_WEEKS_BACK: Final = {
    "this": 0, "diesen": 0, "ce": 0, "este": 0, "这": 0, "這": 0, "本": 0, "今": 0, "이번": 0,
    "上": 1, "先": 1, "지난주": 1, "지난 주": 1, "上上": 2,
}  # fmt: skip
_NUMBERS: Final = {
    name: number
    for names in (
        "one two three four five six seven eight nine ten",
        "einem zwei drei vier funf sechs sieben acht neun zehn",
        "un deux trois quatre cinq six sept huit neuf dix",
        "uno dos tres cuatro cinco seis siete ocho nueve diez",
        "一 二 三 四 五 六 七 八 九 十",
    )
    for number, name in enumerate(names.split(), start=1)
} | {"a": 1, "an": 1, "einer": 1, "une": 1, "una": 1, "两": 2, "兩": 2}
_UNITS: Final = {
    "day": "days? tag tagen jours? dias? 天 日 일",
    "week": "weeks? wochen? semaines? semanas? 周 週 个星期 個星期 星期 个礼拜 個禮拜 週間 주",
    "month": "months? monate? monaten mois mes meses 个月 個月 か月 ヶ月 ケ月 개월",
    "year": "years? jahre? jahren ans? anos? 年 년",
}  # fmt: skip


def _alternatives(names: Collection[str]) -> str:
    return "|".join(sorted(set(names), key=lambda name: (-len(name), name)))


_NUMBER_OF_MONTH: Final = {
    name: number for names in _MONTHS.values() for number, name in enumerate(names.split(), start=1)
}
_SPANS: Final = {phrase: back for phrases in _RELATIVE.values() for phrase, back in phrases.items()}
_MONTH: Final = rf"(?P<month>{_alternatives(_NUMBER_OF_MONTH)})\b\.?"
# The short ones are other words, too, unless a day stands beside them.
_LONG_MONTH: Final = (
    rf"(?P<month>{_alternatives([name for name in _NUMBER_OF_MONTH if len(name) > 3 or name in ('may', 'mai')])})\b"
)
_HAN_NUMBER: Final = r"\d{1,2}|[一二三四五六七八九十]{1,3}"
_COUNT: Final = rf"(?P<count>\d{{1,3}}|{_alternatives([name for name in _NUMBERS if name.isascii()])})"
_LATIN_UNIT: Final = "|".join(
    f"(?P<{unit}>{'|'.join(one for one in patterns.split() if one[0].isascii())})" for unit, patterns in _UNITS.items()
)
_OTHER_UNIT: Final = "|".join(
    f"(?P<{unit}>{'|'.join(one for one in patterns.split() if not one[0].isascii())})"
    for unit, patterns in _UNITS.items()
)
_DATES: Final = (
    r"\b(?P<year>\d{4})[-/.](?P<month>\d{1,2})(?:[-/.](?P<day>\d{1,2}))?\b",
    rf"(?:(?P<year>\d{{4}})年)?(?P<month>{_HAN_NUMBER})月份?(?:(?P<day>{_HAN_NUMBER})[日号號])?",
    r"(?:(?P<year>\d{4})년 ?)?(?P<month>\d{1,2})월(?: ?(?P<day>\d{1,2})일)?",
    rf"\b(?:on )?{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (?P<year>\d{{4}})\b)?",
    r"\b(?:am |le |el )?(?P<day>\d{1,2})(?:st|nd|rd|th|\.|er)? (?:of |de )?"
    rf"{_MONTH}(?:,? (?:de |of )?(?P<year>\d{{4}})\b)?",
    rf"\b(?:in |im |en )?{_LONG_MONTH},? (?:de )?(?P<year>\d{{4}})\b",
    rf"\b(?:in|im|en|of|during|since|last|this|letzten) {_LONG_MONTH}",
    r"(?P<year>(?:19|20)\d\d)[年년]",
    r"\b(?:in|en|im jahr) (?P<year>(?:19|20)\d\d)\b",
)
_AGO: Final = (
    rf"\b{_COUNT} (?:{_LATIN_UNIT}) ago\b",
    rf"\b(?:vor|il y a|hace) {_COUNT} (?:{_LATIN_UNIT})\b",
    rf"(?P<count>\d{{1,3}}|[一二两兩三四五六七八九十]{{1,3}}) ?(?:{_OTHER_UNIT}) ?[前전]",
)
_NUMBER_OF_WEEKDAY: Final = {
    name: number for names in _WEEKDAYS.values() for number, name in enumerate(names.split())
} | {"天": 6}
_LATIN_WEEKDAY: Final = _alternatives([name for name in _NUMBER_OF_WEEKDAY if name.isascii()])
# Of every week, or of one to come, are other days; so are the three times in 一周三次.
_WEEKDAY: Final = (
    r"(?<!\bevery )(?<!\beach )(?<!\bnext )(?<!\bjeden )(?<!\bnachsten )(?<!\bchaque )(?<!\bcada )(?<!\bproximo )"
    r"\b(?:on |am |le |el )?(?:(?P<week>this|diesen|ce|este) |(?:last|past|letzten|vergangenen) )?"
    rf"(?P<weekday>{_LATIN_WEEKDAY})\b(?! prochain)(?: dernier\b| pasado\b)?",
    r"(?<![一二两兩三四五六七八九十\d每半下个個])(?:(?P<week>上上|上|这|這|本)[个個]?)?"
    r"(?:周|週|星期|礼拜|禮拜)(?P<weekday>[一二三四五六日天])(?![次个個])",
    r"(?<![毎来])(?:(?P<week>先|今)週の?)?(?P<weekday>[月火水木金土日])曜日?",
    r"(?:(?P<week>지난 ?주|이번)(?: ?주)? |지난 )?(?P<weekday>[월화수목금토일])요일",
)
_RELATIVE_WORDS: Final = {
    language: rf"\b(?:{_alternatives(phrases)})\b" if language in LANGUAGES else _alternatives(phrases)
    for language, phrases in _RELATIVE.items()
}
_compiled: Final = functools.cache(re.compile)  # at the first question: compiling them is a tenth of a program's start
MOST_DATES: Final = 3


def without_dates(question: str, now: str) -> tuple[str, Period | None]:
    """Returns a question without the dates in it, folded, and the days that they name.

    Example:
        >>> without_dates("What did we eat on May 3rd?", "2026-06-01")
        ('what did we eat  ?', Period(days=(Days(since='', until='', any_year='-05-03'),)))
        >>> without_dates("上周我们吃了什么", "2026-06-03")
        (' 我们吃了什么', Period(days=(Days(since='2026-05-25', until='2026-06-01', any_year=''),)))
    """
    text = fold(question)
    found: list[Days] = []
    today = date.fromisoformat(now)

    def taken(read: Callable[[re.Match[str]], Days | None]) -> Callable[[re.Match[str]], str]:
        def replacement(match: re.Match[str]) -> str:
            days = read(match)
            if days is None or len(found) == MOST_DATES:
                return match[0]
            found.append(days)
            return " "

        return replacement

    for pattern in _AGO:
        text = _compiled(pattern).sub(taken(lambda match: _ago(match, today)), text)
    for pattern in _WEEKDAY:
        text = _compiled(pattern).sub(taken(lambda match: _weekday(match, today)), text)
    spoken = {"English", language_of(divide(text))}
    for language, phrases in _RELATIVE_WORDS.items():
        if language in spoken or language not in LANGUAGES:  # "hier" is a day in French, and a place in German
            text = _compiled(phrases).sub(taken(lambda match: _span(today, *_SPANS[match[0]])), text)
    for pattern in _DATES:
        text = _compiled(pattern).sub(taken(_date), text)
    return text, Period(tuple(dict.fromkeys(found))) if found else None


def _date(match: re.Match[str]) -> Days | None:
    """Returns the days of a date; None for numbers that are none."""
    groups = match.groupdict()
    year, month, day = groups.get("year"), _number(groups.get("month")), _number(groups.get("day"))
    if month is None:
        return Days(f"{year}-01-01", f"{int(year or 0) + 1:04}-01-01")
    if not 1 <= month <= 12 or (day is not None and not 1 <= day <= 31):
        return None
    if year is None:
        return Days(any_year=f"-{month:02}-" if day is None else f"-{month:02}-{day:02}")
    try:
        first = date(int(year), month, day or 1)
        return Days(first.isoformat(), (first + timedelta(1) if day else _next_month(first)).isoformat())
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> int | None:
    """Returns the number that a numeral or the name of a month stands for."""
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    if text in _NUMBER_OF_MONTH:
        return _NUMBER_OF_MONTH[text]
    if "十" in text:
        tens, _, ones = text.partition("十")
        return 10 * (_NUMBERS.get(tens, 1)) + _NUMBERS.get(ones, 0)
    return _NUMBERS.get(text)


def _weekday(match: re.Match[str], today: date) -> Days:
    """Returns a weekday of the week that is named, or the latest one before today."""
    back = today.weekday() - _NUMBER_OF_WEEKDAY[match["weekday"]]
    week = match["week"]
    return _span(today, back % 7 or 7 if week is None else back + 7 * _WEEKS_BACK[week], "day")


def _ago(match: re.Match[str], today: date) -> Days | None:
    count = _number(match["count"])
    unit = next(name for name in _UNITS if match.groupdict().get(name))
    return None if count is None else _span(today, count, unit)


def _span(today: date, back: int, unit: str) -> Days:
    """Returns the day, week, month or year so many units before today's: at most 999, which no calendar lacks."""
    if unit == "day":
        first = today - timedelta(back)
        after = first + timedelta(1)
    elif unit == "week":
        first = today - timedelta(today.weekday() + 7 * back)
        after = first + timedelta(7)
    elif unit == "month":
        months = today.year * 12 + today.month - 1 - back
        first = date(months // 12, months % 12 + 1, 1)
        after = _next_month(first)
    else:
        first, after = date(today.year - back, 1, 1), date(today.year - back + 1, 1, 1)
    return Days(first.isoformat(), after.isoformat())


def _next_month(first: date) -> date:
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)
