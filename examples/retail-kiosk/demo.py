"""What a new user sees: plan, apply, ask, look, take down. Ends by itself and leaves nothing running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MANIFEST = HERE / "kiosk.yaml"
PROGRAM = Path(sys.executable).with_name("orchestrator")
QUESTIONS = (
    "Do you have the Torvak cordless drill 18V in stock?",
    "What can I use instead of the Halden circular saw?",
    "Quote for 20 bags of cement",
    "Are you hiring?",
)
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def main() -> int:
    """Run the demo in a state folder of its own; gives the exit code of the first command that failed."""
    home = tempfile.mkdtemp(prefix="orchestrator-demo-")
    environment = {**os.environ, "ORCHESTRATOR_HOME": home}
    try:
        return _show(environment)
    finally:
        subprocess.run([PROGRAM, "runtime", "stop"], env=environment, check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def _show(environment: dict[str, str]) -> int:
    manifest = os.path.relpath(MANIFEST)
    name = "retail-kiosk"
    commands = [
        ["validate", manifest],
        ["plan", manifest],
        ["apply", manifest, "--no-pull"],  # whoever looks at a demo has not asked for gigabytes
        *(["run", name, question, "--show-path"] for question in QUESTIONS),
        ["status"],
        ["down", name],
    ]
    for words in commands:
        shown = " ".join(f'"{word}"' if " " in word else word for word in words)
        print(f"\n{BOLD}$ orchestrator {shown}{PLAIN}", flush=True)
        code = subprocess.run([PROGRAM, *words], env=environment, check=False).returncode
        if code:
            print(f"demo: this command ended with {code}", file=sys.stderr)
            return code
    print(f"\nThe demo is over and nothing is left running. To keep it running: {_program()} apply {manifest}")
    return 0


def _program() -> str:
    return os.path.relpath(PROGRAM)


if __name__ == "__main__":
    raise SystemExit(main())
