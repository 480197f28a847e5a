#!/usr/bin/env python3
"""The page in a real browser, on a real demo.

Starts `tidekeeper demo`, lets dashboard/e2e judge its page and every tab of it, stops it as Ctrl-C
does and looks whether anything is left running. Needs a built binary and `tools/setup.sh test`.
Prints one line per claim and, last, `N passed, N failed`.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "tidekeeper"
PICTURES = Path(os.environ.get("TIDEKEEPER_CACHE", ROOT / ".cache")) / "screenshots"
PAGE = re.compile(r"http://127\.0\.0\.1:\d+/\?token=[^\s\x1b]+")
LAST_LINE = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)

START_TIMEOUT_S = 180
BROWSER_TIMEOUT_S = 600
STOP_TIMEOUT_S = 10
POLL_S = 0.2
LINES_ON_FAILURE = 30


def main() -> int:
    if not BINARY.exists():
        print(f"{BINARY} is missing; run: cargo build --locked\n0 passed, 1 failed")
        return 1
    demo = Demo()
    passed = failed = 0
    try:
        page = demo.page()
        if page is None:
            print("FAILED  the demo prints its page; its last lines were:")
            print("\n".join(demo.lines[-LINES_ON_FAILURE:]))
            failed += 1
        else:
            print("ok      the demo prints its page", flush=True)
            passed, failed = browse(page, demo.anvil())
            passed += 1
    finally:
        is_ended, left = demo.stop()
    for claim, holds in ((f"Ctrl-C ends the demo within {STOP_TIMEOUT_S} s", is_ended),
                         (f"nothing is left running: {left}", not left)):
        print(f"{'ok' if holds else 'FAILED':7} {claim}")
        passed, failed = passed + holds, failed + (not holds)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


class Demo:
    """The supervisor process and everything below it, in a session of its own."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [str(BINARY), "demo"], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def page(self) -> str | None:
        """The address with its token, once the demo has printed it."""
        def found() -> str | None:
            matches = (PAGE.search(line) for line in list(self.lines))
            return next((match.group() for match in matches if match), None)

        wait(START_TIMEOUT_S, lambda: found() is not None or self.process.poll() is not None)
        return found()

    def anvil(self) -> int | None:
        return next((pid for pid, name in descendants(self.process.pid) if name == "anvil"), None)

    def stop(self) -> tuple[bool, list[tuple[int, str]]]:
        """Whether it ended in time by SIGINT, and what outlived it (which is then killed)."""
        family = descendants(self.process.pid)
        if self.process.poll() is None:
            # The terminal sends it to the whole foreground group.
            os.killpg(self.process.pid, signal.SIGINT)
        is_ended = wait(STOP_TIMEOUT_S, lambda: self.process.poll() is not None)
        if not is_ended:
            self.process.kill()
            self.process.wait()
        left = [(pid, name) for pid, name in family if (pid, name) in all_named()]
        for pid, _ in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return is_ended, left


def browse(page: str, anvil: int | None) -> tuple[int, int]:
    """Runs dashboard/e2e and returns its own count."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    wishes = {"DASHBOARD_URL": page, "SCREENSHOT_DIR": str(PICTURES)}
    if anvil is None:
        print("FAILED  no anvil below the demo, so the page cannot be seen turning stale")
        return 0, 1
    wishes["ANVIL_PID"] = str(anvil)
    try:
        run = subprocess.run(["npm", "run", "--silent", "e2e"], cwd=ROOT / "dashboard", text=True,
                             env=os.environ | wishes, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=BROWSER_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        print(f"FAILED  the browser test took longer than {BROWSER_TIMEOUT_S} s: {error.output}")
        return 0, 1
    print(run.stdout, end="")
    count = LAST_LINE.findall(run.stdout)
    if not count:
        print(f"FAILED  the browser test ended with status {run.returncode} and no count")
        return 0, 1
    passed, failed = int(count[-1][0]), int(count[-1][1])
    return passed, max(failed, 1 if run.returncode else 0)


def wait(timeout_s: float, is_so: Callable[[], bool]) -> bool:
    end = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def descendants(ancestor: int) -> list[tuple[int, str]]:
    """All processes below `ancestor`, as (pid, name)."""
    table = processes()
    found: list[tuple[int, str]] = []
    family = {ancestor}
    # Each pass goes one generation down; a tree is never deeper than the table is long.
    for _ in range(len(table)):
        children = [(pid, name) for pid, parent, name in table
                    if parent in family and pid not in family]
        if not children:
            break
        family |= {pid for pid, _ in children}
        found += children
    return found


def all_named() -> set[tuple[int, str]]:
    return {(pid, name) for pid, _, name in processes()}


def processes() -> list[tuple[int, int, str]]:
    """Every living process as (pid, parent's pid, name), from /proc or else from ps."""
    if not Path("/proc/self/stat").exists():
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,comm="], text=True, check=True,
                               stdout=subprocess.PIPE).stdout
        rows = [line.split(None, 2) for line in table.splitlines()]
        return [(int(pid), int(parent), Path(name).name) for pid, parent, name in rows]
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        name, _, rest = text.partition(" (")[2].rpartition(") ")
        state, parent = rest.split()[:2]
        if state != "Z":
            found.append((int(stat.parent.name), int(parent), name))
    return found


if __name__ == "__main__":
    sys.exit(main())
