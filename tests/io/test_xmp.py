"""XMP: the copied properties, and their source (packet or sidecar)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from burstfix.io.read.xmp import read_xmp, with_xmp
from burstfix.types import ExifTags

HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
TAIL = "</rdf:RDF></x:xmpmeta>"
SPACES = (
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" xmlns:GEO="http://ns.adobe.com/exif/1.0/" '
    'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
)


def packet(attributes: str = "", inside: str = "") -> bytes:
    description = f'<rdf:Description rdf:about="" {SPACES} {attributes}>{inside}</rdf:Description>'
    return f'<?xpacket begin="" id="W5M0"?>{HEAD}{description}{TAIL}<?xpacket end="w"?>'.encode()


TITLE = '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Käse &amp; Wein</rdf:li></rdf:Alt></dc:title>'


def found(content: bytes, path: Path = Path("nowhere.dng")) -> Mapping[str, str]:
    xmp = read_xmp(path, content)
    assert xmp.warnings == ()
    return xmp.properties


def test_read_xmp_when_a_packet_has_descriptions_and_settings_then_only_descriptions_are_copied():
    inside = TITLE + "<crs:Exposure2012>+1.50</crs:Exposure2012><dc:format>image/x-raw</dc:format>"
    xmp = found(
        packet('xmp:Rating="4" xmp:CreatorTool="me" GEO:GPSLatitude="47,4N" GEO:FNumber="4/1"', inside)
    )
    assert set(xmp) == {"dc:title", "xmp:Rating", "exif:GPSLatitude"}
    title = ElementTree.fromstring(xmp["dc:title"])
    assert "".join(title.itertext()) == "Käse & Wein"
    assert xmp["dc:title"].startswith("<dc:title ") and "ns0" not in xmp["dc:title"]


def test_read_xmp_when_a_property_is_nested_then_its_parts_stay_inside_it():
    place = '<rdf:Description dc:title="no title" e:City="Graz"/>'
    inside = f"<e:LocationCreated><rdf:Bag><rdf:li>{place}</rdf:li></rdf:Bag></e:LocationCreated>"
    xmp = found(packet(inside=inside))
    assert set(xmp) == {"Iptc4xmpExt:LocationCreated"}
    assert "Graz" in xmp["Iptc4xmpExt:LocationCreated"]


def test_read_xmp_when_there_are_several_sidecars_then_the_longer_name_has_precedence(tmp_path: Path):
    raw = tmp_path / "shot.dng"
    inside = packet('xmp:Rating="1" xmp:Label="Red"')
    assert set(found(inside, raw)) == {"xmp:Rating", "xmp:Label"}
    (tmp_path / "shot.xmp").write_bytes(packet('xmp:Rating="2"', TITLE))
    xmp = found(inside, raw)
    assert ">2<" in xmp["xmp:Rating"] and ">Red<" in xmp["xmp:Label"] and "dc:title" in xmp
    (tmp_path / "shot.dng.xmp").write_bytes(packet('xmp:Rating="3"'))
    assert ">3<" in found(inside, raw)["xmp:Rating"]
    (tmp_path / "other.xmp").write_bytes(packet('xmp:Rating="5"'))
    assert ">3<" in found(b"", raw)["xmp:Rating"]


def test_read_xmp_when_a_packet_is_utf_16_or_padded_then_it_is_read():
    assert set(found(packet('xmp:Rating="4"') + b"\0\0")) == {"xmp:Rating"}
    wide = ('<?xml version="1.0" encoding="UTF-16"?>' + packet('xmp:Rating="4"').decode()).encode("utf-16")
    assert set(found(wide)) == {"xmp:Rating"}
    assert found(b"") == found(b"\0\0") == {}
    assert found(b'<?xpacket begin="" id="W5M0"?>   <?xpacket end="w"?>') == {}


def test_read_xmp_when_names_differ_in_case_or_are_too_long_then_no_sidecar_is_read_twice(
    tmp_path: Path,
):
    (tmp_path / "shot.xmp").write_bytes(b"<x")
    os.link(tmp_path / "shot.xmp", tmp_path / "shot.XMP")  # simulates a file system that ignores case
    xmp = read_xmp(tmp_path / "shot.dng", b"")
    assert xmp.properties == {} and len(xmp.warnings) == 1
    assert found(packet('xmp:Rating="1"'), tmp_path / ("x" * 248 + ".dng")).keys() == {"xmp:Rating"}


def test_read_xmp_when_a_property_is_not_rdf_or_belongs_to_the_raw_then_it_is_left_out():
    inside = '<dc:subject junk="1"><rdf:Bag/></dc:subject><dc:rights><rdf:Alt/><rdf:Alt/></dc:rights>'
    inside += "<e:DigImageGUID>1234</e:DigImageGUID>" + TITLE
    assert set(found(packet(inside=inside))) == {"dc:title"}


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "content",
    [
        b"<x",
        b"\xff\xfe\0",
        BOMB + packet(),
        b"<a>" + b" " * (1 << 20) + b"</a>",
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        packet(inside=f"<dc:title>{'<a>' * 50_000}{'</a>' * 50_000}</dc:title>"),
    ],
    ids=["truncated", "binary", "entities", "huge", "unknown encoding", "deep"],
)
def test_read_xmp_when_a_sidecar_is_not_xmp_then_there_is_a_warning(tmp_path: Path, content: bytes):
    raw = tmp_path / "shot.dng"
    (tmp_path / "shot.xmp").write_bytes(content)
    xmp = read_xmp(raw, packet('xmp:Rating="1"'))
    assert set(xmp.properties) == {"xmp:Rating"}
    (warning,) = xmp.warnings
    assert warning.startswith(f"{tmp_path / 'shot.xmp'}: its XMP cannot be parsed")


def test_read_xmp_when_rdf_is_nested_then_the_result_is_smaller_than_the_packet():
    depth = 100
    start = "".join(f"<rdf:RDF><rdf:Description><e:p{k}>" for k in range(depth))
    end = "".join(f"</e:p{k}></rdf:Description></rdf:RDF>" for k in reversed(range(depth)))
    rdf = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    nested = f"<x {rdf} {SPACES}>{start}{end}</x>".encode()
    assert sum(map(len, found(nested).values())) < 2 * len(nested)


def test_with_xmp_when_a_property_replaces_a_windows_tag_then_the_tag_is_removed():
    exif = with_xmp(ExifTags(image={18246: 2, 40091: b"old", 271: "Acme"}), {"xmp:Rating": "<x/>"})
    assert exif.image == {40091: b"old", 271: "Acme"} and exif.xmp == {"xmp:Rating": "<x/>"}
