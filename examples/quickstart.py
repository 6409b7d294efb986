"""The service alone, no LangChain: a session, its events, a tool call, the state, and looking back.

Run ``python examples/quickstart.py [FILE]``; without a file everything stays in memory.
"""

import sys

from session_sqlite import REMOVE, SQLiteSessionService, ToolCall, Usage


def main(path: str = ":memory:") -> None:
    """Holds a conversation about a piece of code and reads it back."""
    with SQLiteSessionService(path, app_name="quickstart", user_id="user-123") as service:
        session = service.create_session(
            agent_id="reviewer", title="Code review", metadata={"source": "desktop", "draft": True}
        )

        # One event is one transaction: what was said, the tool call and the change of state are stored together.
        session.add_event("user", "请帮我分析代码：main.go")
        session.add_event(
            "assistant",
            "The program never closes its file.",
            reasoning="First the entry point, then what it opens.",
            actions=[ToolCall("Read", {"path": "main.go"}, output='package main\n\nfunc main() { os.Open("a.txt") }')],
            state={"step": 1, "user:lang": "zh-CN"},
            usage=Usage("example-model", input_tokens=412, output_tokens=38),
        )
        session.add_event("user", "Thanks, please fix it.")
        session.add_event("assistant", "Done: the file is closed with defer.", state={"step": 2})

        print("The conversation")
        for event in session.events():
            print(f"  {event.seq}  {event.author:<10} {event.content}")
            for call in event.actions:
                print(f"     └ {call.name}({call.args['path']!r}) → {call.status}, {len(call.output)} characters")

        # State is a live mapping; keys that begin with "user:" are shared by all sessions of the user.
        session.state["done"] = True
        other = service.create_session(title="Another day")
        print("\nState")
        print("  this session:   ", dict(session.state))
        print("  the next session:", dict(other.state))

        # Metadata is merged key by key, and a session is found by it.
        session.update(metadata={"draft": REMOVE, "language": "Go"})
        found = service.list_sessions(metadata={"language": "Go"})
        print("\nSessions about Go:", [(one.title, one.agent_id, one.last_seq) for one in found])

        # The latest turns for a model's prompt, and a search that finds two characters inside a sentence.
        print("The last turn:", [event.content for event in session.last_events(2)])
        print("Found 代码 in:", [hit.event.content for hit in session.search("代码")])


if __name__ == "__main__":
    main(*sys.argv[1:2])
