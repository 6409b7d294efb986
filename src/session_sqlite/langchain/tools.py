"""`history_tools`: the tools with which an agent looks into its user's past, as tools of LangChain.

What they take and answer is in `session_sqlite.tools`; here a run's configuration says which session is going on.
"""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from pydantic import PrivateAttr

from session_sqlite import codec
from session_sqlite.langchain.sessions import checked_service, given_names, names_of_run, tool_runs
from session_sqlite.models import SessionRecord
from session_sqlite.service import SessionService
from session_sqlite.threads import in_thread
from session_sqlite.tools import DEFAULT_TOKENS, HistoryTools, Tool


def history_tools(
    service: SessionService,
    *,
    session_id: str | None = None,
    app_name: str | None = None,
    user_id: str | None = None,
    max_tokens: int = DEFAULT_TOKENS,
) -> list[BaseTool]:
    """Returns three read-only tools with which an agent looks into the earlier conversations of one user.

    ``search_history`` finds what bears on a question (see `SessionService.recall`), ``list_sessions`` lists sessions,
    and ``read_session`` reads a part of one. They belong to one app and one user from now on, whatever a model asks
    them for, and answer in a text that cites session, ``seq`` and date. What they quote is marked as quoted. What a
    model writes never raises: an answer with ``status="error"`` says what is wrong. A run whose configuration names
    another app or user is refused in the same way, so that an agent which serves several users cannot mix them up.

    Args:
        service: The store, of any backend.
        session_id: The session that is going on, which is left out unless the model asks for it. If not given, it is
            looked for in each run, as `SessionHistoryMiddleware` looks for it: in the runtime context, then
            ``configurable["session_id"]``, then ``configurable["thread_id"]``.
        app_name: The app; the service's if not given.
        user_id: The user; the service's if not given.
        max_tokens: The most tokens of an answer, at least 500. A token is counted for four ASCII characters and for
            each other character.

    Raises:
        InvalidInputError: An argument is malformed, or the app or user is `ANY`.

    Example:
        >>> from session_sqlite import SQLiteSessionService
        >>> service = SQLiteSessionService(":memory:", app_name="shop", user_id="ada")
        >>> _ = service.create_session(session_id="s-1").add_event("user", "The blue teapot costs 30 euros.")
        >>> search, list_sessions, read = history_tools(service)
        >>> print(search.invoke({"question": "What does the blue teapot cost?"}))
        1 passage from 1 session, the best first. Today is ... Lines that begin with ">" quote what is stored: ...
        <BLANKLINE>
        [1] session "s-1", event 1, ...
        #1 user
        > The blue teapot costs 30 euros.
        >>> service.close()
    """
    names = given_names(session_id, app_name, user_id)
    history = HistoryTools(checked_service(service), app_name=app_name, user_id=user_id, max_tokens=max_tokens)
    return [_HistoryTool.of(history, tool, names.session_id) for tool in history.tools]


class _HistoryTool(BaseTool):
    """A tool of LangChain that has `HistoryTools` answer."""

    _history: HistoryTools = PrivateAttr()
    _session_id: str | None = PrivateAttr()

    @classmethod
    def of(cls, history: HistoryTools, tool: Tool, session_id: str | None) -> _HistoryTool:
        """Returns the tool of LangChain for a tool of the history."""
        made = cls(
            name=tool.name,
            description=tool.description,
            # As a mapping, so that arguments come as the model wrote them: what is wrong with them, our answer says.
            args_schema=tool.schema(),
            handle_tool_error=True,
        )
        made._history, made._session_id = history, session_id
        return made

    def _to_args_and_kwargs(self, tool_input: Any, tool_call_id: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:  # noqa: ARG002
        # In one piece: as keywords, an argument named "self" or "config" would take the place of ours.
        return (tool_input,), {}

    def _run(self, arguments: Any, config: RunnableConfig) -> str:
        return self._answer(arguments, self._running(config))

    async def _arun(self, arguments: Any, config: RunnableConfig) -> str:
        return await in_thread(self._answer, arguments, self._running(config))

    def _answer(self, arguments: Any, running: list[SessionRecord]) -> str:
        answer = self._history.answer(self.name, arguments, running)
        if answer.failed:
            raise ToolException(answer.text)
        return answer.text

    def _running(self, config: RunnableConfig) -> list[SessionRecord]:
        """Returns the sessions that are going on: the one that was given or that the run names, and those around it.

        Raises:
            ToolException: The run is another app's or user's.
        """
        app, user = self._history.app_name, self._history.user_id
        names = names_of_run(_context_of_run(), config.get("configurable") or {})
        if names.app_name not in (None, app) or names.user_id not in (None, user):
            raise ToolException("Error: this conversation is another user's than the history that can be searched")
        found = [SessionRecord(run.session.id, run.session.app_name, run.session.user_id) for run in tool_runs.get()]
        id = names.session_id if self._session_id is None else self._session_id
        if id is not None:
            found.insert(0, SessionRecord(id, app, user))
        unique = {(session.app_name, session.user_id, session.id): session for session in found}
        return [
            session for key, session in unique.items() if key[:2] == (app, user) and codec.is_identifier(session.id)
        ]


def _context_of_run() -> object:
    """Returns the runtime context of LangGraph's run, if there is one."""
    try:
        from langgraph.runtime import get_runtime
    except ImportError:  # a chain without LangGraph
        return None
    try:
        runtime: Any = get_runtime()
    except (RuntimeError, KeyError):  # outside of a graph
        return None
    return getattr(runtime, "context", None)
