"""A program like `llama-server` that is a real process and misbehaves as its model file says.

The file that `--model` names is JSON, perhaps after the sign of a GGUF file, read at each start: `exit` (seconds until it exits
with code 3; 0: before it listens),
`hang` (it listens and never answers), `deaf` (it ignores SIGTERM), `children` (how many processes it begins, which outlive
it), `bare` (how many it begins without an environment, like those that overwrite theirs; their numbers are in a file beside
it that ends in `.bare`), `loading` (seconds in which it says that it loads), `stuck` (seconds after which it answers no
request), `takes` (seconds of each request), `waits` (a file that each request but the first waits for), `missing` (it does
not know its model). Each start appends a line to the file beside it that ends in `.starts`. `--help` lists the options of
the file `options` in its own folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

OPTIONS = "--model --alias --host --port --jinja --metrics --slots --parallel --ctx-size --batch-size --threads"
REPLY = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "well"}}]}
BEGAN = time.monotonic()


def option(name: str, default: str = "") -> str:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


class Handler(BaseHTTPRequestHandler):
    """The few answers by which llama-server is known and serves."""

    plan: ClassVar[dict[str, Any]] = {}
    alias = ""
    asked: ClassVar[bool] = False

    def do_GET(self) -> None:
        if self.loads():
            self.say(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
        elif self.path == "/props":
            self.say(200, {"build_info": "fake", "total_slots": 1, "default_generation_settings": {"n_ctx": 2048}})
        elif self.path == "/v1/models":
            self.say(200, {"object": "list", "data": [{"id": self.alias, "object": "model", "owned_by": "llamacpp"}]})
        else:
            self.say(200, {"status": "ok"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.loads():
            self.say(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
        elif time.monotonic() - BEGAN > float(self.plan.get("stuck", "inf")):
            time.sleep(3600)
        elif self.plan.get("missing"):
            self.say(404, {"error": {"code": 404, "message": "model not found", "type": "not_found_error"}})
        else:
            time.sleep(float(self.plan.get("takes", 0)))
            first, Handler.asked = not Handler.asked, True
            while not first and "waits" in self.plan and not Path(self.plan["waits"]).exists():
                time.sleep(0.01)
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            self.say(
                200,
                {"id": "x", "object": "chat.completion", "created": 1, "model": self.alias, **REPLY, "usage": usage},
            )

    def loads(self) -> bool:
        return time.monotonic() - BEGAN < float(self.plan.get("loading", 0))

    def say(self, status: int, value: Any) -> None:
        if self.plan.get("hang"):
            time.sleep(3600)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Server", "llama.cpp")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "llama.cpp"

    def log_message(self, *_: Any) -> None:
        """Nothing: its log is for what it says on its way out."""


def main() -> None:
    if "--help" in sys.argv or "--version" in sys.argv:
        listed = Path(sys.argv[0]).resolve().parent / "options"
        names = (listed.read_text() if listed.exists() else OPTIONS).split()
        sys.stdout.write("\n".join(["version: 1.0.0", *(f"{name} VALUE" for name in names)]) + "\n")
        return
    model = Path(option("--model"))
    Handler.plan, Handler.alias = json.loads(model.read_text().removeprefix("GGUF")), option("--alias")
    with model.with_suffix(".starts").open("a") as starts:
        starts.write(f"{os.getpid()} {option('--port')} {' '.join(sys.argv[1:])}\n")
    for _ in range(Handler.plan.get("children", 0)):
        subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"])
    for _ in range(Handler.plan.get("bare", 0)):
        bare = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"], env={})
        with model.with_suffix(".bare").open("a") as numbers:
            numbers.write(f"{bare.pid}\n")
    if Handler.plan.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "exit" in Handler.plan:
        threading.Thread(target=leave, args=[float(Handler.plan["exit"])], daemon=True).start()
        if not Handler.plan["exit"]:
            time.sleep(3600)
    server = ThreadingHTTPServer((option("--host"), int(option("--port"))), Handler)
    say("listening")
    server.serve_forever()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def leave(after: float) -> None:
    time.sleep(after)
    say("error: cannot allocate 9 GB for the model")
    os._exit(3)


if __name__ == "__main__":
    main()
