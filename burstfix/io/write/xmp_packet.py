"""Write XMP packets (ISO 16684-1): the settings of a merge, and properties copied from the reference."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from burstfix._version import __version__
from burstfix.types import RenderedImage

_SOFTWARE = f"burstfix {__version__}"
_IMAGE_DESCRIPTION = 270
_DESCRIPTION = "dc:description"
_NAMESPACE = "urn:burstfix:settings:1.0/"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


@dataclass(frozen=True, slots=True)
class SplitXmp:
    """XMP that is too long for one segment of a JPEG (Adobe XMP specification part 3, 1.1.3.1).

    Attributes:
        standard: A packet within the limit. It refers to the extended XMP if there is any.
        extended: A second packet with the longest properties; b"" if all properties fit into the first
            packet.
        guid: MD5 of `extended`, which identifies its segments.
    """

    standard: bytes
    extended: bytes = b""
    guid: bytes = b""


def xmp_elements(image: RenderedImage) -> tuple[str, ...]:
    """Return the properties of a picture as XML elements."""
    carried = dict(image.exif.xmp)
    caption = image.exif.image.get(_IMAGE_DESCRIPTION)
    if isinstance(caption, str) and caption.strip():
        alternative = f'<rdf:Alt><rdf:li xml:lang="x-default">{_xml(caption)}</rdf:li></rdf:Alt>'
        carried.setdefault(_DESCRIPTION, f"<dc:description>{alternative}</dc:description>")
    settings = {"Version": __version__, **_flat(image.settings)}
    return (
        *(f"<burstfix:{name}>{_xml(text)}</burstfix:{name}>" for name, text in settings.items()),
        f"<xmp:CreatorTool>{_xml(_SOFTWARE)}</xmp:CreatorTool>",
        *carried.values(),
    )


def xmp_packet(elements: Iterable[str]) -> bytes:
    """Wrap properties in a packet, in UTF-8."""
    packet = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
{_xmpmeta(elements)}
<?xpacket end="r"?>"""
    return packet.encode("utf-8")


def split_xmp(elements: Iterable[str], limit: int) -> SplitXmp:
    """Move the longest properties to extended XMP until the others fit into one segment.

    Args:
        elements: Properties from `xmp_elements`.
        limit: Maximum length of the standard packet in bytes.
    """
    kept = list(elements)
    moved: list[str] = []
    note = '<xmpNote:HasExtendedXMP xmlns:xmpNote="http://ns.adobe.com/xmp/note/">{}</xmpNote:HasExtendedXMP>'
    while len(xmp_packet([*kept, note.format("0" * 32)] if moved else kept)) > limit:
        longest = max(kept, key=len)
        kept.remove(longest)
        moved.append(longest)
    if not moved:
        return SplitXmp(xmp_packet(kept))
    extended = _xmpmeta(moved).encode("utf-8")
    guid = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()
    return SplitXmp(xmp_packet([*kept, note.format(guid)]), extended, guid.encode("ascii"))


def _xmpmeta(elements: Iterable[str]) -> str:
    body = "\n".join(f"   {element}" for element in elements)
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:burstfix="{_NAMESPACE}">
{body}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>"""


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten settings to property names and texts: {"render": {"look": "plain"}} becomes RenderLook."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        words = re.findall("[A-Za-z0-9]+", str(key)) or ["Unnamed"]
        name = prefix + "".join(word[0].upper() + word[1:] for word in words)
        name = name if name[0].isalpha() else f"N{name}"
        if isinstance(value, Mapping):
            flat.update(_flat(value, name))
        else:
            flat[name] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat


def _xml(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text))
