"""Build the real llama.cpp server for the tests, once, and print where it is.

The source distribution of llama-cpp-python holds the whole llama.cpp tree, so a package registry and a C++ compiler are
all that is needed. The binary is kept in a cache that outlives the checkout:
`${ORCHESTRATOR_TEST_CACHE:-${XDG_CACHE_HOME:-~/.cache}/orchestrator-tests}/llama-server-VERSION-DIGEST`, where the
digest covers everything that shapes the binary. An interrupted build goes on where it stopped.

    python scripts/build_llama_server.py [--jobs N] [--only-cached]
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

VERSION = "0.3.36"
SDIST = f"llama_cpp_python-{VERSION}.tar.gz"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"

# -O1: compiles in half the time of -O3 and still serves the tiny model at 2000 tokens a second.
# Static: one file to cache. The web UI is off because its build step wants to download it.
CMAKE_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG",
    "-DCMAKE_C_FLAGS_RELEASE=-O1 -DNDEBUG",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=OFF",
    "-DGGML_OPENMP=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
)

NO_COMPILER = """\
no C++ compiler was found, and the tests need one to build a real model server.
Install one, then try again:
    sudo apt-get install g++        (Debian, Ubuntu)
    sudo dnf install gcc-c++        (Fedora, RHEL)
    xcode-select --install          (macOS)"""


class BuildError(Exception):
    """The server could not be built; the message says why and what to do."""


def cache_folder() -> Path:
    """Folder that holds what is made once for the tests."""
    named = os.environ.get("ORCHESTRATOR_TEST_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orchestrator-tests"


def binary_path() -> Path:
    """Where the binary of this version, these flags and this machine lies, whether it is built or not."""
    shape = "\n".join((SDIST_SHA256, platform.system(), platform.machine(), *CMAKE_FLAGS))
    return cache_folder() / f"llama-server-{VERSION}-{hashlib.sha256(shape.encode()).hexdigest()[:12]}"


def build(jobs: int) -> Path:
    """Build the binary unless it is cached, and return its path."""
    target = binary_path()
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_name(target.name + ".lock")):
        if not target.exists():
            _build_into(target, jobs)
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when this process ends, however it ends
        yield


def _build_into(target: Path, jobs: int) -> None:
    compiler = _compiler()
    work = target.with_name(target.name + ".build")
    work.mkdir(exist_ok=True)
    log = work / "build.log"
    _say(f"building llama-server {VERSION} with {compiler} and {jobs} job(s), once: about 7 minutes of CPU time; {log}")
    source = _source(work, log)
    tree = work / "tree"
    generator = ("-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}")
    folders = ("-S", str(source / "vendor" / "llama.cpp"), "-B", str(tree))
    _execute([_tool("cmake"), *generator, *folders, *CMAKE_FLAGS], log)
    _execute([_tool("ninja"), "-C", str(tree), f"-j{jobs}", "llama-server"], log)
    built = tree / "bin" / "llama-server"
    if strip := shutil.which("strip"):
        _execute([strip, str(built)], log)
    _execute([str(built), "--version"], log)
    built.replace(target)
    shutil.rmtree(work)


def _source(work: Path, log: Path) -> Path:
    source = work / "source"
    if source.exists():
        return source
    archive = _download(work, log)
    unpacked = work / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    _execute(["tar", "-xzf", str(archive), "-C", str(unpacked), "--strip-components=1"], log)
    archive.unlink()
    return unpacked.rename(source)


def _download(work: Path, log: Path) -> Path:
    requirements = work / "requirements.txt"
    requirements.write_text(f"llama-cpp-python=={VERSION} --hash=sha256:{SDIST_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # pip asks the sdist's build backend for its name; without isolation it uses the backend of this environment.
    exactly = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--require-hashes"]
    _execute([*pip, *exactly, "--dest", str(work), "-r", str(requirements)], log)
    archive = work / SDIST
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise BuildError(f"{archive} has sha256 {found}, expected {SDIST_SHA256}")
    return archive


def _compiler() -> str:
    """The C++ compiler. Where ``CXX`` or ``CC`` names one, CMake takes that and no other."""
    for variable in ("CXX", "CC"):
        named = os.environ.get(variable, "").strip()
        if named and not shutil.which(shlex.split(named)[0]):
            raise BuildError(
                f"{NO_COMPILER}\n({variable} is {named}, which is no program here: or mend it, or unset it.)"
            )
    for name in (os.environ.get("CXX", "").strip(), "c++", "g++", "clang++"):
        if name and shutil.which(shlex.split(name)[0]):
            return name
    raise BuildError(NO_COMPILER)


def _tool(name: str) -> str:
    beside_python = Path(sys.executable).parent
    found = shutil.which(name, path=f"{beside_python}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise BuildError(f"{name} was not found: install the development dependencies with `make dev`")
    return found


def _execute(command: Sequence[str], log: Path) -> None:
    with log.open("a") as output:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False)
    if ended.returncode != 0:
        last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise BuildError(f"`{command[0]}` ended with {ended.returncode}; the end of {log}:\n{last_lines}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the binary's path on standard output; 1 when there is none."""
    parser = argparse.ArgumentParser(description="Build the llama.cpp server that the tests use, and print its path.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at once (default: all cores)")
    parser.add_argument("--only-cached", action="store_true", help="do not build: fail when it is not in the cache")
    options = parser.parse_args(arguments)
    try:
        path = binary_path() if options.only_cached else build(options.jobs)
        if not path.exists():
            raise BuildError(f"{path} is not built: type `make llama-server`")
    except BuildError as error:
        _say(f"error: {error}")
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
