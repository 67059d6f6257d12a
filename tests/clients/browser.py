"""A real browser, and pages of an origin of their own that call services."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_PAGE = """<!doctype html><pre id="out">waiting</pre><script>
async function call({uri, key, body}) {
  const headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key};
  try {
    const answer = await fetch(uri, {method: "POST", body: JSON.stringify(body), headers});
    return [answer.status, await answer.json()];
  } catch (error) {
    return ["kept from the page", String(error)];
  }
}
(async () => {
  const told = [];
  for (const one of CALLS) told.push(await call(one));
  document.getElementById("out").textContent = JSON.stringify(told);
})();
</script>"""


@contextmanager
def page_server() -> Generator[Callable[..., str]]:
    """Serve one page on an origin of its own.

    The function sets the calls that the page makes, each with uri, key and body, and returns the
    page's origin.
    """
    pages = {"/": b""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(pages.get(self.path, b""))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def show(calls: Sequence[Mapping[str, Any]] = ()) -> str:
            pages["/"] = _PAGE.replace("CALLS", json.dumps(calls)).encode()
            return f"http://127.0.0.1:{server.server_port}"

        try:
            yield show
        finally:
            server.shutdown()
            thread.join()


def seen_by_page(address: str, profile: Path) -> list[tuple[Any, Any]]:
    """Open a page in the browser; return status and answer of each of its calls."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        required = os.environ.get("CALOTYPE_TOOLCHAINS", "required" if os.environ.get("CI") else "")
        say = pytest.fail if required == "required" else pytest.skip
        say("there is no chromium: install Debian's package chromium")
    run = subprocess.run(
        [chromium, *_FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=10000",
         "--dump-dom", address],
        capture_output=True, text=True, check=True, timeout=120,
        env={**os.environ, "HOME": str(profile)},
    )  # fmt: skip
    found = re.search(r'<pre id="out">(\[.*?\])</pre>', run.stdout, re.DOTALL)
    assert found, run.stdout
    return [(status, answer) for status, answer in json.loads(unescape(found[1]))]
