"""A year of conversations, looked at: filters, tool calls, state, metadata, sqlite-utils and SQL.

Run ``python examples/history_queries.py [FILE]`` with a file that is not there yet; without one it stays in memory.
"""

import random
import sys
from datetime import UTC, datetime, timedelta

from session_sqlite import Event, SQLiteSessionService, ToolCall, Usage

TOPICS = (  # title, language, what the user asks, what the assistant answers, the tool it asks, what that returns
    ("Invoice", "en", "Where is the invoice for {}?", "I sent it to you again.", "find_invoice", {"pages": 2}),
    ("Refund", "en", "I returned {}, when is my money back?", "In three days.", "refund", {"days": 3}),
    ("订单查询", "zh", "请问订单 {} 到哪里了？", "您的订单明天送达。", "track_order", {"状态": "运输中"}),
    ("退款", "zh", "我想退掉订单 {}，可以退款吗？", "可以，三天内退款到账。", "refund", {"days": 3}),
)
START = datetime(2025, 1, 1, 8, tzinfo=UTC)
FAILURES = """
SELECT name, count(*) AS calls, sum(status = 'error') AS failed
  FROM tool_calls
 GROUP BY name
 ORDER BY failed DESC, name
"""


def talk(service: SQLiteSessionService, day: int, chance: random.Random) -> None:
    """Stores one conversation of that day."""
    title, language, question, answer, tool, output = chance.choice(TOPICS)
    at = START + timedelta(days=day, minutes=chance.randrange(600))
    order = f"A-{chance.randrange(1000, 9999)}"
    failed = chance.random() < 0.1
    call = ToolCall(tool, {"order": order}, output=None if failed else output, error="timeout" if failed else None)
    usage = Usage(chance.choice(["small-model", "large-model"]), chance.randrange(200, 900), chance.randrange(20, 90))
    session = service.create_session(
        agent_id="support", title=title, metadata={"language": language, "channel": chance.choice(["web", "phone"])}
    )
    session.add_events(
        [
            Event("user", question.format(order), created_at=at),
            Event(
                "assistant",
                "Please try again later." if failed else answer,
                reasoning=f"The {tool} tool knows.",
                actions=[call],
                state={"order": order, "solved": not failed, "app:last_order": order},
                usage=usage,
                created_at=at + timedelta(seconds=chance.randrange(2, 9)),
            ),
        ]
    )


def main(path: str = ":memory:") -> None:
    """Generates the year and asks about it."""
    with SQLiteSessionService(path, app_name="tea-shop", user_id="ada", durability="fast") as service:
        chance = random.Random(7)  # noqa: S311 - the same year every time, nothing secret
        for day in range(365):
            talk(service, day, chance)

        print("Sessions on the phone, in Chinese")
        for session in service.list_sessions(metadata={"channel": "phone", "language": "zh"}, limit=3):
            question = session.events(author="user", limit=1)[0]
            print(f"  {question.created_at:%d.%m.%Y}  {question.content}  solved: {session.state['solved']}")

        print("\nRefunds that failed in spring")
        spring = {"since": datetime(2025, 3, 1, tzinfo=UTC), "until": datetime(2025, 6, 1, tzinfo=UTC)}
        for call in service.tool_calls("refund", status="error", **spring):
            print(f"  {call['created_at']:%d.%m.%Y %H:%M}  {call['args']['order']}: {call['error']}")

        hit = service.search("退款", author="user", newest_first=True, limit=1)[0]
        print(f"\nThe last who asked for 退款: {hit.snippet}")
        print(f"What became of it: {dict(hit.session.state)}")

        print("\nTokens by model")
        for row in service.usage(by="model"):
            print(f"  {row['model']:<12} {row['input_tokens']:>8,} in {row['output_tokens']:>8,} out")

        print("\nIn SQL: how often a tool failed")
        for row in service.query(FAILURES):
            print(f"  {row['name']:<14} {row['failed']:>3} of {row['calls']}")

        events = service.db["events"]
        print(f"\nWith sqlite-utils: {events.count} events; the longest question:")
        for row in events.rows_where("author = 'user'", order_by="length(content) DESC", limit=1):
            print(f"  {row['content']}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
