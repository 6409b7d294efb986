"""A headless Chromium for tests, driven over the DevTools protocol on two pipes: no port, no library.

A `Page` remembers every event that the browser tells about it, so a test can count what a page ran and loaded.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--force-device-scale-factor=1", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 60  # seconds


class Browser:
    """One process of Chromium; what it is asked and what it tells are JSON texts that end in NUL."""

    def __init__(self, profile: str) -> None:
        assert CHROMIUM is not None
        read_by_it, self._to = os.pipe()
        self._from, written_by_it = os.pipe()
        # It reads from 3 and writes to 4.
        command = f"exec {CHROMIUM} {' '.join(FLAGS)} --user-data-dir={profile} 3<&{read_by_it} 4>&{written_by_it}"
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            pass_fds=(read_by_it, written_by_it),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_by_it)
        os.close(written_by_it)
        self._rest = b""
        self._number = 0
        self.pages: dict[str, Page] = {}

    def close(self) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self.ask("Browser.close")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def ask(self, method: str, params: dict[str, Any] | None = None, session: str | None = None) -> dict[str, Any]:
        self._number += 1
        question = {"id": self._number, "method": method, "params": params or {}}
        if session:
            question["sessionId"] = session
        self._write(json.dumps(question).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._read(deadline)
            if answer is None:
                raise TimeoutError(f"{method} was not answered")
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]  # type: ignore[no-any-return]

    def listen(self, seconds: float) -> None:
        """Takes what the browser tells in that time."""
        deadline = time.monotonic() + seconds
        while self._read(deadline) is not None:
            pass

    def page(self) -> Page:
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self.pages[session] = Page(self, session, target)
        for domain in ("Page", "Network", "Runtime", "Debugger", "Log"):
            page.ask(f"{domain}.enable")
        return page

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._to, data) :]

    def _read(self, deadline: float) -> dict[str, Any] | None:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(deadline - time.monotonic(), 0))
            data = os.read(self._from, 1 << 20) if ready else b""
            if not data:
                return None
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        if "method" in answer and (page := self.pages.get(answer.get("sessionId", ""))):
            page.told.append(answer)
        return answer


@dataclass
class Page:
    """One tab, and what the browser has told about it."""

    browser: Browser
    session: str
    target: str
    told: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.ask(method, params, self.session)

    def events(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.told if event["method"] == method]

    def open(self, path: Path) -> None:
        self.told.clear()
        self.ask("Page.navigate", url=path.as_uri())
        deadline = time.monotonic() + PATIENCE
        while not self.events("Page.loadEventFired"):
            assert time.monotonic() < deadline, f"{path} does not finish loading"
            self.browser.listen(0.05)
        self.browser.listen(0.2)

    def look(self, *, width: int, height: int, dark: bool) -> None:
        """How large the window is, and whether its reader likes it dark."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = "dark" if dark else "light"
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def evaluate(self, script: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, *, most: int = 6000) -> bytes:
        """The whole page as PNG, down to so many pixels."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], most), "scale": 1}
        answer = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        self.browser.ask("Target.closeTarget", {"targetId": self.target})


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Chromium with a profile of its own, which goes with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        running = Browser(profile)
        try:
            yield running
        finally:
            running.close()
