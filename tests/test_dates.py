# Chinese punctuation
"""The days that a question names, in seven languages, seen from Wednesday, 3 June 2026."""

from __future__ import annotations

import itertools

import pytest

from session_sqlite.search.dates import Days, without_dates

TODAY = "2026-06-03"
# A sentence tells the language of a word that is another word elsewhere.
SENTENCES = {
    "English": "what did we say {} about the house",
    "German": "was haben wir {} über das Haus gesagt",
    "French": "qu'est-ce que nous avons dit {} de la maison",
    "Spanish": "qué es lo que dijimos {} de la casa",
    "Chinese": "{}我们说了什么",
    "Japanese": "{}は何を話しましたか",
    "Korean": "{} 무슨 말을 했나요",
}
RELATIVE = {
    ("2026-06-03", "2026-06-04"): {
        "English": "today", "German": "heute", "French": "aujourd'hui", "Spanish": "hoy", "Chinese": "今天",
        "Japanese": "今日", "Korean": "오늘",
    },
    ("2026-06-02", "2026-06-03"): {
        "English": "yesterday|last night", "German": "gestern", "French": "hier", "Spanish": "ayer",
        "Chinese": "昨天|昨晚", "Japanese": "昨日", "Korean": "어제",
    },
    ("2026-06-01", "2026-06-02"): {
        "German": "vorgestern", "French": "avant-hier", "Spanish": "anteayer", "Chinese": "前天", "Japanese": "一昨日",
        "Korean": "그저께",
    },
    ("2026-06-01", "2026-06-08"): {
        "English": "this week", "German": "diese Woche", "French": "cette semaine", "Spanish": "esta semana",
        "Chinese": "这周|本周|这个星期|这个礼拜|這週|本週|這個星期|這個禮拜", "Japanese": "今週", "Korean": "이번 주",
    },
    ("2026-05-25", "2026-06-01"): {
        "English": "last week", "German": "letzte Woche|letzter Woche", "French": "la semaine dernière",
        "Spanish": "la semana pasada", "Chinese": "上周|上个星期|上星期|上个礼拜|上礼拜|上週|上個星期|上個禮拜|上禮拜",
        "Japanese": "先週", "Korean": "지난주|지난 주",
    },
    ("2026-06-01", "2026-07-01"): {
        "English": "this month", "German": "diesen Monat", "French": "ce mois-ci", "Spanish": "este mes",
        "Chinese": "这个月|本月|這個月", "Japanese": "今月", "Korean": "이번 달",
    },
    ("2026-05-01", "2026-06-01"): {
        "English": "last month", "German": "letzten Monat", "French": "le mois dernier", "Spanish": "el mes pasado",
        "Chinese": "上个月|上月|上個月", "Japanese": "先月", "Korean": "지난달|지난 달",
    },
    ("2026-01-01", "2027-01-01"): {
        "English": "this year", "German": "dieses Jahr", "French": "cette année", "Spanish": "este año",
        "Chinese": "今年", "Korean": "올해",
    },
    ("2025-01-01", "2026-01-01"): {
        "English": "last year", "German": "letztes Jahr", "French": "l'année dernière", "Spanish": "el año pasado",
        "Chinese": "去年", "Japanese": "昨年", "Korean": "작년",
    },
    ("2024-01-01", "2025-01-01"): {"Chinese": "前年"},
}  # fmt: skip
WEEKDAYS = {
    "English": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "German": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "French": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "Spanish": "lunes martes miércoles jueves viernes sábado domingo",
    "Chinese": "周一 星期二 礼拜三 周四 周五 周六 星期天",
    "Japanese": "月曜日 火曜日 水曜日 木曜 金曜日 土曜日 日曜日",
    "Korean": "월요일 화요일 수요일 목요일 금요일 토요일 일요일",
}
LATEST = ["2026-06-01", "2026-06-02", "2026-05-27", "2026-05-28", "2026-05-29", "2026-05-30", "2026-05-31"]
MONTHS = {
    "English": "January February March April May June July August September October November December",
    "English, short": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "German": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "French": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "Spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
COUNTS = {
    "{} days ago": "one two three four five six seven eight nine ten",
    "vor {} Tagen": "einem zwei drei vier fünf sechs sieben acht neun zehn",
    "il y a {} jours": "un deux trois quatre cinq six sept huit neuf dix",
    "hace {} días": "uno dos tres cuatro cinco seis siete ocho nueve diez",
    "{}天前": "一 二 三 四 五 六 七 八 九 十",
    "{} 일 전": "1 2 3 4 5 6 7 8 9 10",
}
UNITS = {
    ("2026-06-02", "2026-06-03"): "1 day ago|a day ago|an day ago|vor einem Tag|vor einer tag|il y a une jour"
                                  "|hace una dia|1天前|1 日前|1일 전",
    ("2026-05-18", "2026-05-25"): "2 weeks ago|vor 2 Wochen|il y a 2 semaines|hace 2 semanas"
                                  "|两周前|2个星期前|兩週前|2個星期前|两个礼拜前|兩個禮拜前|2星期前"
                                  "|2週間前|2주 전",
    ("2026-05-25", "2026-06-01"): "1 week ago|vor einer Woche|il y a une semaine|hace una semana",
    ("2026-04-01", "2026-05-01"): "2 months ago|vor 2 Monaten|il y a 2 mois|hace 2 meses|2个月前|兩個月前"
                                  "|2か月前|2ヶ月前"
                                  "|2ケ月前|2개월 전",
    ("2026-05-01", "2026-06-01"): "1 month ago|vor einem Monat|hace un mes",
    ("2024-01-01", "2025-01-01"): "2 years ago|vor 2 Jahren|il y a 2 ans|hace 2 años|2年前|2년 전",
    ("2025-01-01", "2026-01-01"): "1 year ago|vor einem Jahr|il y a un an|hace un año",
}  # fmt: skip
OF_A_WEEK = {
    ("2026-06-05", "2026-06-06"): "this Friday|diesen Freitag|ce vendredi|este viernes|这周五|本周五|這個週五"
                                  "|今週の金曜日|이번 금요일|이번 주 금요일",
    ("2026-05-29", "2026-05-30"): "Friday|last Friday|past Friday|on Friday|letzten Freitag|am Freitag"
                                  "|vergangenen Freitag"
                                  "|vendredi dernier|el viernes pasado|上周五|上个星期五|上個星期五|上週五"
                                  "|先週の金曜|지난 주 금요일|지난주 금요일"
                                  "|지난 금요일",
    ("2026-05-22", "2026-05-23"): "上上周五|上上个星期五",
}  # fmt: skip


def days_in(question: str) -> list[tuple[str, str]] | None:
    period = without_dates(question, TODAY)[1]
    return None if period is None else [(days.since, days.until) for days in period.days]


def each(table: dict[tuple[str, str], str]) -> list[tuple[str, tuple[str, str]]]:
    return [(phrase, span) for span, phrases in table.items() for phrase in phrases.split("|")]


@pytest.mark.parametrize(
    ("question", "span"),
    [
        (SENTENCES[language].format(phrase), span)
        for span, by_language in RELATIVE.items()
        for language, phrases in by_language.items()
        for phrase in phrases.split("|")
    ],
)
def test_a_word_for_a_day_a_week_a_month_or_a_year_is_understood(question: str, span: tuple[str, str]) -> None:
    assert days_in(question) == [span]


@pytest.mark.parametrize("language", WEEKDAYS)
def test_a_weekday_is_the_latest_one_before_today(language: str) -> None:
    for name, day in zip(WEEKDAYS[language].split(), LATEST, strict=True):
        found = days_in(name)
        assert found is not None, name
        assert [since for since, _ in found] == [day], name


@pytest.mark.parametrize(("phrase", "span"), each(OF_A_WEEK))
def test_a_weekday_may_be_of_a_week_that_is_named(phrase: str, span: tuple[str, str]) -> None:
    assert days_in(phrase) == [span]


@pytest.mark.parametrize("language", MONTHS)
def test_a_month_is_known_by_its_name(language: str) -> None:
    for number, name in enumerate(MONTHS[language].split(), start=1):
        for date in (f"{name} 7", f"7 {name}", f"7. {name}", f"7 de {name}", f"the 7th of {name}", f"{name} 7th"):
            period = without_dates(date, TODAY)[1]
            assert period is not None, date
            assert period.days == (Days(any_year=f"-{number:02}-07"),), date
        year = f"{number + 1:02}" if number < 12 else "01"
        until = f"{2024 + (number == 12)}-{year}-01"
        assert days_in(f"7 {name} 2024") == [(f"2024-{number:02}-07", f"2024-{number:02}-08")]
        if len(name) > 3 or name in ("May", "Mai", "mai"):  # the short ones are other words, too
            assert days_in(f"in {name} 2024") == days_in(f"{name} 2024") == [(f"2024-{number:02}-01", until)], name
            period = without_dates(f"in {name}", TODAY)[1]
            assert period is not None, name
            assert period.days == (Days(any_year=f"-{number:02}-"),), name
        else:
            assert without_dates(f"in {name}", TODAY)[1] is None, name


@pytest.mark.parametrize("phrase", COUNTS)
def test_a_number_of_days_ago_may_be_a_word(phrase: str) -> None:
    for count, number in enumerate(COUNTS[phrase].split(), start=1):
        assert days_in(phrase.format(number)) == days_in(f"{count} days ago"), number
    assert days_in("3 days ago") == [("2026-05-31", "2026-06-01")]


@pytest.mark.parametrize(("phrase", "span"), each(UNITS))
def test_the_units_of_time_are_known(phrase: str, span: tuple[str, str]) -> None:
    assert days_in(phrase) == [span]


def test_a_question_has_three_dates_at_most() -> None:
    dates = ["2026-01-05", "yesterday", "5 May 2024", "last week"]
    for some in itertools.permutations(dates, 3):
        found = days_in(" and ".join(some))
        assert found is not None
        assert len(found) == 3
    assert len(days_in(" and ".join(dates)) or ()) == 3


SPANS = {
    "last month": ("2026-05-01", "2026-06-01"), "two months ago": ("2026-04-01", "2026-05-01"),
    "last year": ("2025-01-01", "2026-01-01"), "3 years ago": ("2023-01-01", "2024-01-01"),
    "上个月": ("2026-05-01", "2026-06-01"), "去年": ("2025-01-01", "2026-01-01"),
    "十天前": ("2026-05-24", "2026-05-25"), "十二天前": ("2026-05-22", "2026-05-23"),
    "二十天前": ("2026-05-14", "2026-05-15"), "in 2024": ("2024-01-01", "2025-01-01"),
    "in March 2024": ("2024-03-01", "2024-04-01"), "2026年12月31日": ("2026-12-31", "2027-01-01"),
}  # fmt: skip


@pytest.mark.parametrize("phrase", SPANS)
def test_a_question_names_a_span_of_days(phrase: str) -> None:
    rest, period = without_dates(phrase, "2026-06-03")
    assert (rest.strip(), period and [day[:2] for day in period.days]) == ("", [SPANS[phrase]])


@pytest.mark.parametrize(
    "phrase", ["2026-02-30", "May 45", "9999 years ago", "900000 days ago", "9999-12-31", "一二天前"]
)
def test_what_is_no_day_is_left_in_the_question(phrase: str) -> None:
    assert without_dates(phrase, "2026-06-03") == (phrase.lower(), None)


@pytest.mark.parametrize("phrase", ["every Monday", "next Friday", "每周一", "一周三次", "下周二", "两周"])
def test_a_weekday_of_every_week_or_of_the_next_names_no_time(phrase: str) -> None:
    assert without_dates(phrase, "2026-06-03")[1] is None
