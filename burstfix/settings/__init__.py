"""The settings of a merge: names, defaults, checks and help in one place, and settings files."""

from burstfix.settings.files import (
    FILE_NAME,
    SettingsFile,
    file_layers,
    preset_names,
    read_settings_file,
    settings_files,
)
from burstfix.settings.layers import Origin, Resolved, resolve
from burstfix.settings.merge import MergeSettings
from burstfix.settings.setting import Setting, check_settings, setting, settings_of

__all__ = [
    "FILE_NAME",
    "MergeSettings",
    "Origin",
    "Resolved",
    "Setting",
    "SettingsFile",
    "check_settings",
    "file_layers",
    "preset_names",
    "read_settings_file",
    "resolve",
    "setting",
    "settings_files",
    "settings_of",
]
