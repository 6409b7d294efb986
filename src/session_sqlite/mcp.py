"""The tools of a history for any assistant: a server of the Model Context Protocol (MCP).

An assistant such as Claude Desktop starts ``session-sqlite mcp`` and talks to it over standard input and output. The
tools are those of `history_tools`, for one app and one user. Needs the extra ``mcp``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    TextContent,
    Tool,
    ToolAnnotations,
)

from session_sqlite.threads import in_thread
from session_sqlite.tools import QUOTED, HistoryTools
from session_sqlite.version import __version__

INSTRUCTIONS = (
    "The earlier conversations of the person you talk with. Search them with search_history when something was said "
    f"before, and cite the session and its date. {QUOTED}"
)


def server_of(history: HistoryTools) -> Server[Any]:
    """Returns a server that has the tools of a history, and nothing else."""

    async def list_tools(_context: ServerRequestContext[Any], _page: object) -> ListToolsResult:
        return ListToolsResult(
            tools=[
                Tool(
                    name=tool.name,
                    description=tool.description,
                    input_schema=tool.schema(),
                    annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
                )
                for tool in history.tools
            ]
        )

    async def call_tool(_context: ServerRequestContext[Any], call: CallToolRequestParams) -> CallToolResult:
        answer = await in_thread(history.answer, call.name, call.arguments or {})
        return CallToolResult(content=[TextContent(type="text", text=answer.text)], is_error=answer.failed)

    return Server(
        "session-sqlite",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def serve(history: HistoryTools) -> None:
    """Serves the tools over standard input and output until the input ends."""

    async def run() -> None:
        server = server_of(history)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    asyncio.run(run())
