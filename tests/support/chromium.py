"""Debian's Chromium without a window, over its DevTools protocol on two pipes: no driver, no socket, nothing to install beside it."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.required import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 30.0  # a bound for a machine that is busy, not an expectation
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-default-browser-check", "--hide-scrollbars", "--remote-debugging-pipe",
    "--disable-features=Translate,MediaRouter,OptimizationHints", "--lang=en-US",
)  # fmt: skip


@dataclass
class Page:
    """One tab. `problems` are exceptions, console errors and refused loads; `urls` is all that was asked for."""

    browser: Browser
    session: str
    problems: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    held: bool = False  # the mouse button

    def call(self, method: str, **parameters: Any) -> Any:
        return self.browser.call(method, parameters, self.session)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true, and give its value; AssertionError if it never is."""
        ends = time.monotonic() + PATIENCE_S
        while not (value := self.evaluate(script)):
            assert time.monotonic() < ends, f"waited in vain for {script}; {self.problems}"
            time.sleep(0.05)
        return value

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def key(self, name: str, code: int = 0, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, text=text if kind == "keyDown" else ""
            )

    def mouse(self, *events: tuple[str, float, float]) -> None:
        """Events such as ("mouseMoved", x, y), with the left button where one is pressed."""
        for kind, x, y in events:
            button = "none" if kind == "mouseMoved" else "left"
            held = 1 if kind == "mousePressed" or (kind == "mouseMoved" and self.held) else 0
            self.held = held == 1
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=held, clickCount=int(button == "left"))

    def screenshot(self, file: Path) -> None:
        """Of the whole page, also what must be scrolled to."""
        image = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(image))


class Browser:
    """One Chromium process."""

    def __init__(self, process: subprocess.Popen[bytes], write_fd: int, read_fd: int) -> None:
        self.process = process
        self._write_fd, self._read_fd = write_fd, read_fd
        self._ids = itertools.count(1)
        self._buffer = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}

    def page(self) -> Page:
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        return page

    def call(self, method: str, parameters: dict[str, Any], session: str | None = None) -> Any:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._write_fd, json.dumps(message).encode() + b"\0")
        ends = time.monotonic() + PATIENCE_S
        while number not in self._answers:
            assert time.monotonic() < ends, f"Chromium does not answer {method}"
            self._read()
        answer = self._answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self) -> None:
        if not select.select([self._read_fd], [], [], 1.0)[0]:
            return
        data = os.read(self._read_fd, 1 << 20)
        assert data, "Chromium has ended"
        *whole, self._buffer = (self._buffer + data).split(b"\0")
        for message in map(json.loads, whole):
            if "id" in message:
                self._answers[message["id"]] = message
            elif (page := self._pages.get(message.get("sessionId", ""))) is not None:
                _note(page, message["method"], message["params"])


def _note(page: Page, method: str, parameters: dict[str, Any]) -> None:
    match method:
        case "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            page.problems.append(details.get("exception", {}).get("description", details["text"]))
        case "Log.entryAdded" if parameters["entry"]["level"] == "error":
            page.problems.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        case "Runtime.consoleAPICalled" if parameters["type"] == "error":
            page.problems.append(str([a.get("value", a.get("description")) for a in parameters["args"]]))
        case "Network.requestWillBeSent":
            page.urls.append(parameters["request"]["url"])
        case "Network.responseReceived":
            page.statuses[parameters["response"]["url"]] = parameters["response"]["status"]


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start it with an empty profile in this directory; the test is skipped where it is not installed."""
    program = shutil.which("chromium")
    if program is None:
        missing("chromium", "apt-get install chromium")
    to_it_read, to_it = os.pipe()
    from_it, from_it_write = os.pipe()
    # It speaks on its descriptors 3 and 4.
    script = f'exec "$0" "$@" 3<&{to_it_read} 4>&{from_it_write}'
    arguments = ["bash", "-c", script, program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    environment = {**os.environ, "HOME": str(profile), "TZ": "UTC"}
    process = subprocess.Popen(
        arguments, pass_fds=(to_it_read, from_it_write), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(to_it_read)
    os.close(from_it_write)
    try:
        browser = Browser(process, to_it, from_it)
        yield browser
        browser.call("Browser.close", {})
        process.wait(PATIENCE_S)
    finally:
        os.close(to_it)
        os.close(from_it)
        process.kill()
        process.wait()
