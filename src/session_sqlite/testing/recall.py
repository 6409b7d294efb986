"""Recall answers a model's question, asked in a sentence, with what was said that bears on it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from session_sqlite import ANY, Event, SessionNotFoundError, StoreClosedError, ToolCall
from session_sqlite.testing.contract import Contracts, is_refused

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
DATED = [
    ("What did we eat on May 3rd?", 3), ("What did we eat on 3 May?", 3), ("What did we eat on 2026-05-04?", 4),
    ("What did we eat on the 4th of May 2026?", 4), ("Was haben wir am 3. Mai gegessen?", 3),
    ("我们5月4日吃了什么？", 4),
    ("五月三号我们吃了什么？", 3), ("Qu'avons-nous mangé le 4 mai ?", 4), ("¿Qué comimos el 3 de mayo?", 3),
    ("5月4日に何を食べましたか", 4), ("5월 3일에 무엇을 먹었나요?", 3),
]  # fmt: skip
WRONG: list[dict[str, Any]] = [
    {"question": None}, {"question": b"x"}, {"question": "\ud800"}, {"question": "x", "limit": -1},
    {"question": "x", "limit": True}, {"question": "x", "limit": 1.5}, {"question": "x", "author": 5},
    {"question": "x", "since": "today"}, {"question": "x", "until": datetime(2026, 1, 1)},  # noqa: DTZ001
    {"question": "x", "exclude_session": 7}, {"question": "x", "exclude_session": ""},
    {"question": "x", "exclude_session": 7, "user_id": ANY}, {"question": "x", "app_name": ""},
]  # fmt: skip
TIMES = [
    ("today", 0), ("yesterday", 1), ("gestern", 1), ("昨天", 1), ("two days ago", 2), ("前天", 2), ("3天前", 3),
    ("vor drei Tagen", 3), ("il y a 3 jours", 3), ("hace dos días", 2), ("昨日", 1), ("어제", 1),
]  # fmt: skip
HOSTILE = [
    "teapot " * 400_000, "x" * 3_000_000, "茶" * 1_000_000, " ".join(f"word{n}" for n in range(300_000)),
    "?" * 1_000_000 + " teapot", '"' * 5_000 + "teapot", "teapot NEAR(a, b) AND OR NOT *:^{}()-+",
    "a* b* c* teapot*",
    "'; DROP TABLE events; -- teapot", "%_% teapot \\", "\0teapot\0", "e\u0301" * 50_000,
    "5月" * 2_000 + "teapot", "one day ago " * 5_000,
]  # fmt: skip
TODAY = datetime.now(UTC).replace(hour=0, minute=30)


def back_to(weekday: int, weeks: int | None = None) -> int:
    """Returns how many days ago a weekday was: of this week or one before, or the latest before today."""
    back = TODAY.weekday() - weekday
    return back % 7 or 7 if weeks is None else back + 7 * weeks


OF_A_TIME_ALONE = [
    ("What did we do yesterday?", 1), ("What did we talk about two days ago?", 2), ("Yesterday", 1),
    ("what was discussed on Tuesday?", back_to(1)), ("Remind me what we discussed last Monday", back_to(0)),
    ("Was haben wir am Freitag gemacht?", back_to(4)), ("De quoi avons-nous parlé lundi dernier ?", back_to(0)),
    ("¿De qué hablamos el miércoles?", back_to(2)), ("昨天我们聊了什么", 1), ("前天我们讨论了什么？", 2),
    ("周一我们谈了什么", back_to(0)), ("上周三我们做了什么？", back_to(2, 1)), ("星期天你说了什么", back_to(6)),
    ("上个星期五我们讨论了什么", back_to(4, 1)), ("火曜日に何を話しましたか", back_to(1)),
    ("先週の月曜日に何を話した？", back_to(0, 1)), ("지난주 수요일에 무슨 이야기를 했나요?", back_to(2, 1)),
    ("What did we say on {:%B} {:%d}?", 9), ("{:%Y-%m-%d}", 9),
]  # fmt: skip


def say(service: Any, *texts: str, session: str = "s", **fields: Any) -> Any:
    """Appends the texts to a session, by the user and the assistant in turn."""
    events = [Event("assistant" if number % 2 else "user", text, **fields) for number, text in enumerate(texts)]
    made = service.create_session(session_id=session, exist_ok=True)
    service.append_events(made, events)
    return made


def texts(hits: Any) -> list[str]:
    """Returns what the events of hits say."""
    return [hit.event.content for hit in hits]


class RecallContracts(Contracts):
    """Recall answers a model's question, asked in a sentence, with what was said that bears on it."""

    def test_a_question_finds_what_has_any_of_its_words(self, service: Any) -> None:
        """A question in a sentence finds what was said with any of its words, the best answer first."""
        say(service, "My sister is called Ingrid.", "A lovely name.", "The weather is fine.", "Yes.", "Good night.")
        assert texts(service.recall("How is my sister called who lives in the north?"))[:1] == [
            "My sister is called Ingrid."
        ]

    def test_a_chinese_question_finds_what_has_its_characters(self, service: Any) -> None:
        """A question in Chinese finds what was said with its characters."""
        say(service, "我妹妹叫英格丽德。", "真好听。", "今天天气很好。", "是的。", "晚安。")
        assert texts(service.recall("我的妹妹叫什么名字？"))[:1] == ["我妹妹叫英格丽德。"]

    def test_a_question_without_words_finds_nothing(self, service: Any) -> None:
        """A question of blanks, signs or words without meaning finds nothing, and is no error."""
        say(service, "What is that?")
        for question in ("", "  ", "?!", "What is that?", "这是什么？"):
            assert service.recall(question) == []

    def test_recall_takes_the_filters(self, service: Any) -> None:
        """Recall keeps to a session, without another one, to an author, to times and to a limit."""
        first = say(service, "the teapot is blue", "a blue teapot", session="one", created_at=NOON)
        second = say(service, "the teapot is red", "a red teapot", session="two", created_at=NOON + timedelta(days=1))
        assert set(texts(service.recall("teapot", session=first))) == {"the teapot is blue", "a blue teapot"}
        assert set(texts(second.recall("teapot"))) == {"the teapot is red", "a red teapot"}
        assert set(texts(service.recall("teapot", exclude_session="one"))) == {"the teapot is red", "a red teapot"}
        assert set(texts(service.recall("teapot", exclude_session=second))) == {"the teapot is blue", "a blue teapot"}
        assert len(service.recall("teapot", exclude_session="no such session")) == 4
        assert set(texts(service.recall("teapot", author="user"))) == {"the teapot is blue", "the teapot is red"}
        assert set(texts(service.recall("teapot", since=NOON + timedelta(days=1)))) == set(
            texts(second.recall("teapot"))
        )
        assert set(texts(service.recall("teapot", until=NOON + timedelta(days=1)))) == set(
            texts(first.recall("teapot"))
        )
        assert len(service.recall("teapot", limit=3)) == 3
        assert service.recall("teapot", limit=0) == []

    def test_recall_sees_one_user_of_one_app_unless_told_otherwise(self, service: Any) -> None:
        """Recall finds what was said to the app by the user who asks, unless `ANY` is asked for."""
        say(service, "the teapot is mine")
        other = service.create_session(user_id="another", session_id="s")
        other.add_event("user", "the teapot is another's")
        assert texts(service.recall("teapot")) == ["the teapot is mine"]
        assert texts(service.recall("teapot", user_id="another")) == ["the teapot is another's"]
        assert len(service.recall("teapot", user_id=ANY)) == 2
        assert len(service.recall("teapot", user_id=ANY, app_name=ANY)) == 2
        assert service.recall("teapot", app_name="another") == []
        assert texts(service.recall("teapot", user_id=ANY, exclude_session=other)) == ["the teapot is mine"]
        assert service.recall("teapot", user_id=ANY, exclude_session="s") == []

    def test_events_of_two_users_are_two_also_if_their_ids_are_the_same(self, service: Any) -> None:
        """An event that a fork copied is recalled once; another user's with the same ids is another event."""
        for user in ("one", "two"):
            session = service.create_session(user_id=user, session_id="same")
            session.add_event("user", "the teapot", id="e1")
        service.scope(user_id="one").fork_session("same")
        found = service.recall("teapot", user_id=ANY)
        assert sorted((hit.session.user_id, hit.event.id) for hit in found) == [("one", "e1"), ("two", "e1")]

    def test_the_parts_of_a_score_add_up_to_it_and_a_search_has_none(self, service: Any) -> None:
        """A hit of recall says what its score is made of."""
        say(service, "the blue teapot", "It leaks.", "the red kettle", "So it does.")
        hits = service.recall("Where is the teapot?")
        assert hits
        for hit in hits:
            assert hit.parts
            assert sum(hit.parts.values()) == pytest.approx(hit.score)
        assert [hit.parts for hit in service.search("teapot")] == [{}]

    def test_a_bad_argument_of_recall_is_an_error(self, service: Any) -> None:
        """An argument of recall that makes no sense is an `InvalidInputError`."""
        for arguments in WRONG:
            assert is_refused(partial(service.recall, **arguments)), arguments

    def test_recall_in_a_session_that_is_not_there_is_an_error(self, service: Any) -> None:
        """Recall in a session that is not there is a `SessionNotFoundError`."""
        with pytest.raises(SessionNotFoundError):
            service.recall("teapot", session="nowhere")

    def test_a_word_is_found_in_its_other_forms(self, service: Any) -> None:
        """A word is found in its other forms: by its stem."""
        say(
            service,
            "She recommends two movies.",
            "Yes.",
            "They stopped at the harbour.",
            "Fine.",
            "I was cycling.",
            "Ah.",
        )
        assert texts(service.recall("Which movie did she recommend?"))[0] == "She recommends two movies."
        assert texts(service.recall("Where does it stop?"))[0] == "They stopped at the harbour."
        assert texts(service.recall("Did I cycle?"))[0] == "I was cycling."

    def test_words_without_meaning_find_nothing_in_any_language(self, service: Any) -> None:
        """Words without a meaning of their own find nothing, in any language."""
        say(service, "What is that? Was ist das? Qu'est-ce que c'est? ¿Qué es eso?", "这是什么？それは何ですか。")
        for question in ("What is that?", "Was ist das?", "Qu'est-ce que c'est?", "¿Qué es eso?", "这是什么？"):
            assert service.recall(question) == [], question

    def test_a_word_of_one_language_means_something_in_another(self, service: Any) -> None:
        """A word without meaning in one language still counts in a question of another."""
        say(service, "My son is in the war museum.", "I see.")
        assert texts(service.recall("What did my son say about the war?"))[0] == "My son is in the war museum."
        assert service.recall("Wo war er?") == []

    def test_the_rare_words_of_a_question_count_more(self, service: Any) -> None:
        """An event with a rare word of the question comes before those with common ones."""
        say(
            service,
            *(f"The report number {number} is in the folder." for number in range(30)),
            "Zeppelins are in a hangar.",
        )
        question = "Is the report about zeppelins in the folder?"
        assert texts(service.recall(question))[0] == "Zeppelins are in a hangar."

    def test_what_stands_beside_a_hit_is_an_answer_too(self, service: Any) -> None:
        """The event beside a hit is an answer too, since who asks does not answer."""
        say(
            service,
            *(["Good morning.", "Hello."] * 3),
            "How many guests come to dinner?",
            "About nine.",
            "Oh.",
            "Well.",
        )
        hits = service.recall("How many guests were at the dinner?")
        assert texts(hits)[:2] == ["About nine.", "How many guests come to dinner?"]  # who asks does not answer
        assert set(hits[0].parts) == {"neighbours", "session"}
        assert "Good morning." not in texts(hits)[:4]

    def test_neighbours_are_of_the_same_session(self, service: Any) -> None:
        """An event of another session is never the neighbour of a hit."""
        say(service, "The teapot is blue.", session="one")
        say(service, "Something else.", session="two")
        assert texts(service.recall("teapot")) == ["The teapot is blue."]

    def test_the_session_that_has_more_of_the_words_comes_first(self, service: Any) -> None:
        """Of equal events, the one in the session that says more of the words comes first."""
        say(service, "We fly to Lima.", *["Yes."] * 9, "The hotel has a garden.", session="trip")
        say(service, "The hotel has a garden.", *["Yes."] * 9, "We paint a wall.", session="work")
        hits = service.recall("the hotel of our flight to Lima")
        assert [hit.session.id for hit in hits if "hotel" in hit.event.content] == ["trip", "work"]

    def test_a_question_that_names_a_day_prefers_that_day(self, service: Any) -> None:
        """A question that names a day has that day's events in front, in many languages."""
        said = "We eat soup. Wir haben Suppe gegessen. Nous avons mangé. Comimos sopa. 我们吃了汤。スープを食べました。"
        said += "수프를 먹었어요."
        for other in (2, 3, 4, 5):
            say(service, said, session=f"day {other}", created_at=NOON.replace(day=other))
        for question, day in DATED:
            hits = service.recall(question)
            assert hits[0].event.created_at.day == day, question
            assert [("time" in hit.parts) for hit in hits] == [True, False, False, False], question

    def test_a_question_that_names_a_time_prefers_it(self, service: Any) -> None:
        """A question that names a time from today, as yesterday, has that time's events in front."""
        now = datetime.now(UTC)
        for back in range(5):
            say(service, "the teapot 茶壶", session=f"{back}", created_at=now - timedelta(days=back))
        for phrase, days in TIMES:
            question = f"wir haben {phrase} den teapot" if phrase == "gestern" else f"teapot 茶壶 {phrase}"
            assert service.recall(question)[0].session.id == f"{days}", question

    def test_a_question_with_nothing_but_a_time_finds_what_was_said_then(self, service: Any) -> None:
        """A question that names nothing but a time finds the latest of what was said then, users first."""
        for back in range(15):
            when = TODAY - timedelta(days=back)
            say(service, "a kettle", "of iron", session=f"{back}", created_at=when)
            service.append_event(f"{back}", Event("tool", "a result", created_at=when))
        for question, days in OF_A_TIME_ALONE:
            asked = question.format(*[TODAY - timedelta(days=days)] * 2)
            hits = service.recall(asked)
            found = [(hit.session.id, hit.event.content, *hit.parts) for hit in hits]
            assert found == [(f"{days}", "a kettle", "time"), (f"{days}", "of iron", "time")], asked
        assert service.recall(asked, limit=1) == hits[:1]
        assert service.recall(asked, author="assistant") == hits[1:]
        assert service.recall(asked, exclude_session=f"{days}") == []
        assert service.recall(asked, user_id="nobody") == []

    def test_a_time_in_which_nothing_has_the_other_words_is_shown_after_what_has_them(self, service: Any) -> None:
        """A time whose events lack the other words of a question comes after what has them."""
        say(service, "the teapot is blue", session="other", created_at=TODAY - timedelta(days=5))
        say(service, "a kettle", session="then", created_at=TODAY - timedelta(days=1))
        say(service, "a pan", session="later", created_at=TODAY)
        question = "Which teapot did we see yesterday?"
        assert [hit.session.id for hit in service.recall(question)] == ["other", "then"]
        say(service, "a green teapot", session="also then", created_at=TODAY - timedelta(days=1))
        assert [hit.session.id for hit in service.recall(question)] == ["also then", "other"]
        assert [hit.session.id for hit in service.recall("What did we do three days ago?")] == []

    def test_each_event_is_one_answer_also_if_forks_have_copies_of_it(self, service: Any) -> None:
        """An event that stands in forks too is one answer."""
        session = say(service, "The teapot is blue.", "So it is.")
        fork = service.fork_session(session)
        service.append_event(fork, Event("user", "A second teapot."))
        for hits in (service.recall("teapot"), service.recall("teapot", exclude_session=session)):
            assert sorted(texts(hits)) == ["A second teapot.", "So it is.", "The teapot is blue."]

    def test_an_answer_has_the_filters_and_what_is_beside_it_need_not(self, service: Any) -> None:
        """A filter is kept by the answers, not by the events beside them that give them their score."""
        say(service, "Where is the teapot?", "In the kitchen.", *["Yes."] * 8)
        assert texts(service.recall("Where was the teapot?", author="assistant"))[0] == "In the kitchen."

    def test_the_order_is_the_same_each_time(self, service: Any) -> None:
        """A question that is asked again has the same answers in the same order."""
        say(service, *["the teapot"] * 30)
        first = [hit.event.seq for hit in service.recall("teapot", limit=20)]
        assert len(set(first)) == 20
        assert all([hit.event.seq for hit in service.recall("teapot", limit=20)] == first for _ in range(3))

    def test_a_limit_is_met_however_large_it_is(self, service: Any) -> None:
        """A limit of any size is met, as long as there are that many answers."""
        say(service, *["the teapot"] * 500)
        for limit in (1, 10, 100, 450):
            assert len(service.recall("teapot", limit=limit)) == limit
        assert len(service.recall("teapot", limit=10**12)) == 500

    def test_the_first_answers_do_not_depend_on_the_limit(self, service: Any) -> None:
        """A larger limit adds answers behind the first ones."""
        say(service, *(f"the {'blue' if number % 3 else 'red'} teapot {'x' * number}" for number in range(40)))
        few = [hit.event.seq for hit in service.recall("a red teapot", limit=5)]
        assert [hit.event.seq for hit in service.recall("a red teapot", limit=20)][:5] == few

    def test_tool_calls_and_reasoning_are_recalled(self, service: Any) -> None:
        """Names and arguments of tool calls are recalled, and so is reasoning."""
        session = say(service, "Go on.")
        service.append_event(
            session, Event("assistant", "", actions=[ToolCall("resolveTerminalPath", {"shell": "zsh"})])
        )
        service.append_event(session, Event("assistant", "Done.", reasoning="The tokenizer is slow."))
        assert service.recall("Did you call ResolveTerminalPath?")[0].event.seq == 2
        assert service.recall("Why was the tokenizer replaced?")[0].event.seq == 3

    def test_a_hostile_question_takes_no_time_and_finds_what_it_names(self, service: Any) -> None:
        """A question of megabytes, of wildcards or of operators takes no time, and finds what it names."""
        say(service, "The teapot is blue.", "So it is.")
        for question in HOSTILE:
            begin = time.monotonic()
            hits = service.recall(question)
            assert time.monotonic() - begin < 20, question[:20]
            if "teapot" in question[-2_000:]:
                assert texts(hits)[0] == "The teapot is blue.", question[:20]

    def test_an_event_of_megabytes_is_recalled(self, service: Any) -> None:
        """A word at the end of megabytes of text is recalled."""
        say(service, "before", "x " * 1_000_000 + "teapot", "after")
        assert service.recall("Where is the teapot?")[0].event.seq == 2

    def test_a_closed_store_recalls_nothing(self, service: Any) -> None:
        """Recall on a closed service is a `StoreClosedError`, whatever the question."""
        service.close()
        for question in ("teapot", ""):
            with pytest.raises(StoreClosedError):
                service.recall(question)
