"""A conversation as terminal text: what it shows, what it cuts, and that no text in it can drive the terminal."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_sqlite import REMOVE, Event, Session, ToolCall, Usage
from session_sqlite.transcript import display_width, fitted, terminal_text, visible

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SESSION = Session("s-1", "my-app", "alice", agent_id="coder", title="Tea 茶", created_at=WHEN, updated_at=WHEN)
DANGEROUS = [
    *map(chr, [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)]),
    *map(chr, [0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]),
]


def rendered(*events: Event, **options: Any) -> str:
    return "\n".join(terminal_text(SESSION, events, **options))


def test_the_head_says_what_whose_and_when() -> None:
    assert rendered().splitlines() == [
        "Tea 茶",
        "session s-1",
        "app my-app · user alice · agent coder",
        "created 2026-01-02 03:04:05 UTC · last change 2026-01-02 03:04:05 UTC",
    ]


def test_a_session_made_by_hand_can_be_rendered() -> None:
    assert list(terminal_text(Session("x"), [])) == ["session x\napp default · user default"]


def test_an_event_shows_who_spoke_when_and_all_that_came_with_it() -> None:
    event = Event(
        "assistant",
        "好的\nlook:",
        reasoning="先看入口\nthen",
        actions=[ToolCall("Read", {"path": "主.go"}, output="package main\n"), ToolCall("Run", error="boom")],
        state={"step": 1, "user:lang": "中文", "gone": REMOVE},
        usage=Usage("model-x", 1200, 85, cache_read_tokens=300, cache_write_tokens=7, reasoning_tokens=20),
        agent_id="sub",
        branch="root.sub",
        created_at=WHEN,
        seq=2,
    )
    assert rendered(event).split("\n\n", 1)[1].splitlines() == [
        "#2 assistant 2026-01-02 03:04:05 · agent sub · branch root.sub",
        "  ┆ 先看入口",
        "  ┆ then",
        "  好的",
        "  look:",
        '  → Read {"path": "主.go"}',
        "    package main",
        "  → Run failed",
        "    error: boom",
        "  state step = 1",
        '  state user:lang = "中文"',
        "  state gone removed",
        "  model-x tokens: 1,200 in (300 from cache, 7 to cache), 85 out (20 reasoning)",
    ]


def test_a_result_that_is_an_event_shows_its_tool_and_its_content_once() -> None:
    failed = Event("tool", "no such file", actions=[ToolCall("Read", id="c1", error="no such file")], seq=3)
    assert rendered(failed).split("\n\n", 1)[1].splitlines() == ["#3 tool", "  ← Read failed", "    no such file"]


def test_a_long_output_is_cut_and_what_is_missing_is_counted() -> None:
    output = "\n".join(["x" * 100, *map(str, range(1, 30))])
    text = rendered(Event("assistant", actions=[ToolCall("Read", output=output)]), width=40)
    assert f"    {'x' * 35}…" in text.splitlines()
    assert text.endswith("    9\n    [65 more characters and 20 more lines]")


def test_long_arguments_are_cut_to_the_width_in_columns() -> None:
    text = rendered(Event("assistant", actions=[ToolCall("Write", {"text": "中" * 100})]), width=60)
    line, note = text.splitlines()[-2:]
    assert line.startswith('  → Write {"text": "中')
    assert line.endswith("中…")
    assert display_width(line) <= 60
    assert note == f"    [{102 - line.count('中')} more characters]"


@pytest.mark.parametrize("author", ["assistant", "tool"])
def test_full_cuts_nothing(author: str) -> None:
    long = "\n".join(["字" * 300] * 50)
    event = Event(author, long, actions=[ToolCall("Write", {"text": "y" * 500}, output=long)], state={"k": "z" * 500})
    text = rendered(event, full=True)
    assert text.count("字") == 2 * 300 * 50
    assert text.count("z") == 500
    assert "more" not in text


def test_what_people_and_models_said_is_never_cut() -> None:
    text = rendered(Event("user", "word " * 2000), Event("assistant", "w\n" * 500, reasoning="r" * 5000), width=40)
    assert text.count("word") == 2000
    assert text.count("  w\n") == 499
    assert "r" * 5000 in text


def test_an_unreadable_event_is_marked_and_shows_its_raw_row() -> None:
    event = Event("user", "x", seq=7, unreadable=True, raw='{"actions": "[\x1b"}')
    assert rendered(event).splitlines()[-3:] == [
        "#7 user",
        "  [unreadable: this row cannot be decoded; as it is stored:]",
        '  {"actions": "[\\x1b"}',
    ]


@pytest.mark.parametrize("character", DANGEROUS, ids=lambda character: f"U+{ord(character):04X}")
def test_no_field_can_drive_the_terminal(character: str) -> None:
    evil = f"a{character}b"
    call = ToolCall(evil, {evil: evil}, output=evil, error=evil)
    event = Event(evil, evil, reasoning=evil, actions=[call], state={evil: evil}, usage=Usage(evil), branch=evil,
                  agent_id=evil, seq=1)  # fmt: skip
    session = Session(evil, evil, evil, agent_id=evil, title=evil, parent_id=evil)
    unreadable = Event(evil, unreadable=True, raw=evil)
    text = "\n".join(terminal_text(session, [event, Event("tool", evil, actions=[call]), unreadable]))
    assert character not in text
    assert visible(evil) in text


def test_a_line_of_a_text_never_stands_at_the_margin() -> None:
    fake = "\n#9 user\n#10 user\r\n#11 user\r#12 user\n"
    call = ToolCall("t\n#8 user", {"a": fake}, output=fake, error=fake)
    text = rendered(Event("assistant", fake, reasoning=fake, actions=[call], state={fake: fake}), full=True)
    assert re.findall(r"^#.*", text, re.MULTILINE) == ["#0 assistant"]


def test_newlines_and_tabs_of_a_content_stay_and_windows_newlines_are_newlines() -> None:
    assert rendered(Event("user", "a\tb\r\nc")).endswith("  a\tb\n  c")


def test_colours_come_only_when_asked_for() -> None:
    event = Event("assistant", "hi", reasoning="hm", actions=[ToolCall("Read", {"a": "b" * 500}, error="no")])
    plain, coloured = rendered(event), rendered(event, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[2m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_events_are_rendered_as_they_are_read() -> None:
    def stream() -> Any:
        yield Event("user", "first")
        raise AssertionError("the second was read before the first was rendered")

    blocks = terminal_text(SESSION, stream())
    assert "Tea" in next(blocks)
    assert "first" in next(blocks)


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_a_fitted_line_fits(text: str, width: int) -> None:
    line = visible(text)
    cut = fitted(line, width)
    assert display_width(cut) <= width
    assert cut == line or (cut.endswith("…") and line.startswith(cut[:-1]))


@given(st.text())
def test_visible_text_is_printable_in_one_line(text: str) -> None:
    assert len(visible(text).splitlines()) <= 1
    assert not set(DANGEROUS) & set(visible(text, lines=True))


def test_arguments_that_are_no_json_are_shown_as_the_model_wrote_them() -> None:
    event = Event(
        "assistant", actions=[ToolCall("Read", '{"path": "ma', id="c1")], message="{}", created_at=WHEN, seq=1
    )
    assert '  → Read {"path": "ma' in rendered(event).splitlines()
    assert "{&quot;path&quot;: &quot;ma" in event._repr_html_()
