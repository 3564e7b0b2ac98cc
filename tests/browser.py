"""A headless Chromium that is driven as a reader would: keys and a mouse, over the DevTools protocol through a pipe."""
import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
         "--disable-dev-shm-usage", "--disable-background-networking", "--disable-extensions", "--hide-scrollbars"]
KEYS = {"Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13}


@contextlib.contextmanager
def browser(profile, page):
    """A tab with a page open, closed at the end."""
    asked, answers = os.pipe(), os.pipe()
    ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (asked[0], answers[1])]    # clear of 3 and 4

    def three_and_four():
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    process = subprocess.Popen([CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"], pass_fds=(3, 4),
                               preexec_fn=three_and_four, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for fd in (*ends, asked[0], answers[1]):
        os.close(fd)
    tab = Tab(asked[1], answers[0])
    try:
        tab.open(page)
        yield tab
    finally:
        process.kill()
        process.wait()
        os.close(asked[1])
        os.close(answers[0])


class Tab:
    """send(method, **params) -> its result; events that came meanwhile are kept in `events`."""

    def __init__(self, out, back):
        self.out, self.back, self.waiting, self.number, self.session, self.events = out, back, b"", 0, None, []

    def read(self, until):
        """The next message, or None when the time is up."""
        while b"\0" not in self.waiting:
            ready, _, _ = select.select([self.back], [], [], max(0.0, until - time.monotonic()))
            more = os.read(self.back, 1 << 16) if ready else b""
            if not more:
                return None
            self.waiting += more
        message, _, self.waiting = self.waiting.partition(b"\0")
        return json.loads(message)

    def send(self, method, **params):
        self.number += 1
        asked = {"id": self.number, "method": method, "params": params}
        if self.session and not method.startswith("Target."):
            asked["sessionId"] = self.session
        data = json.dumps(asked).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        until = time.monotonic() + 120
        while (message := self.read(until)) is not None:
            if message.get("id") == self.number:
                assert "error" not in message, (method, message)
                return message["result"]
            self.events.append(message)
        raise TimeoutError(f"no answer to {method}")

    def open(self, page):
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.go(page)

    def go(self, page):
        self.send("Page.navigate", url=page)
        until = time.monotonic() + 60
        while self.ask("document.readyState + location.href") != "complete" + page:
            assert time.monotonic() < until, page

    def ask(self, expression):
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, times=1):
        for _ in range(times):
            for kind in ("rawKeyDown", "keyUp"):
                self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def write(self, text):
        """Type over what is in the field that has the focus."""
        self.ask("document.activeElement.select()")
        self.send("Input.insertText", text=text)

    def point(self, cell):
        """Move the mouse onto an element, given as an expression."""
        x, y = self.ask(f"(() => {{ const e = {cell}; e.scrollIntoView({{block: 'center'}}); "
                        "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def media(self, kind="screen", scheme="light"):
        self.send("Emulation.setEmulatedMedia", media=kind,
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def width(self, pixels, height=800):
        self.send("Emulation.setDeviceMetricsOverride", width=pixels, height=height, deviceScaleFactor=1, mobile=False)

    def shot(self, path):
        """A picture of what the window shows."""
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def complaints(self):
        """What the console was told, errors that nobody caught, and what was fetched from elsewhere than a file."""
        return [event for event in self.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded",
                                                                      "Runtime.consoleAPICalled")
                or (event["method"] == "Network.requestWillBeSent"
                    and not event["params"]["request"]["url"].startswith(("file:", "data:")))]
