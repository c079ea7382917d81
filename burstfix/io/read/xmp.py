"""Read descriptive XMP properties: title, keywords, rating, rights, location.

A raw may contain an XMP packet, and photo managers write sidecar files beside it. Properties that describe
the photograph are copied to the output. Settings for raw conversion and properties of the raw file itself are
not copied.

Sources: ISO 16684-1 (XMP). Namespaces: Adobe's XMP specification part 2, IPTC Photo Metadata, CIPA DC-010.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from burstfix.types import ExifTags

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MAX_BYTES = 1 << 20
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_ANY_NAME = ("",)
_INSTRUCTION = re.compile(rb"<\?.*?\?>", re.DOTALL)

# Prefix to namespace, and the prefixes of the properties to copy.
_COPIED: dict[str, tuple[str, tuple[str, ...]]] = {
    "dc": (
        "http://purl.org/dc/elements/1.1/",
        ("contributor", "coverage", "creator", "description", "publisher", "rights", "subject", "title"),
    ),
    "xmp": ("http://ns.adobe.com/xap/1.0/", ("Rating", "Label")),
    "xmpRights": ("http://ns.adobe.com/xap/1.0/rights/", _ANY_NAME),
    "photoshop": (
        "http://ns.adobe.com/photoshop/1.0/",
        ("Author", "Caption", "Categ", "City", "Country", "Credit", "Date", "Headline", "Instr", "Source")
        + ("State", "Suppl", "Transm", "Urgency"),
    ),
    "Iptc4xmpCore": ("http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", _ANY_NAME),
    "Iptc4xmpExt": ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", _ANY_NAME),
    "plus": ("http://ns.useplus.org/ldf/xmp/1.0/", _ANY_NAME),
    "lr": ("http://ns.adobe.com/lightroom/1.0/", ("hierarchicalSubject", "weightedFlatSubject")),
    "digiKam": ("http://www.digikam.org/ns/1.0/", ("TagsList", "CaptionsAuthorNames", "ColorLabel")),
    "exif": ("http://ns.adobe.com/exif/1.0/", ("GPS",)),
    "exifEX": ("http://cipa.jp/exif/1.0/", ("Lens", "BodySerial", "CameraOwner")),
    "aux": ("http://ns.adobe.com/exif/1.0/aux/", ("Lens", "Serial", "Owner", "Firmware")),
}
# Prefixes of properties that describe the raw file instead of the photograph.
_FILE_PROPERTIES = ("DigImageGUID", "MaxAvail", "ImageFile", "ImageRegion", "LensDistort")
# Windows tags for the same properties. A newer sidecar could contradict them.
_WINDOWS_TAGS = {"xmp:Rating": (18246, 18249), "dc:title": (40091,), "dc:subject": (40094,)}
_PREFIXES = {namespace: prefix for prefix, (namespace, _) in _COPIED.items()}

for _prefix, (_namespace, _) in _COPIED.items():
    ElementTree.register_namespace(_prefix, _namespace)  # otherwise prefixes are written as ns0, ns1 ...
ElementTree.register_namespace("rdf", _RDF)


@dataclass(frozen=True, slots=True)
class FoundXmp:
    """XMP that belongs to a raw.

    Attributes:
        properties: Mapping from names ("dc:title") to XML elements that are valid inside an rdf:Description.
        warnings: One sentence for each packet or sidecar that cannot be parsed.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def with_xmp(exif: ExifTags, properties: Mapping[str, str]) -> ExifTags:
    """Add XMP properties to EXIF, and drop the Windows tags that they replace."""
    replaced = {tag for name, tags in _WINDOWS_TAGS.items() if name in properties for tag in tags}
    image = {tag: value for tag, value in exif.image.items() if tag not in replaced}
    return replace(exif, image=image, xmp=properties)


def read_xmp(path: Path, packet: bytes) -> FoundXmp:
    """Read the XMP of a raw: its own packet, then its sidecars.

    Args:
        path: The raw. `IMG.xmp` overrides the packet; `IMG.dng.xmp` overrides both.
        packet: The XMP packet inside the raw, b"" if it has none.
    """
    properties: dict[str, str] = {}
    warnings = []
    for source in (path, *sidecars(path)):
        try:
            properties |= _parse(packet if source == path else _read(source))
        except (OSError, ValueError, LookupError, RecursionError) as error:  # LookupError: unknown encoding
            warnings.append(f"{source}: its XMP cannot be parsed ({error}) and is not copied")
    return FoundXmp(properties, tuple(warnings))


def sidecars(path: Path) -> list[Path]:
    """Return the existing sidecars of a raw, in increasing order of precedence."""
    candidates = [path.with_suffix(suffix) for suffix in (".XMP", ".xmp")]
    candidates += [path.with_name(path.name + suffix) for suffix in (".XMP", ".xmp")]
    found: dict[tuple[int, int], Path] = {}  # by inode, because file systems may ignore case
    for sidecar in candidates:
        try:
            status = os.stat(sidecar)
        except (OSError, ValueError):  # missing, or the name is too long
            continue
        if stat.S_ISREG(status.st_mode):
            found[status.st_dev, status.st_ino] = sidecar
    return list(found.values())


def _read(sidecar: Path) -> bytes:
    with open(sidecar, "rb") as file:
        return file.read(_MAX_BYTES + 1)


def _parse(packet: bytes) -> dict[str, str]:
    """Return the properties of a packet that are copied to the output.

    Raises:
        ValueError, LookupError: The packet is not XMP.
    """
    if not packet.startswith(_UTF_16):
        packet = packet.strip(b"\0 \t\r\n")
    if not _INSTRUCTION.sub(b"", packet).strip():
        return {}  # empty, or only padding
    if len(packet) > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES} bytes")
    if b"<!DOCTYPE" in packet.replace(b"\0", b""):  # zeros: UTF-16
        raise ValueError("it declares a document type")  # entities can expand without limit
    try:
        root = ElementTree.fromstring(packet)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    found = {}
    for element in _property_elements(root):
        found |= _copied_property(element)
    return found


def _property_elements(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Yield the properties of the outermost rdf:RDF, including those written as attributes.

    A nested rdf:RDF is part of a value. If its properties were yielded too, the size of the result would grow
    with the square of the length of a deeply nested packet.
    """
    rdf = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    for description in rdf if rdf is not None else ():
        for name, value in description.attrib.items():
            element = ElementTree.Element(name)
            element.text = value
            yield element
        yield from description


def _copied_property(element: ElementTree.Element) -> dict[str, str]:
    """Return a property as a mapping from its name; empty if it is not copied."""
    namespace, _, name = element.tag.removeprefix("{").rpartition("}")
    prefix = _PREFIXES.get(namespace)
    if prefix is None or not name.startswith(_COPIED[prefix][1]) or name.startswith(_FILE_PROPERTIES):
        return {}
    # Programs reject the whole packet if one element is not valid RDF.
    qualified = all(key.startswith("{") for part in element.iter() for key in part.attrib)
    if not qualified or (len(element) > 1 and element.get(f"{{{_RDF}}}parseType") != "Resource"):
        return {}
    element.tail = None
    return {f"{prefix}:{name}": ElementTree.tostring(element, encoding="unicode")}
