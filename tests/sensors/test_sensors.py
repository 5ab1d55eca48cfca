"""What the sensors make of what a system shows: trees of files as Linux has them, and a driver's library."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.app import catalog
from orchestrator.app.device import read_device, reading_of
from orchestrator.plugins.sensors.apple import AppleSensor
from orchestrator.plugins.sensors.nvidia import NvidiaSensor
from orchestrator.plugins.sensors.sysfs import AmdSensor, NpuSensor
from orchestrator.plugins.sensors.system import SystemSensor
from orchestrator.ports.device import Accelerator, Device, Power, Reading

RADEON = {
    "sys/class/drm/card1/device/vendor": "0x1002\n",
    "sys/class/drm/card1/device/device": "0x744c\n",
    "sys/class/drm/card1/device/mem_info_vram_total": "25753026560\n",
    "sys/class/drm/card1/device/mem_info_vram_used": "1753026560\n",
    "sys/class/drm/card1-HDMI-A-1/status": "connected\n",
    "sys/class/drm/renderD128/dev": "226:128\n",
}
INTEL_GRAPHICS = {"sys/class/drm/card0/device/vendor": "0x8086\n", "sys/class/drm/card0/device/device": "0x7d55\n"}


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def test_this_machine_is_read_whole_and_in_its_plain_form_again() -> None:
    """Whatever the tests run on has memory and a processor; nothing is raised for what it lacks."""
    device = read_device()
    assert device is not None and device.memory >= device.free > 0 and device.cpus >= 1
    assert Device.from_json(device.as_json()) == device


@pytest.mark.parametrize("name", catalog.FAMILIES["sensor"])
def test_a_sensor_is_called_as_the_table_calls_it(name: str) -> None:
    """And reads at once, whatever this machine lacks."""
    sensor = catalog.load("sensor", name)()
    assert sensor.kind == name
    assert isinstance(sensor.read(), Reading)


def test_an_amd_card_tells_its_memory(tmp_path: Path) -> None:
    """Connectors, render nodes and cards of other makers are passed over."""
    reading = AmdSensor(_tree(tmp_path, RADEON | INTEL_GRAPHICS)).read()
    assert reading == Reading(
        accelerators=(Accelerator("AMD graphics 0x744c", "rocm", 25_753_026_560, 24_000_000_000),)
    )


def test_an_amd_card_that_sleeps_or_says_nonsense_is_not_guessed_at(tmp_path: Path) -> None:
    """Without its memory there is nothing to reckon with; what is used may be unknown."""
    root = _tree(tmp_path, RADEON | {"sys/class/drm/card1/device/mem_info_vram_total": "busy\n"})
    assert AmdSensor(root).read().notes == ("no AMD graphics processor",)
    root = _tree(tmp_path, RADEON | {"sys/class/drm/card1/device/mem_info_vram_used": "\n"})
    (card,) = AmdSensor(root).read().accelerators
    assert card.free is None


def test_a_neural_processor_is_known_by_its_driver(tmp_path: Path) -> None:
    """Those that work in the main memory are told as such; of an unknown one that is not claimed."""
    for number, driver in enumerate(("intel_vpu", "habanalabs")):
        device = tmp_path / f"sys/class/accel/accel{number}/device"
        drivers = tmp_path / f"sys/bus/pci/drivers/{driver}"
        device.mkdir(parents=True)
        drivers.mkdir(parents=True)
        (device / "driver").symlink_to(drivers)
    assert NpuSensor(tmp_path).read().accelerators == (
        Accelerator("Intel NPU", "npu", unified=True),
        Accelerator("accelerator accel1 (habanalabs)", "npu"),
    )


@pytest.mark.parametrize("sensor", [AmdSensor, NpuSensor])
def test_a_system_without_such_a_device_says_so(sensor: type[AmdSensor | NpuSensor], tmp_path: Path) -> None:
    """A kernel without the class at all, too."""
    reading = sensor(tmp_path).read()
    assert reading.accelerators == () and len(reading.notes) == 1


@pytest.mark.parametrize(
    ("system", "machine", "seen"), [("Darwin", "arm64", 1), ("Darwin", "x86_64", 0), ("Linux", "aarch64", 0)]
)
def test_apple_silicon_is_told_by_the_platform(system: str, machine: str, seen: int) -> None:
    """Its graphics processor shares the main memory."""
    found = AppleSensor(system, machine).read().accelerators
    assert len(found) == seen and all(one.unified and one.kind == "metal" for one in found)


class FakeNvml:
    """The driver's library as ``nvidia-ml-py`` shows it: two cards, the second of which shares the main memory."""

    class NVMLError(Exception):
        """What it raises, with the number of the fault."""

        def __init__(self, words: str, value: int = 18) -> None:
            super().__init__(words)
            self.value = value

    NVML_ERROR_NOT_SUPPORTED = 3
    lost = False

    def __init__(self) -> None:
        self.broken = ""
        self.started = 0

    def nvmlInit(self) -> None:  # noqa: N802 - the library's own name
        if self.broken:
            raise self.NVMLError(self.broken)
        self.started += 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - the library's own name
        if self.broken:
            raise self.NVMLError(self.broken)
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802 - the library's own name
        return number

    def nvmlDeviceGetName(self, handle: int) -> Any:  # noqa: N802 - the library's own name
        return (b"NVIDIA GeForce RTX 4060", "NVIDIA GB10")[handle]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802 - the library's own name
        if handle:
            raise self.NVMLError("Not Supported", 3)
        if self.lost:
            raise self.NVMLError("GPU is lost", 15)
        return SimpleNamespace(total=8_585_740_288, free=8_000_000_000, used=585_740_288)


def test_nvidia_cards_tell_their_memory_and_the_driver_is_started_once() -> None:
    """One that has no memory of its own to tell works in the main memory."""
    nvml = FakeNvml()
    sensor = NvidiaSensor(library=nvml)
    wanted = (
        Accelerator("NVIDIA GeForce RTX 4060", "cuda", 8_585_740_288, 8_000_000_000),
        Accelerator("NVIDIA GB10", "cuda", unified=True),
    )
    assert sensor.read() == sensor.read() == Reading(accelerators=wanted)
    assert nvml.started == 1


def test_a_card_that_fails_does_not_pass_for_one_without_a_memory_of_its_own() -> None:
    """Its memory is not known; the others tell theirs."""
    nvml = FakeNvml()
    nvml.lost = True
    sensor = NvidiaSensor(library=nvml)
    lost, shared = sensor.read().accelerators
    assert (lost, shared.unified) == (Accelerator("NVIDIA GeForce RTX 4060", "cuda"), True)
    assert sensor.read().notes == ("NVIDIA GeForce RTX 4060 does not tell its memory: GPU is lost",)
    nvml.lost = False
    assert (sensor.read().accelerators[0].memory or 0) > 0 and sensor.read().notes == ()


def test_a_driver_that_fails_is_a_reason_and_is_started_again_later() -> None:
    """A driver may be exchanged while the runtime runs."""
    nvml = FakeNvml()
    sensor = NvidiaSensor(library=nvml)
    assert len(sensor.read().accelerators) == 2
    nvml.broken = "Driver/library version mismatch"
    assert sensor.read().notes == ("no NVIDIA graphics processor: Driver/library version mismatch",)
    nvml.broken = ""
    assert len(sensor.read().accelerators) == 2 and nvml.started == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a driver in its files")
def test_a_driver_without_the_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without a driver nobody is told to install anything."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert NvidiaSensor(tmp_path).read().notes == ("no NVIDIA driver",)
    (note,) = NvidiaSensor(_tree(tmp_path, {"proc/driver/nvidia/version": "NVRM version: …"})).read().notes
    assert "python -m pip install nvidia-ml-py" in note


@pytest.mark.parametrize(
    ("battery", "power"),
    [
        (SimpleNamespace(percent=34.2, power_plugged=False), Power("battery", 0.342)),
        (SimpleNamespace(percent=100.4, power_plugged=True), Power("mains", 1.0)),
        (SimpleNamespace(percent=50, power_plugged=None), Power("mains", 0.5)),
        (None, None),
    ],
)
def test_power_is_what_psutil_tells(battery: Any, power: Power | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that cannot tell whether it is plugged in is not taken for one on battery."""
    monkeypatch.setattr("psutil.sensors_battery", lambda: battery, raising=False)
    assert SystemSensor().read().power == power


def test_a_sensor_that_breaks_stops_nothing() -> None:
    """What is wrong with it is a note."""

    class Broken:
        kind = "mine"

        def read(self) -> Reading:
            raise OSError("the driver is gone")

    assert reading_of(Broken()).notes == ("the sensor mine failed: OSError: the driver is gone",)


def test_readings_together_make_a_device() -> None:
    """The first that tells a fact is believed, accelerators and notes add up; what works in the main memory adds none."""
    own, shared = Accelerator("card", "cuda", 8, 4), Accelerator("npu", "npu", unified=True)
    system = Reading(memory=16, free=9, cpus=4)
    device = Device.of([system, Reading(accelerators=(own,), notes=("a",)), Reading(accelerators=(shared,), memory=1)])
    assert device == Device(16, 9, 4, (own, shared), None, ("a",))
    assert device.own_memory == 8
    assert Device.of([Reading(notes=("nothing",))]) is None
