"""The settings of a merge: names, defaults, checks and help in one place, and the files that hold them."""

from burstfix.settings.files import FILE_NAME, file_layers, read_settings_file
from burstfix.settings.layers import Origin, Resolved, resolve
from burstfix.settings.merge import MergeSettings
from burstfix.settings.setting import Setting, check_settings, setting, settings_of

__all__ = [
    "FILE_NAME",
    "MergeSettings",
    "Origin",
    "Resolved",
    "Setting",
    "check_settings",
    "file_layers",
    "read_settings_file",
    "resolve",
    "setting",
    "settings_of",
]
