"""Write the JSON Schemas of all documents: `python docs/schema.py` (what `make schema` runs).

A test compares the files in docs/schema with the types in burstfix/records.
"""

from __future__ import annotations

import json
from pathlib import Path

from burstfix.records import DOCUMENTS, schema_name, schema_of

FOLDER = Path(__file__).parent / "schema"


def files() -> dict[Path, str]:
    """Return the content of each schema file."""
    schemas = {schema_name(kind): schema_of(kind) for kind in DOCUMENTS}
    return {FOLDER / f"{name}.json": json.dumps(one, indent=2) + "\n" for name, one in schemas.items()}


def main() -> int:
    """Write every schema and remove those of documents that no longer exist."""
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for path in FOLDER.glob("*.json"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
