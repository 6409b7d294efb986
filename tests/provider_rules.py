"""What providers accept: one check that every request of a model in these tests goes through.

It knows nothing of the package: what a call is, it says in its own words.
"""

from collections import Counter

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

ASKED = {"tool_use", "tool_call", "function_call", "custom_tool_call", "computer_call"}


def calls_in(reply: AIMessage) -> Counter[str]:
    """How often each id stands for a call that the application has to answer."""
    listed = Counter(str(call["id"]) for call in [*reply.tool_calls, *reply.invalid_tool_calls] if call["id"])
    blocks = [block for block in reply.content if isinstance(block, dict) and block.get("type") in ASKED]
    return listed | Counter(str(block.get("call_id") or block["id"]) for block in blocks)


def assert_accepted(messages: list[BaseMessage], *, may_greet: bool = False, each_answered: bool = True) -> None:
    """Fails if a provider would refuse the messages.

    Args:
        messages: The request.
        may_greet: The conversation may begin with a reply.
        each_answered: Each call needs a result; a window of a history shows calls without one as they are stored.
    """
    shown = [message.type for message in messages]
    spoken = [message for message in messages if not isinstance(message, SystemMessage)]
    assert spoken, f"nothing is said: {shown}"
    assert may_greet or isinstance(spoken[0], HumanMessage), f"it does not begin with the user: {shown}"
    open_calls: Counter[str] = Counter()
    for message in messages:
        if isinstance(message, ToolMessage):
            assert open_calls[message.tool_call_id], f"a result is not behind the reply that has its call: {shown}"
            open_calls[message.tool_call_id] -= 1
            continue
        assert not each_answered or not open_calls.total(), f"a call has no result: {shown}"
        open_calls = calls_in(message) if isinstance(message, AIMessage) else Counter()
    assert not each_answered or not open_calls.total(), f"a call has no result: {shown}"
