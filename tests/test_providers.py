# ruff: noqa: E501
# The replies of services read best as the few lines that they are.
"""What chat models of real providers answer survives the store, and goes back to the provider as it would have before.

Each case is a reply in the shape in which the provider's service gives it. A small server on this machine plays the
service, so the package itself parses the reply and makes the next request. The reply is stored and read back (for some
in another process too); the message must be equal in its serialised form, and the next request the same.
"""

import base64
import importlib
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from session_sqlite import SQLiteChatMessageHistory

# Without + and /, which one of the packages writes in the other alphabet of base64.
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n\x00\x01" * 3).decode()
SOUND = base64.b64encode(b"RIFF\x00\x01\xfe\xff" * 4).decode()
SIGNATURE = base64.b64encode(b"a thought, signed \x00\x01" * 2).decode()


class Service:
    """A provider's service on this machine: gives one reply to everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.reply: Any = None
        self.asked: list[dict[str, Any]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.asked.append(json.loads(body))
                lines = service.reply if isinstance(service.reply, list) else [service.reply]
                answer = "\n".join(json.dumps(line) for line in lines).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@dataclass
class Case:
    """One reply of a provider.

    Attributes:
        name: What is special about it.
        package: The module of the package that parses it.
        reply: What the service sends.
        model: Makes the chat model, given the service's address.
        has: What must be somewhere in the parsed message, or the case would prove nothing.
        resent: What must be somewhere in the next request.
    """

    name: str
    package: str
    reply: Any
    model: Callable[[Any, str], Any]
    has: list[str] = field(default_factory=list)
    resent: list[str] = field(default_factory=list)


# ---------------------------------------------------------------- OpenAI


def openai_chat(module: Any, url: str, **options: Any) -> Any:
    return module.ChatOpenAI(
        model="gpt-test", base_url=url, api_key="k", max_retries=0, use_responses_api=False, **options
    )


def openai_responses(module: Any, url: str) -> Any:
    return module.ChatOpenAI(
        model="gpt-test", base_url=url, api_key="k", max_retries=0, use_responses_api=True, store=False,
        output_version="responses/v1", include=["reasoning.encrypted_content"],
    )  # fmt: skip


def openai_v1(module: Any, url: str) -> Any:
    return module.ChatOpenAI(
        model="gpt-test",
        base_url=url,
        api_key="k",
        max_retries=0,
        use_responses_api=True,
        store=False,
        output_version="v1",
    )


def completion(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    usage = {
        "prompt_tokens": 31, "completion_tokens": 12, "total_tokens": 43,
        "prompt_tokens_details": {"cached_tokens": 16, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 0},
    }  # fmt: skip
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}
    return {
        "id": "chatcmpl-7", "object": "chat.completion", "created": 1760000000, "model": "gpt-test-1", "choices": [choice],
        "usage": usage, "system_fingerprint": "fp_7", "service_tier": "default",
    }  # fmt: skip


def function_call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def response(*output: dict[str, Any]) -> dict[str, Any]:
    usage = {
        "input_tokens": 30, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 11}, "total_tokens": 50,
    }  # fmt: skip
    return {
        "id": "resp_7", "object": "response", "created_at": 1760000000, "status": "completed", "model": "gpt-test-1",
        "output": list(output), "usage": usage, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0,
        "service_tier": "default", "text": {"format": {"type": "text"}},
    }  # fmt: skip


def output_text(text: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    content = {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}
    return {"id": "msg_7", "type": "message", "role": "assistant", "status": "completed", "content": [content]}


REASONING = {
    "id": "rs_7", "type": "reasoning", "encrypted_content": "gAAAA-sealed",
    "summary": [{"type": "summary_text", "text": "First the weather."}, {"type": "summary_text", "text": "Then the hat."}],
}  # fmt: skip
CALL = {
    "id": "fc_7", "type": "function_call", "call_id": "call_7", "name": "weather", "status": "completed",
    "arguments": '{"city": "Łódź"}',
}  # fmt: skip
SEARCH = {"id": "ws_7", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "hats"}}
URL = {"type": "url_citation", "start_index": 0, "end_index": 4, "url": "https://example.org/hats", "title": "Hats"}
IMAGE = {"id": "ig_7", "type": "image_generation_call", "status": "completed", "result": PIXEL, "output_format": "png"}
CODE = {
    "id": "ci_7", "type": "code_interpreter_call", "status": "completed", "container_id": "cntr_7", "code": "print(6*7)",
    "outputs": [{"type": "logs", "logs": "42\n"}],
}  # fmt: skip
REMOTE = {
    "id": "mcp_7", "type": "mcp_call", "name": "lookup", "server_label": "docs", "arguments": '{"q": "hat"}', "output": "found",
    "error": None, "status": "completed", "approval_request_id": None,
}  # fmt: skip


def openai_cases() -> Iterator[Case]:
    logprob = {"token": "Hi", "bytes": [72, 105], "logprob": -0.25, "top_logprobs": []}
    chat = [
        ("text with logprobs", completion({"content": "Hi", "refusal": None}, logprobs={"content": [logprob], "refusal": None}),
         ["-0.25", "fp_7"], ["Hi"]),
        ("parallel tool calls", completion({"content": None, "tool_calls": [
            function_call("call_1", "weather", '{"city": "東京"}'), function_call("call_2", "add", '{"a": 1, "b": 2.50}')]},
            "tool_calls"), ["call_2", "東京"], ["call_1", "call_2"]),
        ("arguments that are no JSON", completion({"content": None, "tool_calls": [
            function_call("call_1", "weather", '{"city": ')]}, "tool_calls"), ["invalid_tool_calls"], ["call_1"]),
        ("audio", completion({"content": None, "audio": {
            "id": "audio_7", "data": SOUND, "expires_at": 1760003600, "transcript": "Hello there"}}), [SOUND], ["audio_7"]),
        ("a refusal", completion({"content": None, "refusal": "I would rather not."}), ["rather not"], []),
        ("citations", completion({"content": "Hats.", "annotations": [{"type": "url_citation", "url_citation": {
            "start_index": 0, "end_index": 5, "url": "https://example.org/hats", "title": "Hats"}}]}), [], ["Hats."]),
    ]  # fmt: skip
    for name, reply, has, resent in chat:
        yield Case(f"chat: {name}", "langchain_openai", reply, openai_chat, has, resent)
    sealed = ["gAAAA-sealed"]
    responses = [
        ("reasoning and a tool call", response(REASONING, CALL), [*sealed, "Then the hat."], [*sealed, "call_7"]),
        ("reasoning and text", response(REASONING, output_text("A hat.")), sealed, [*sealed, "A hat."]),
        ("a web search with citations", response(SEARCH, output_text("Hats are in.", URL)), ["example.org", "ws_7"], ["Hats are"]),
        ("an image", response(IMAGE, output_text("Here.")), [PIXEL], ["ig_7"]),
        ("code that ran", response(REASONING, CODE, output_text("42.")), ["print(6*7)", *sealed], sealed),
        ("a remote tool", response(REMOTE, output_text("Found.")), ["mcp_7"], ["Found."]),
    ]  # fmt: skip
    for name, reply, has, resent in responses:
        yield Case(f"responses: {name}", "langchain_openai", reply, openai_responses, has, resent)
        yield Case(f"responses in v1: {name}", "langchain_openai", reply, openai_v1, has, resent)


# ---------------------------------------------------------------- Anthropic


def anthropic(module: Any, url: str) -> Any:
    return module.ChatAnthropic(model_name="claude-test", base_url=url, api_key="k", max_retries=0, max_tokens=2048)


def anthropic_cases() -> Iterator[Case]:
    thinking = {"type": "thinking", "thinking": "A hat, surely.", "signature": SIGNATURE}
    use = {"type": "tool_use", "id": "toolu_7", "name": "weather", "input": {"city": "Łódź", "days": 3}}
    search = {"type": "server_tool_use", "id": "srvtoolu_7", "name": "web_search", "input": {"query": "hats"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_7", "content": [{
        "type": "web_search_result", "title": "Hats", "url": "https://example.org/hats", "encrypted_content": "EqgB-sealed",
        "page_age": "2 days ago"}]}  # fmt: skip
    cited = {"type": "text", "text": "Hats are in.", "citations": [{
        "type": "web_search_result_location", "cited_text": "hats", "url": "https://example.org/hats", "title": "Hats",
        "encrypted_index": "Eo8B-sealed"}]}  # fmt: skip
    from_document = {"type": "text", "text": "It rained.", "citations": [{
        "type": "char_location", "cited_text": "Rain.", "document_index": 0, "document_title": "Diary", "start_char_index": 0,
        "end_char_index": 5}]}  # fmt: skip
    ran = {
        "type": "server_tool_use",
        "id": "srvtoolu_8",
        "name": "bash_code_execution",
        "input": {"command": "echo 42"},
    }
    printed = {"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_8", "content": {
        "type": "bash_code_execution_result", "stdout": "42\n", "stderr": "", "return_code": 0, "content": []}}  # fmt: skip

    def message(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
        usage = {
            "input_tokens": 20, "output_tokens": 30, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 6,
            "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 0}, "service_tier": "standard",
        }  # fmt: skip
        return {
            "id": "msg_7", "type": "message", "role": "assistant", "model": "claude-test-1", "content": list(content),
            "stop_reason": stop, "stop_sequence": None, "usage": usage,
        }  # fmt: skip

    for name, reply, has, resent in [
        ("text", message({"type": "text", "text": "Hello — 你好"}), ["你好"], ["你好"]),
        ("thinking and a tool call", message(thinking, use, stop="tool_use"), [SIGNATURE], [SIGNATURE, "toolu_7"]),
        ("redacted thinking", message({"type": "redacted_thinking", "data": "EvAF-sealed"}, thinking, {"type": "text", "text": "A hat."}),
         ["EvAF-sealed"], ["EvAF-sealed", SIGNATURE]),
        ("text between parallel tool calls", message({"type": "text", "text": "Two things."}, use, {**use, "id": "toolu_8"},
         stop="tool_use"), ["toolu_8"], ["toolu_7", "toolu_8", "Two things."]),
        ("a web search with citations", message(search, found, cited), ["EqgB-sealed"], ["EqgB-sealed", "Eo8B-sealed"]),
        ("citations of a document", message(from_document, {"type": "text", "text": " Then it did not."}), ["Diary"], ["Diary"]),
        ("code that ran", message(thinking, ran, printed, {"type": "text", "text": "42."}), ["srvtoolu_8"], ["echo 42", SIGNATURE]),
    ]:  # fmt: skip
        yield Case(name, "langchain_anthropic", reply, anthropic, has, resent)


# ---------------------------------------------------------------- DeepSeek


def deepseek(module: Any, url: str) -> Any:
    return module.ChatDeepSeek(model="deepseek-test", api_base=url, api_key="k", max_retries=0)


def deepseek_cases() -> Iterator[Case]:
    thought = {"reasoning_content": "They want a hat.\nSo: a hat."}
    call = [function_call("call_7", "weather", '{"city": "München"}')]
    for name, reply, has, resent in [
        ("text", completion({"content": "Hello."}), ["Hello."], ["Hello."]),
        ("reasoning and text", completion({"content": "A hat.", **thought}), ["So: a hat."], ["A hat."]),
        ("reasoning and a tool call", completion({"content": "", **thought, "tool_calls": call}, "tool_calls"),
         ["So: a hat.", "call_7"], ["call_7"]),
        ("reasoning under another name", completion({"content": "A hat.", "reasoning": "Hat it is."}), ["Hat it is."], ["A hat."]),
        ("parallel tool calls", completion({"content": "Both.", "tool_calls": [*call, function_call("call_8", "add", '{"a": 1}')]},
         "tool_calls"), ["call_8"], ["call_7", "call_8"]),
        ("an answer that was cut", completion({"content": "Once upon", **thought}, "length"), ["length"], ["Once upon"]),
    ]:  # fmt: skip
        yield Case(name, "langchain_deepseek", reply, deepseek, has, resent)


# ---------------------------------------------------------------- Gemini


def gemini(module: Any, url: str) -> Any:
    return module.ChatGoogleGenerativeAI(
        model="gemini-3-test", base_url=url, api_key="k", max_retries=1, include_thoughts=True
    )


def gemini_cases() -> Iterator[Case]:
    thought = {"text": "A hat would do.", "thought": True}

    def content(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
        ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE", "blocked": False}]
        candidate = {
            "content": {"parts": list(parts), "role": "model"}, "finishReason": "STOP", "index": 0, "safetyRatings": ratings,
            **more,
        }  # fmt: skip
        usage = {
            "promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 33, "thoughtsTokenCount": 20,
            "cachedContentTokenCount": 2, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
        }  # fmt: skip
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3-test", "responseId": "r7"}

    grounding = {
        "webSearchQueries": ["hats"], "groundingChunks": [{"web": {"uri": "https://example.org/hats", "title": "Hats"}}],
        "groundingSupports": [{"segment": {"endIndex": 4, "text": "Hats"}, "groundingChunkIndices": [0]}],
        "searchEntryPoint": {"renderedContent": "<div>hats</div>"},
    }  # fmt: skip
    call = {"functionCall": {"name": "weather", "args": {"city": "Łódź", "days": 3}}, "thoughtSignature": SIGNATURE}
    code = {"executableCode": {"language": "PYTHON", "code": "print(6*7)"}, "thoughtSignature": SIGNATURE}
    ran = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}}
    for name, reply, has, resent in [
        ("text", content({"text": "Hello — 你好"}), ["你好", "NEGLIGIBLE"], ["你好"]),
        ("a thought and signed text", content(thought, {"text": "A hat.", "thoughtSignature": SIGNATURE}), [SIGNATURE], [SIGNATURE]),
        ("a signed tool call", content(thought, call), [SIGNATURE, "Łódź"], [SIGNATURE, "Łódź"]),
        ("parallel tool calls", content(call, {"functionCall": {"name": "add", "args": {"a": 1}}}), ["add"], [SIGNATURE, "add"]),
        ("an image", content({"text": "Here."}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}), [PIXEL], [PIXEL]),
        ("audio", content({"inlineData": {"mimeType": "audio/wav", "data": SOUND}}), ["RIFF"], []),
        ("grounding", content({"text": "Hats are in."}, groundingMetadata=grounding), ["example.org"], ["Hats are in."]),
        ("code that ran", content(code, ran, {"text": "42."}), ["print(6*7)"], ["42."]),
    ]:  # fmt: skip
        yield Case(name, "langchain_google_genai", reply, gemini, has, resent)


# ---------------------------------------------------------------- Mistral


def mistral(module: Any, url: str) -> Any:
    return module.ChatMistralAI(model_name="mistral-test", base_url=url, api_key="k", max_retries=0)


def mistral_cases() -> Iterator[Case]:
    thinking = {
        "type": "thinking",
        "thinking": [{"type": "text", "text": "Well, "}, {"type": "text", "text": "a hat."}],
    }
    call = [
        {
            "id": "D681PevKs",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Łódź"}'},
            "index": 0,
        }
    ]
    reference = {"type": "reference", "reference_ids": [0, 2]}
    for name, message, finish, has, resent in [
        ("text", {"content": "Bonjour."}, "stop", ["Bonjour."], ["Bonjour."]),
        ("a tool call", {"content": "", "tool_calls": call}, "tool_calls", ["D681PevKs"], ["D681PevKs"]),
        ("thinking and text", {"content": [thinking, {"type": "text", "text": "A hat."}]}, "stop", ["Well, "], ["A hat."]),
        ("thinking and a tool call", {"content": [thinking], "tool_calls": call}, "tool_calls", ["Well, "], ["D681PevKs"]),
        ("references", {"content": [{"type": "text", "text": "Hats"}, reference, {"type": "text", "text": " are in."}]}, "stop",
         ["reference_ids"], ["are in."]),
        ("arguments that are no JSON", {"content": "", "tool_calls": [{**call[0], "function": {"name": "weather", "arguments": "{"}}]},
         "tool_calls", ["invalid_tool_calls"], ["D681PevKs"]),
    ]:  # fmt: skip
        yield Case(name, "langchain_mistralai", completion(message, finish), mistral, has, resent)


# ---------------------------------------------------------------- Ollama


def ollama(module: Any, url: str) -> Any:
    return module.ChatOllama(model="test", base_url=url, reasoning=True)


def ollama_cases() -> Iterator[Case]:
    end = {
        "done": True, "done_reason": "stop", "total_duration": 9000, "load_duration": 100, "prompt_eval_count": 11,
        "prompt_eval_duration": 300, "eval_count": 7, "eval_duration": 500,
    }  # fmt: skip

    def lines(*messages: dict[str, Any]) -> list[dict[str, Any]]:
        about = {"model": "test", "created_at": "2026-01-02T03:04:05.678901Z"}
        parts = [
            {**about, "message": {"role": "assistant", "content": "", **message}, "done": False} for message in messages
        ]
        return [*parts[:-1], {**parts[-1], **end}]

    call = {"function": {"name": "weather", "arguments": {"city": "Łódź", "days": [1, 2]}}}
    for name, reply, has, resent in [
        ("text", lines({"content": "Hello."}), ["Hello."], ["Hello."]),
        ("text in pieces", lines({"content": "Hel"}, {"content": "lo — "}, {"content": "你好"}), ["Hello — 你好"], ["Hello — 你好"]),
        ("thinking and text", lines({"thinking": "A "}, {"thinking": "hat."}, {"content": "Hat!"}), ["A hat."], ["Hat!"]),
        ("a tool call", lines({"tool_calls": [call]}), ["Łódź"], ["weather"]),
        ("thinking and parallel tool calls", lines({"thinking": "Both."}, {"tool_calls": [call, {"function": {
            "name": "add", "arguments": {"a": 1}}}]}), ["Both."], ["weather", "add"]),
        ("nothing but the end", lines({"content": ""}), [], []),
    ]:  # fmt: skip
        yield Case(name, "langchain_ollama", reply, ollama, has, resent)


CASES = [
    *openai_cases(), *anthropic_cases(), *deepseek_cases(), *gemini_cases(), *mistral_cases(), *ollama_cases(),
]  # fmt: skip


def test_there_are_at_least_five_replies_of_each_package() -> None:
    packages = [case.package for case in CASES]
    assert min(packages.count(package) for package in set(packages)) >= 5
    assert len(set(packages)) == 6


@pytest.fixture(params=CASES, ids=lambda case: f"{case.package.removeprefix('langchain_')}: {case.name}")
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def module(case: Case, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL", "GOOGLE_API_KEY", "GEMINI_API_KEY", "LANGSMITH_TRACING"):
        monkeypatch.delenv(name, raising=False)
    return pytest.importorskip(
        case.package, reason=f"{case.package} is not installed: pip install session-sqlite[providers-test]"
    )


def serialised(message: BaseMessage) -> str:
    """Every field with its type and order, and what is not a field."""
    return repr((type(message), message.__dict__, message.__pydantic_extra__, sorted(message.__pydantic_fields_set__)))


def next_turn(reply: AIMessage) -> list[BaseMessage]:
    """What would be sent next: the question, the reply, results of its tool calls, and what the user says to it."""
    results = [
        ToolMessage("ok", tool_call_id=str(call["id"]), name=call["name"])
        for call in [*reply.tool_calls, *reply.invalid_tool_calls]
    ]
    return [HumanMessage("What shall I wear?"), reply, *results, HumanMessage("Go on.")]


@pytest.mark.filterwarnings("default")  # what the packages and their clients warn of is theirs
def test_a_reply_comes_back_equal_and_makes_the_same_next_request(
    case: Case, module: Any, provider: Service, path: Path
) -> None:
    provider.reply = case.reply
    model = case.model(module, provider.url)
    reply = model.invoke([HumanMessage("What shall I wear?")])
    before = serialised(reply)
    for text in case.has:
        assert text in before or text in repr(reply.model_dump())
    history = SQLiteChatMessageHistory("s", path)
    history.add_messages([HumanMessage("What shall I wear?"), reply])
    assert serialised(reply) == before, "storing changed the message"
    stored = history.messages[-1]
    assert type(stored) is type(reply)
    assert stored == reply
    assert serialised(stored) == before
    assert isinstance(stored, AIMessage)

    provider.asked.clear()
    model.invoke(next_turn(reply))
    model.invoke(next_turn(stored))
    without_store, with_store = provider.asked
    for text in case.resent:
        assert text in json.dumps(without_store, ensure_ascii=False)
    # The order of keys counts too: a provider's cache of prompts goes by the text.
    assert json.dumps(with_store) == json.dumps(without_store)

    chunks: list[BaseMessage] = list(history.messages)
    assert chunks[-1] == reply, "making a request of it changed what is read later"


IN_ANOTHER_PROCESS = {
    "audio", "thinking and a tool call", "responses: reasoning and a tool call", "thinking and parallel tool calls",
}  # fmt: skip


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in IN_ANOTHER_PROCESS], ids=lambda case: case.name, indirect=False
)
def test_another_process_reads_the_same(case: Case, module: Any, provider: Service, path: Path) -> None:
    provider.reply = case.reply
    reply = case.model(module, provider.url).invoke([HumanMessage("?")])
    SQLiteChatMessageHistory("s", path).add_messages([reply])
    code = f"""
import warnings; warnings.simplefilter("ignore")
import {case.package}
from test_providers import serialised
from session_sqlite import SQLiteChatMessageHistory
print(ascii(serialised(SQLiteChatMessageHistory("s", {str(path)!r}).messages[0])))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, encoding="utf-8"
    )
    assert result.stdout.strip() == ascii(serialised(reply)), result.stderr


@pytest.mark.filterwarnings("default")
def test_the_readable_columns_say_what_a_provider_says(provider: Service, path: Path) -> None:
    """One question over providers: who thought what, called which tool, for how many tokens?"""
    history = SQLiteChatMessageHistory("s", path)
    read = {
        ("langchain_openai", "responses: reasoning and a tool call"): (
            "First the weather.\n\nThen the hat.",
            ["weather"],
            20,
        ),
        ("langchain_anthropic", "thinking and a tool call"): ("A hat, surely.", ["weather"], 30),
        ("langchain_deepseek", "reasoning and a tool call"): ("They want a hat.\nSo: a hat.", ["weather"], 12),
        ("langchain_google_genai", "a signed tool call"): ("A hat would do.", ["weather"], 24),
        ("langchain_mistralai", "thinking and a tool call"): ("Well, \n\na hat.", ["weather"], 12),
        ("langchain_ollama", "thinking and parallel tool calls"): ("Both.", ["weather", "add"], 7),
    }
    seen = []
    for case in CASES:
        if (case.package, case.name) in read and importlib.util.find_spec(case.package):
            provider.reply = case.reply
            model = case.model(importlib.import_module(case.package), provider.url)
            history.add_messages([model.invoke([HumanMessage("?")])])
            event = history.service.last_events("s", 100)[-1]
            assert event.usage is not None
            seen.append((event.reasoning, [action.name for action in event.actions], event.usage.output_tokens))
            assert seen[-1] == read[case.package, case.name]
    if not seen:
        pytest.skip("no provider package is installed: pip install session-sqlite[providers-test]")
