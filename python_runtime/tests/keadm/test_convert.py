"""`keadm convert` with the documents of old tutorials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from edgelab.keadm.__main__ import app

DOCUMENTS = Path(__file__).parents[1] / "objects" / "vectors"
OLD = ["devicemodel-v1alpha2.yaml", "device-modbus-v1alpha2.yaml", "device-custom-v1alpha2.yaml"]


@pytest.mark.parametrize("name", OLD)
def test_documents_of_old_tutorials_are_printed_in_the_new_layout_and_back(name: str, tmp_path: Path) -> None:
    there = CliRunner().invoke(app, ["convert", "-f", str(DOCUMENTS / name)])
    assert there.exit_code == 0
    new = tmp_path / "new.yaml"
    new.write_text(there.stdout)
    assert yaml.safe_load(there.stdout)["apiVersion"] == "devices.kubeedge.io/v1beta1"
    back = CliRunner().invoke(app, ["convert", "-f", str(new), "--to", "v1alpha2"])
    assert yaml.safe_load(back.stdout) == yaml.safe_load((DOCUMENTS / name).read_text())


def test_other_objects_and_those_in_the_right_layout_stay_as_they_are(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n---\n" + (DOCUMENTS / OLD[0]).read_text()
    (tmp_path / "all.yaml").write_text(text)
    found = CliRunner().invoke(app, ["convert", "-f", str(tmp_path / "all.yaml"), "-o", "json"])
    answer = json.loads(found.stdout)
    assert answer["converted"] == 1
    assert [obj["apiVersion"] for obj in answer["objects"]] == ["v1", "devices.kubeedge.io/v1beta1"]


def test_a_field_that_is_wrong_is_named(tmp_path: Path) -> None:
    device = yaml.safe_load((DOCUMENTS / OLD[2]).read_text())
    device["spec"]["protocol"] = {"modbus": {}, "opcua": {}}
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(device))
    found = CliRunner().invoke(app, ["convert", "-f", str(tmp_path / "odd.yaml"), "-o", "json"])
    assert found.exit_code == 1
    assert json.loads(found.stdout)["error"] == (
        "Device sensor-tag-custom: spec.protocol: expected one protocol, found modbus and opcua"
    )
