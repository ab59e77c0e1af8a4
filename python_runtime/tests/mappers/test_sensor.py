"""Finding a sensor below a made-up sysfs, and the simulation."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from edgelab.daemon.errors import Fatal
from edgelab.mappers.cpu_temperature.options import gather, parse
from edgelab.mappers.cpu_temperature.sensor import SimulatedSensor, find


def put(path: Path, **files: str) -> None:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name).write_text(text + "\n")


def test_the_zone_of_the_cpu_wins_over_other_zones_and_over_hwmon(tmp_path: Path) -> None:
    put(tmp_path / "thermal" / "thermal_zone0", type="iwlwifi_1", temp="31000")
    put(tmp_path / "thermal" / "thermal_zone1", type="cpu-thermal", temp="42123")
    put(tmp_path / "hwmon" / "hwmon0", name="coretemp", temp1_input="50000")
    sensor = find("auto", tmp_path)
    assert (sensor.kind, sensor.read()) == ("thermal", 42.123)
    assert sensor.source.endswith("thermal_zone1/temp")


def test_a_zone_that_does_not_answer_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "thermal" / "thermal_zone0", type="cpu-thermal", temp="-274000")
    put(tmp_path / "hwmon" / "hwmon3", name="k10temp", temp1_input="48500")
    assert find("auto", tmp_path).read() == 48.5


def test_without_any_sensor_it_is_simulated_and_says_so(tmp_path: Path) -> None:
    assert find("auto", tmp_path).kind == "simulated"
    with pytest.raises(Fatal, match="no thermal sensor answers"):
        find("thermal", tmp_path)
    with pytest.raises(Fatal, match="expected one of"):
        find("magic", tmp_path)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ('echo "temp=48.3\'C"', 48.3),
        ("echo VCHI initialization failed; exit 255", None),
        ("echo temp=", None),
    ],
)
def test_the_firmware_of_a_pi_is_asked_where_files_have_nothing(
    answer: str, found: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(f'#!/bin/sh\n[ "$*" = measure_temp ] && {answer}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    sensor = find("auto", tmp_path)
    if found is None:
        assert sensor.kind == "simulated"
        with pytest.raises(Fatal, match="no vcgencmd sensor answers by vcgencmd"):
            find("vcgencmd", tmp_path)
        return
    assert (sensor.kind, sensor.read()) == ("vcgencmd", found)
    put(tmp_path / "thermal" / "thermal_zone0", type="cpu-thermal", temp="42000")
    assert find("auto", tmp_path).kind == "thermal"
    assert find("vcgencmd", tmp_path).read() == found


def test_the_simulation_is_plausible_and_never_repeats_itself() -> None:
    sensor = SimulatedSensor(seed=1)
    values = [sensor.read() for _ in range(1000)]
    assert len(set(values)) == 1000
    assert all(35 < value < 65 for value in values)
    assert max(abs(a - b) for a, b in itertools.pairwise(values)) < 3


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("device: from-file\nnamespace: from-file\nsensor: simulated\nreport_cycle: 5\n")
    environment = {
        "EDGELAB_CPU_TEMPERATURE_DEVICE": "from-env",
        "EDGELAB_CPU_TEMPERATURE_NAMESPACE": "from-env",
    }
    options = gather(parse(["--config", str(file), "--device", "from-flag"]), environment)
    found = (options.device, options.namespace, options.sensor, options.report_cycle, options.collect_cycle)
    assert found == ("from-flag", "from-env", "simulated", 5.0, 2.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("device: a\ncolour: red", "unknown option 'colour'"),
        ("sensor: auto", "missing required field `device`"),
        ("device: a\nreport_cycle: soon", "report_cycle"),
        ("device: a\ncollect_cycle: 0", "must be more than 0"),
        ("- a", "expected a mapping"),
    ],
)
def test_options_that_are_wrong_are_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(text)
    with pytest.raises(Fatal, match=words):
        gather(parse(["--config", str(file)]), {})
