"""Reads the text of a PDF as our writer makes it: by each font's map from glyphs to characters."""

from __future__ import annotations

import re
import zlib

OBJECT = re.compile(rb"^(\d+) 0 obj\n(.*?)\nendobj", re.MULTILINE | re.DOTALL)
FONT = re.compile(rb"/(F\d+) (\d+) 0 R")
SHOWN = re.compile(rb"/(F\d+) [\d.]+ Tf|\(((?:\\.|[^\\)])*)\) Tj", re.DOTALL)
ESCAPES = {b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t", b"\\b": b"\b", b"\\f": b"\f"}


def objects_of(pdf: bytes) -> dict[int, bytes]:
    return {int(found[1]): found[2] for found in OBJECT.finditer(pdf)}


def stream_of(entry: bytes) -> bytes:
    head, _, rest = entry.partition(b"stream\n")
    data = rest.rsplit(b"\nendstream", 1)[0]
    return zlib.decompress(data) if b"FlateDecode" in head else data


def pages_of(pdf: bytes) -> list[str]:
    """The lines of each page, in the order in which they were written."""
    objects = objects_of(pdf)
    listed = next(entry for entry in objects.values() if b"/Type /Pages" in entry)
    kids = re.search(rb"/Kids \[(.*?)\]", listed, re.DOTALL)
    assert kids is not None
    return [page_of(objects, objects[int(number)]) for number in re.findall(rb"(\d+) 0 R", kids[1])]


def page_of(objects: dict[int, bytes], page: bytes) -> str:
    resources = objects[reference(page, b"Resources")]
    characters = {
        name: characters_of(stream_of(objects[reference(objects[int(font)], b"ToUnicode")]))
        for name, font in FONT.findall(resources)
    }
    lines, chosen = [], {}
    for found in SHOWN.finditer(stream_of(objects[reference(page, b"Contents")])):
        if found[1]:
            chosen = characters[found[1]]
        else:
            glyphs = unescaped(found[2])
            codes = [int.from_bytes(glyphs[at : at + 2], "big") for at in range(0, len(glyphs), 2)]
            lines.append("".join(chosen[code] for code in codes))
    return "\n".join(lines)


def unescaped(data: bytes) -> bytes:
    return re.sub(rb"\\(.)", lambda found: ESCAPES.get(found[0], found[1]), data, flags=re.DOTALL)


def characters_of(mapping: bytes) -> dict[int, str]:
    pairs = re.findall(rb"<([0-9A-F]{4})> <([0-9A-F]{4,8})>", mapping)
    return {
        int(code, 16): bytes.fromhex(shown.decode()).decode("utf-16-be") for code, shown in pairs
    }


def reference(entry: bytes, name: bytes) -> int:
    found = re.search(rb"/" + name + rb" (\d+) 0 R", entry)
    assert found is not None
    return int(found[1])
