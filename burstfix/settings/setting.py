"""Settings as dataclass fields with help, check and command-line option."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from burstfix.errors import UsageError
from burstfix.settings.kinds import Kind

_KEY = "burstfix.setting"


@dataclass(frozen=True, slots=True)
class Setting:
    """Description of one setting.

    Attributes:
        name: Name in Python and in burstfix.toml; the option is --name, with dashes for underscores.
        default: Default value.
        kind: Kind of the values.
        help: One line for --help and the documentation.
        group: Name of the group in which --help lists the option.
        short: A one-letter option such as "-m", or "".
        default_text: Description of the default in --help; "" = the value itself.
    """

    name: str
    default: Any
    kind: Kind
    help: str
    group: str
    short: str = ""
    default_text: str = ""

    @property
    def flag(self) -> str:
        """The long option, without the dashes."""
        return self.name.replace("_", "-")

    def check(self, value: Any) -> Any:
        """Return the value in its final type.

        Raises:
            UsageError: The value is invalid; the message names the setting.
        """
        try:
            return self.kind.check(value)
        except ValueError as error:
            raise UsageError(f"{self.name} = {value!r}: {error}") from error


def setting(
    default: Any, kind: Kind, help: str, *, group: str, short: str = "", default_text: str = ""
) -> Any:
    """Create a dataclass field for a setting; see `Setting` for the arguments."""
    details = {"kind": kind, "help": help, "group": group, "short": short, "default_text": default_text}
    return dataclasses.field(default=default, metadata={_KEY: details})


def settings_of(owner: Any) -> dict[str, Setting]:
    """Return the settings of a dataclass (type or instance) by name, in order."""
    return {
        item.name: Setting(name=item.name, default=item.default, **item.metadata[_KEY])
        for item in dataclasses.fields(owner)
        if _KEY in item.metadata
    }


def check_settings(owner: Any) -> None:
    """Check every setting of a frozen dataclass instance and store the values in their final types.

    Raises:
        UsageError: A value is invalid; the message names the setting.
    """
    for name, one in settings_of(owner).items():
        object.__setattr__(owner, name, one.check(getattr(owner, name)))
