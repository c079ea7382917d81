"""What people have said of a photograph in XMP: title, keywords, rating, rights, place.

It stands in a packet inside the raw, or in a sidecar beside it, where photo managers keep what they may not
write into raws. Carried are words about the photograph; how somebody developed it, and what was true of that
one file, are not. Sources: ISO 16684-1 (XMP), and Adobe's XMP specification part 2, IPTC's and CIPA's DC-010
for the namespaces.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from burstfix.types import ExifTags

DESCRIPTION = "dc:description"

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MAX_BYTES = 1 << 20
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_EVERYTHING = ("",)
_INSTRUCTION = re.compile(rb"<\?.*?\?>", re.DOTALL)

# Prefix to namespace, and how the names of its properties begin that are carried.
_CARRIED: dict[str, tuple[str, tuple[str, ...]]] = {
    "dc": (
        "http://purl.org/dc/elements/1.1/",
        ("contributor", "coverage", "creator", "description", "publisher", "rights", "subject", "title"),
    ),
    "xmp": ("http://ns.adobe.com/xap/1.0/", ("Rating", "Label")),
    "xmpRights": ("http://ns.adobe.com/xap/1.0/rights/", _EVERYTHING),
    "photoshop": (
        "http://ns.adobe.com/photoshop/1.0/",
        ("Author", "Caption", "Categ", "City", "Country", "Credit", "Date", "Headline", "Instr", "Source")
        + ("State", "Suppl", "Transm", "Urgency"),
    ),
    "Iptc4xmpCore": ("http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", _EVERYTHING),
    "Iptc4xmpExt": ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", _EVERYTHING),
    "plus": ("http://ns.useplus.org/ldf/xmp/1.0/", _EVERYTHING),
    "lr": ("http://ns.adobe.com/lightroom/1.0/", ("hierarchicalSubject", "weightedFlatSubject")),
    "digiKam": ("http://www.digikam.org/ns/1.0/", ("TagsList", "CaptionsAuthorNames", "ColorLabel")),
    "exif": ("http://ns.adobe.com/exif/1.0/", ("GPS",)),
    "exifEX": ("http://cipa.jp/exif/1.0/", ("Lens", "BodySerial", "CameraOwner")),
    "aux": ("http://ns.adobe.com/exif/1.0/aux/", ("Lens", "Serial", "Owner", "Firmware")),
}
# Of the raw, not of what the picture shows.
_OF_THE_FILE = ("DigImageGUID", "MaxAvail", "ImageFile", "ImageRegion", "LensDistort")
# Tags of Windows that could contradict XMP, which may be a sidecar's and newer.
_SAID_IN_XMP = {"xmp:Rating": (18246, 18249), "dc:title": (40091,), "dc:subject": (40094,)}
_PREFIXES = {namespace: prefix for prefix, (namespace, _) in _CARRIED.items()}

for _prefix, (_namespace, _) in _CARRIED.items():
    ElementTree.register_namespace(_prefix, _namespace)  # else they would be written as ns0, ns1 ...
ElementTree.register_namespace("rdf", _RDF)


def with_words(exif: ExifTags, words: dict[str, str]) -> ExifTags:
    """The tags with these words, and without those that would say the same or something older."""
    said = {tag for word, tags in _SAID_IN_XMP.items() if word in words for tag in tags}
    image = {tag: value for tag, value in exif.image.items() if tag not in said}
    return replace(exif, image=image, words=words)


def words_about(path: Path, packet: bytes, notes: list[str]) -> dict[str, str]:
    """What is said of a raw, in its own packet and in sidecars.

    Args:
        path: The raw. Sidecars are called after it: IMG.xmp counts more than the packet, IMG.dng.xmp most.
        packet: The XMP packet inside it, b"" for none.
        notes: Gets a sentence for each that cannot be understood.

    Returns:
        Properties by name, such as "dc:title"; each an XML element that can stand in an rdf:Description.
    """
    found: dict[str, str] = {}
    for source in (path, *sidecars(path)):
        try:
            found |= _properties(packet if source == path else _read(source))
        # An unknown encoding is a LookupError.
        except (OSError, ValueError, LookupError, RecursionError) as error:
            notes.append(f"{source}: its XMP is not understood ({error}), and not carried")
    return found


def sidecars(path: Path) -> list[Path]:
    """The sidecars that a raw has, the one that counts most last."""
    named = [path.with_suffix(suffix) for suffix in (".XMP", ".xmp")]
    named += [path.with_name(path.name + suffix) for suffix in (".XMP", ".xmp")]
    there: dict[tuple[int, int], Path] = {}  # where case does not count, two names are one file
    for sidecar in named:
        try:
            status = os.stat(sidecar)
        except (OSError, ValueError):  # not there, or no name could be so long
            continue
        if stat.S_ISREG(status.st_mode):
            there[status.st_dev, status.st_ino] = sidecar
    return list(there.values())


def _read(sidecar: Path) -> bytes:
    with open(sidecar, "rb") as file:
        return file.read(_MAX_BYTES + 1)


def _properties(packet: bytes) -> dict[str, str]:
    """The properties of a packet that are carried.

    Raises:
        ValueError, LookupError: It is none.
    """
    if not packet.startswith(_UTF_16):
        packet = packet.strip(b"\0 \t\r\n")
    if not _INSTRUCTION.sub(b"", packet).strip():
        return {}  # nothing, or a packet kept for words to come
    if len(packet) > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES} bytes")
    if b"<!DOCTYPE" in packet.replace(b"\0", b""):  # in UTF-16, too
        raise ValueError("it declares a document type")  # whose entities could grow without bound
    try:
        root = ElementTree.fromstring(packet)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    found = {}
    for description in (part for rdf in root.iter(f"{{{_RDF}}}RDF") for part in rdf):
        for name, value in description.attrib.items():
            element = ElementTree.Element(name)
            element.text = value
            found |= _carried(element)
        for element in description:
            found |= _carried(element)
    return found


def _carried(element: ElementTree.Element) -> dict[str, str]:
    namespace, _, name = element.tag.removeprefix("{").rpartition("}")
    prefix = _PREFIXES.get(namespace)
    if prefix is None or not name.startswith(_CARRIED[prefix][1]) or name.startswith(_OF_THE_FILE):
        return {}
    # What is no RDF would make readers refuse the whole packet.
    qualified = all(key.startswith("{") for part in element.iter() for key in part.attrib)
    if not qualified or (len(element) > 1 and element.get(f"{{{_RDF}}}parseType") != "Resource"):
        return {}
    element.tail = None
    return {f"{prefix}:{name}": ElementTree.tostring(element, encoding="unicode")}
