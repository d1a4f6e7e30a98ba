"""`config.json`, the options of a run: written by this version, read as any version has written it."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging

import tensorflow as tf

from tfvideogan.config import Config, UsageError, fields
from tfvideogan.data import sources
from tfvideogan.files import atomic, paths
from tfvideogan.runs import versions

logger = logging.getLogger(__name__)

NAME = "config.json"
_LARGEST = 2**20  # A file of more bytes is not read; ours have some thousand.
_SECTIONS = tuple(field.name for field in dataclasses.fields(Config))


def recorded(config: Config) -> Config:
    """The config as it is written: local data by their absolute paths, so that they are found from any directory."""
    data = dataclasses.replace(config.data, data=sources.absolute(config.data.data))
    return dataclasses.replace(config, data=data)


def write(folder: paths.Path, config: Config) -> None:
    """Makes these the options of a run folder. Raises UsageError if it cannot be written."""
    text = json.dumps(versions.marked(dataclasses.asdict(recorded(config))), indent=2) + "\n"
    file = folder / NAME
    try:
        if not file.exists() or file.read_bytes() != text.encode():
            atomic.write_bytes(file, text.encode())
    except OSError as error:
        raise UsageError(f"--run_dir cannot be written: {error}") from error


def read(folder: paths.Path) -> Config:
    """The options of a run folder; those that only a newer minor version knows are named in a warning and left aside.

    Raises:
        UsageError: they cannot be read, are of a newer major version, or are not what an option may be.
    """
    file = folder / NAME
    try:
        options, version = _decode(paths.read_text(file, _LARGEST))
        unknown = sorted(options.keys() - {field.name for field in fields()})
        if unknown and version > versions.CURRENT:
            _warn_of_ignored(f"{file}: options of a newer tfvideogan are ignored: {', '.join(unknown)}")
            options = {name: value for name, value in options.items() if name not in unknown}
        return Config.create(**options)
    except (ValueError, OSError, tf.errors.OpError) as error:
        raise UsageError(f"--run_dir: {file}: {error}") from error


def _decode(text: str) -> tuple[dict, versions.Format]:
    """The options by name, and the format; a section that this version does not have counts as an unknown option."""
    try:
        content = paths.parse_json(text)
        version = versions.format_of(content)
        options = {name: value for section in _SECTIONS for name, value in content[section].items()}
    except UsageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"not a run's config.json: {error}") from error
    others = {name: value for name, value in content.items() if name not in (*_SECTIONS, *versions.KEYS)}
    return options | others, version


@functools.cache
def _warn_of_ignored(message: str) -> None:
    """Logs the message once, though a command reads its options more than once."""
    logger.warning(message)
