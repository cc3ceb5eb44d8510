"""Settings from defaults, a TOML file and flags, and the record of a run."""

from __future__ import annotations

import hashlib
import platform
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from renalmap.errors import ConfigError, PathMissingError, named_errors
from renalmap.imaging.files import write_text_atomically

Settings = TypeVar("Settings", bound=BaseModel)


def load_settings(
    model: type[Settings],
    toml_path: Path | None,
    flags: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    *,
    table: str | None = None,
    tables: Sequence[str] = (),
) -> Settings:
    """Resolve settings: the model's defaults, a recipe, then a TOML file, then flags that were given.

    Args:
        model: the pydantic model; unknown keys are errors if it forbids extra ones.
        toml_path: a TOML file, or None. Its tables are laid over the recipe's key by key.
        flags: dotted names to values, as `{"augment.rotation_degrees": 10}`; None means not given.
        recipe: settings that the file's override.
        table: the table of the file that is laid over its other settings; None for none.
        tables: all names that such tables have; those other than `table` are ignored.

    Raises:
        PathMissingError: the file does not exist.
        ConfigError: it is not TOML, or a key or a value is wrong.
    """
    content = {} if toml_path is None else read_toml(toml_path)
    own = {name: content.pop(name) for name in tables if name in content}
    for name, value in own.items():
        if not isinstance(value, dict):
            raise ConfigError(f"[{name}] is a table of settings", where=toml_path, got=repr(value))
    merged = lay_over(lay_over(recipe or {}, content), {} if table is None else own.get(table, {}))
    for name, value in (flags or {}).items():
        if value is not None:
            *parents, leaf = name.split(".")
            level = merged
            for parent in parents:
                level = level.setdefault(parent, {})
                if not isinstance(level, dict):
                    raise ConfigError(
                        f"{parent} is a table of settings", where=toml_path, got=repr(level)
                    )
            level[leaf] = value
    return parse_settings(model, merged, where=toml_path)


def lay_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merged over others, key by key at every depth, into new dictionaries."""
    merged = {
        key: lay_over(value, {}) if isinstance(value, Mapping) else value for key, value in below.items()
    }
    for key, value in above.items():
        known = merged.get(key, {})
        nested = isinstance(value, Mapping) and isinstance(known, Mapping)
        merged[key] = lay_over(known, value) if nested else value
    return merged


def parse_settings(model: type[Settings], values: Any, where: Path | None) -> Settings:
    """Validate plain values against a model, with every fault in one `ConfigError`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'settings'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ConfigError("the settings are not valid", where=where, got=faults) from error


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's content.

    Raises:
        PathMissingError: the file does not exist.
        ConfigError: it is not TOML.
    """
    if not path.is_file():
        raise PathMissingError("the settings file does not exist", where=path)
    with named_errors(
        lambda got: ConfigError("the settings file is not valid TOML", where=path, got=got)
    ):
        return tomllib.loads(path.read_text(encoding="utf-8"))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class RunRecord(BaseModel):
    """What happened in a run: enough to say later what made a file, and to reproduce it."""

    model_config = ConfigDict(extra="forbid")

    command: list[str]
    renalmap_version: str
    python_version: str
    platform: str
    package_versions: dict[str, str]
    started: str
    duration_s: float | None = None
    seed: int | None = None
    settings: dict[str, Any] = {}
    hashes: dict[str, str] = {}

    @classmethod
    def start(
        cls, *, packages: Sequence[str], seed: int | None = None, settings: BaseModel | None = None
    ) -> RunRecord:
        """A record of a run that begins now, with the versions of the named packages."""
        return cls(
            command=[Path(sys.argv[0]).name, *sys.argv[1:]],
            renalmap_version=metadata.version("renalmap"),
            python_version=platform.python_version(),
            platform=platform.platform(),
            package_versions={name: metadata.version(name) for name in packages},
            started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            seed=seed,
            settings={} if settings is None else settings.model_dump(mode="json"),
        )

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        write_text_atomically(path, self.model_dump_json(indent=2) + "\n")
