"""Settings: defaults < TOML < flags; records of runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from renalmap.config import RunRecord, load_settings, sha256_of
from renalmap.errors import ConfigError, PathMissingError
from renalmap.training.settings import TrainSettings


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_win_over_toml_and_toml_over_defaults(tmp_path: Path):
    path = toml(tmp_path, 'stage = "segment"\nsteps = 7\nseed = 3\n[augment]\nshear = 0.2\nzoom = 0.3\n')
    settings = load_settings(
        TrainSettings, path, {"steps": 9, "augment.zoom": 0.0, "augment.blur": None, "seed": None}
    )
    assert (settings.stage, settings.steps, settings.seed, settings.batch_size) == ("segment", 9, 3, 8)
    assert (settings.augment.shear, settings.augment.zoom, settings.augment.blur) == (0.2, 0.0, 0.0)


def test_flags_alone_are_enough():
    settings = load_settings(TrainSettings, None, {"stage": "localize", "augment.rotation_degrees": 5})
    assert settings.augment.rotation_degrees == 5
    assert settings.augment.horizontal_flip == 0.5


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('stage = "segment"\nbatchsize = 4\n', r"settings\.toml.*batchsize: Extra inputs"),
        ('stage = "segment"\n[augment]\nzoom = 2\n', r"augment\.zoom: Input should be less than 1"),
        ('stage = "segment"\nsteps = 0\nseed = "x"\n', r"seed: .*; steps: "),
        ('stage = "segment"\nlocalizer_reduction = 2\n', "localizer_reduction is for stage 1"),
        ('stage = "localize"\ntumour_share = 0.9\n', "cannot exceed it"),
        ("stage = \n", "not valid TOML"),
    ],
)
def test_wrong_settings_name_file_key_and_fault(tmp_path: Path, text: str, fault: str):
    with pytest.raises(ConfigError, match=fault):
        load_settings(TrainSettings, toml(tmp_path, text))


def test_a_table_given_as_a_number_is_an_error_beside_a_flag_for_it(tmp_path: Path):
    with pytest.raises(ConfigError, match="augment is a table"):
        load_settings(TrainSettings, toml(tmp_path, "augment = 3\n"), {"augment.zoom": 0.1})


def test_missing_toml_is_an_error(tmp_path: Path):
    with pytest.raises(PathMissingError, match=r"none\.toml"):
        load_settings(TrainSettings, tmp_path / "none.toml")


def test_sha256_is_that_of_the_bytes(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"kidney" * 100_000)
    assert sha256_of(path) == hashlib.sha256(b"kidney" * 100_000).hexdigest()


def test_run_record_tells_versions_seed_and_settings(tmp_path: Path):
    settings = TrainSettings(stage="localize", seed=11)
    record = RunRecord.start(packages=("numpy",), seed=11, settings=settings)
    record.duration_s = 1.5
    record.write(tmp_path / "run.json")
    written = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert written["package_versions"] == {"numpy": np.__version__}
    assert (written["seed"], written["duration_s"]) == (11, 1.5)
    assert written["settings"]["augment"]["rotation_degrees"] == 15.0
    assert RunRecord.model_validate(written) == record
