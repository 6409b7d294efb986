"""A chat in a window, with its sessions at the side and a search: Tkinter and the service, no LangChain.

Run ``python examples/desktop_chat.py [FILE]``, in Python with Tk. A thread makes the replies: the window never waits.
"""

import queue
import sys
import threading
import tkinter as tk
from tkinter import ttk

from session_sqlite import Session, SQLiteSessionService, database_file


class ChatWindow(tk.Tk):
    """Sessions on the left, the conversation on the right, what you say below."""

    def __init__(self, service: SQLiteSessionService) -> None:
        super().__init__()
        self.title("Chat")
        self.service = service
        self.session: Session | None = None
        self.replied: queue.Queue[Session] = queue.Queue()
        self.query = tk.StringVar(self)
        self.query.trace_add("write", lambda *_: self.list_sessions())
        self.draft = tk.StringVar(self)

        side = ttk.Frame(self)
        side.pack(side="left", fill="y", padx=6, pady=6)
        ttk.Entry(side, textvariable=self.query).pack(fill="x")
        self.list = ttk.Treeview(side, show="tree", selectmode="browse")
        self.list.pack(fill="both", expand=True, pady=6)
        self.list.bind("<<TreeviewSelect>>", lambda _: self.open(self.list.selection()))
        ttk.Button(side, text="New", command=self.new).pack(fill="x")
        self.text = tk.Text(self, state="disabled", wrap="word")
        self.text.pack(fill="both", expand=True, pady=6)
        entry = ttk.Entry(self, textvariable=self.draft)
        entry.pack(fill="x")
        entry.bind("<Return>", lambda _: self.say())
        self.list_sessions()
        self.new()
        self.after(50, self.look_for_replies)

    def list_sessions(self) -> None:
        """The latest sessions, or those that have what is typed at the top in a title or in a message."""
        typed = self.query.get().strip()
        found = [hit.session for hit in self.service.search_sessions(typed)] if typed else self.service.list_sessions()
        self.list.delete(*self.list.get_children())
        for session in found:
            self.list.insert("", "end", iid=session.id, text=session.title)

    def new(self) -> None:
        """A new conversation; it is stored with its first message."""
        self.session = None
        self.show()

    def open(self, selection: tuple[str, ...]) -> None:
        """Shows the session that was clicked."""
        if selection and (self.session is None or self.session.id != selection[0]):
            self.session = self.service.get_session(selection[0])
            self.show()

    def say(self) -> None:
        """Stores what the user said at once, and has it answered."""
        said = self.draft.get().strip()
        if said:
            if self.session is None:
                self.session = self.service.create_session(title=said[:40])
            self.session.add_event("user", said)
            self.draft.set("")
            self.show()
            threading.Thread(target=self.reply, args=(self.session, said), daemon=True).start()

    def reply(self, session: Session, said: str) -> None:
        """In a thread of its own; your model goes here."""
        session.add_event("assistant", f"You said: {said}")
        self.replied.put(session)

    def look_for_replies(self) -> None:
        """Tk may be touched from its own thread only."""
        while not self.replied.empty():
            if self.replied.get() == self.session:
                self.show()
            self.list_sessions()
        self.after(50, self.look_for_replies)

    def show(self) -> None:
        """The conversation as it is stored."""
        events = [] if self.session is None else self.session.events()
        self.text.configure(state="normal")
        self.text.delete("1.0", "end")
        self.text.insert("end", "\n\n".join(f"{event.author}: {event.content}" for event in events))
        self.text.configure(state="disabled")


if __name__ == "__main__":
    path = sys.argv[1] if len(sys.argv) > 1 else database_file(app_name="desktop-example")
    with SQLiteSessionService(path, app_name="desktop-example") as store:
        ChatWindow(store).mainloop()
