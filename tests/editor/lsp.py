"""A client of the Language Server Protocol over standard input and output: just enough to ask what an editor asks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SERVER = Path(__file__).with_name("node_modules") / "yaml-language-server" / "bin" / "yaml-language-server"


class LanguageServer:
    """The YAML language server, with one document open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self.process = subprocess.Popen(
            ["node", str(SERVER), "--stdio"],  # noqa: S607 - whichever Node.js is installed
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        root = self.folder.as_uri()
        self.ask("initialize", {"processId": None, "rootUri": root, "capabilities": _CAPABILITIES})
        self.tell("initialized", {})
        self.tell("workspace/didChangeConfiguration", {"settings": {"yaml": _SETTINGS}})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()

    def open(self, name: str, text: str) -> str:
        """Open a document of this name in the folder; gives its address."""
        uri = (self.folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        return uri

    def completions(self, uri: str, line: int, column: int) -> dict[str, dict[str, Any]]:
        """What is offered at a place (from 0), by its label."""
        answer = self.ask("textDocument/completion", _at(uri, line, column))
        return {item["label"]: item for item in answer["items"]}

    def hover(self, uri: str, line: int, column: int) -> str:
        """What is shown under the pointer."""
        answer = self.ask("textDocument/hover", _at(uri, line, column))
        return "" if answer is None else str(answer["contents"]["value"])

    def problems(self, uri: str) -> list[str]:
        """The first messages that the server sends of itself about a document."""
        while True:
            message = self._read()
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == uri:
                return [one["message"] for one in message["params"]["diagnostics"]]
            self._serve(message)

    def ask(self, method: str, parameters: Any) -> Any:
        """Send a request and wait for its answer, answering what the server asks meanwhile."""
        self.number += 1
        self._write({"id": self.number, "method": method, "params": parameters})
        while True:
            message = self._read()
            if message.get("id") == self.number and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            self._serve(message)

    def tell(self, method: str, parameters: Any) -> None:
        """Send a notification."""
        self._write({"method": method, "params": parameters})

    def _serve(self, message: dict[str, Any]) -> None:
        if "id" in message and "method" in message:
            count = len(message.get("params", {}).get("items", []))
            result = [_SETTINGS] + [{}] * (count - 1) if message["method"] == "workspace/configuration" else None
            self._write({"id": message["id"], "result": result})

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        length = 0
        while True:
            header = self.process.stdout.readline()
            assert header, "the language server ended"
            if header == b"\r\n":
                break
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        message: dict[str, Any] = json.loads(self.process.stdout.read(length))
        return message


def _at(uri: str, line: int, column: int) -> dict[str, Any]:
    return {"textDocument": {"uri": uri}, "position": {"line": line, "character": column}}


_SETTINGS = {"schemaStore": {"enable": False}, "validate": True, "hover": True, "completion": True}
_CAPABILITIES = {
    "textDocument": {
        "completion": {"completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}},
        "hover": {"contentFormat": ["markdown"]},
    },
    "workspace": {"configuration": True},
}
