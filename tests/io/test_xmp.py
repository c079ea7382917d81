"""What is said of a photograph in XMP: which of it is carried, and from where."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from burstfix.io.xmp import words_about

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


def found(content: bytes, path: Path = Path("nowhere.dng")) -> dict[str, str]:
    notes: list[str] = []
    words = words_about(path, content, notes)
    assert notes == []
    return words


def test_words_about_when_a_packet_has_words_and_settings_then_only_words_are_carried():
    inside = TITLE + "<crs:Exposure2012>+1.50</crs:Exposure2012><dc:format>image/x-raw</dc:format>"
    words = found(
        packet('xmp:Rating="4" xmp:CreatorTool="me" GEO:GPSLatitude="47,4N" GEO:FNumber="4/1"', inside)
    )
    assert set(words) == {"dc:title", "xmp:Rating", "exif:GPSLatitude"}
    title = ElementTree.fromstring(words["dc:title"])
    assert "".join(title.itertext()) == "Käse & Wein"
    assert words["dc:title"].startswith("<dc:title ") and "ns0" not in words["dc:title"]


def test_words_about_when_a_property_has_parts_then_they_stay_inside_it():
    place = '<rdf:Description dc:title="no title" e:City="Graz"/>'
    inside = f"<e:LocationCreated><rdf:Bag><rdf:li>{place}</rdf:li></rdf:Bag></e:LocationCreated>"
    words = found(packet(inside=inside))
    assert set(words) == {"Iptc4xmpExt:LocationCreated"}
    assert "Graz" in words["Iptc4xmpExt:LocationCreated"]


def test_words_about_when_there_are_sidecars_then_the_nearest_name_wins(tmp_path: Path):
    raw = tmp_path / "shot.dng"
    inside = packet('xmp:Rating="1" xmp:Label="Red"')
    assert set(found(inside, raw)) == {"xmp:Rating", "xmp:Label"}
    (tmp_path / "shot.xmp").write_bytes(packet('xmp:Rating="2"', TITLE))
    words = found(inside, raw)
    assert ">2<" in words["xmp:Rating"] and ">Red<" in words["xmp:Label"] and "dc:title" in words
    (tmp_path / "shot.dng.xmp").write_bytes(packet('xmp:Rating="3"'))
    assert ">3<" in found(inside, raw)["xmp:Rating"]
    (tmp_path / "other.xmp").write_bytes(packet('xmp:Rating="5"'))
    assert ">3<" in found(b"", raw)["xmp:Rating"]


def test_words_about_when_a_packet_is_utf_16_or_padded_then_it_is_read():
    assert set(found(packet('xmp:Rating="4"') + b"\0\0")) == {"xmp:Rating"}
    wide = ('<?xml version="1.0" encoding="UTF-16"?>' + packet('xmp:Rating="4"').decode()).encode("utf-16")
    assert set(found(wide)) == {"xmp:Rating"}
    assert found(b"") == found(b"\0\0") == {}
    assert found(b'<?xpacket begin="" id="W5M0"?>   <?xpacket end="w"?>') == {}


def test_words_about_when_names_differ_by_case_or_are_too_long_then_nothing_is_read_twice(
    tmp_path: Path,
):
    (tmp_path / "shot.xmp").write_bytes(b"<x")
    os.link(tmp_path / "shot.xmp", tmp_path / "shot.XMP")  # what a disk that ignores case shows
    notes: list[str] = []
    assert words_about(tmp_path / "shot.dng", b"", notes) == {} and len(notes) == 1
    assert found(packet('xmp:Rating="1"'), tmp_path / ("x" * 248 + ".dng")).keys() == {"xmp:Rating"}


def test_words_about_when_a_property_is_no_rdf_or_of_the_raw_alone_then_it_is_left_out():
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
    ids=["cut off", "binary", "entities", "huge", "unknown encoding", "deep"],
)
def test_words_about_when_it_is_no_xmp_then_a_note_says_so_and_the_rest_is_carried(
    tmp_path: Path, content: bytes
):
    raw = tmp_path / "shot.dng"
    (tmp_path / "shot.xmp").write_bytes(content)
    notes: list[str] = []
    assert set(words_about(raw, packet('xmp:Rating="1"'), notes)) == {"xmp:Rating"}
    (note,) = notes
    assert note.startswith(f"{tmp_path / 'shot.xmp'}: its XMP is not understood")
