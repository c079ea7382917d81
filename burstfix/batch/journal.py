"""The journal of an output folder: which burst is in which state, so that a killed run goes on.

SQLite in WAL mode, flushed at every commit. A burst is recorded as running, with the name of its picture,
before any work; the picture is moved into place whole; then the burst is recorded as done. Killed anywhere
in between, the next run finds it running and knows that the picture of that name, if any, is its own.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from burstfix.errors import OutputError

FILE_NAME = "burstfix.sqlite"
VERSION = 2  # 1 also kept of files that they could not be read
_FLUSH_SECONDS = 0.2

State = Literal["running", "done", "failed"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bursts (
    key TEXT PRIMARY KEY,        -- FoundBurst.key, or superseded_key
    name TEXT NOT NULL,          -- for people
    inputs TEXT NOT NULL,        -- sha256 over the frames' content
    settings TEXT NOT NULL,      -- sha256 over the settings that change the picture
    layout TEXT NOT NULL,        -- the pattern that the picture's name was made from
    state TEXT NOT NULL,         -- running, done or failed
    output TEXT NOT NULL,        -- path in the output folder
    stamp TEXT,                  -- the picture's size and time when written
    started REAL NOT NULL,       -- seconds since 1970
    ended REAL,
    error TEXT,
    exit_code INTEGER,           -- that `burstfix merge` would have given
    frames TEXT NOT NULL,        -- paths, as JSON
    facts TEXT                   -- what the summary shows, as JSON
);
CREATE TABLE IF NOT EXISTS files (
    path TEXT NOT NULL,
    kind TEXT NOT NULL,          -- facts, thumb or sha256
    stamp TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (path, kind)
);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal says of a burst; the fields are those of the table."""

    key: str
    name: str
    inputs: str
    settings: str
    layout: str
    state: State
    output: str
    stamp: str | None
    started: float
    ended: float | None
    error: str | None
    exit_code: int | None
    frames: tuple[str, ...]
    facts: Mapping[str, Any]


class JournalError(OutputError):
    """The journal itself cannot be used: no burst can go on."""


class Journal:
    """An open journal. Every change is on disk when its method returns."""

    def __init__(self, folder: Path) -> None:
        """Opens or creates the journal of an output folder.

        Raises:
            OutputError: It cannot be written, is damaged, or is of a newer burstfix.
        """
        self.path = folder / FILE_NAME
        self._begun = 0.0
        with self._complaining():
            self._db = sqlite3.connect(self.path, timeout=10.0, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise OutputError(
                    f"{self.path}: is the journal of a newer burstfix; use that, or another folder"
                )
            self._db.executescript(_SCHEMA)
            if version < VERSION:
                self._db.execute("DELETE FROM files")  # it is read again
            self._db.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def entry(self, key: str) -> Entry | None:
        """A burst's entry by its key."""
        return self._one("SELECT * FROM bursts WHERE key = ?", key)

    def same_inputs(self, inputs: str, settings: str) -> Entry | None:
        """A finished burst of the same content and settings under another path (a card mounted anew)."""
        return self._one(
            "SELECT * FROM bursts WHERE inputs = ? AND settings = ? AND state = 'done'", inputs, settings
        )

    def entries(self) -> list[Entry]:
        """All bursts, by name."""
        with self._complaining():
            return [_entry(row) for row in self._db.execute("SELECT * FROM bursts ORDER BY name, key")]

    def start(
        self, key: str, *, name: str, inputs: str, settings: str, layout: str, output: str, frames: list[str]
    ) -> None:
        """Records that a burst is being worked on, and where its picture will be."""
        with self._complaining():
            self._do(
                "INSERT INTO bursts (key, name, inputs, settings, layout, state, output, started, frames)"
                " VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
                " name=excluded.name, inputs=excluded.inputs, settings=excluded.settings,"
                " layout=excluded.layout, state='running',"
                " stamp=CASE WHEN output=excluded.output THEN stamp END,"
                " output=excluded.output,"
                " started=excluded.started, ended=NULL, error=NULL, exit_code=NULL,"
                " frames=excluded.frames, facts=NULL",
                *(key, name, inputs, settings, layout, output, time.time(), json.dumps(frames)),
            )

    def finish(self, key: str, *, stamp: str, facts: Mapping[str, Any]) -> None:
        """Records that a burst's picture is in place."""
        with self._complaining():
            self._do(
                "UPDATE bursts SET state='done', stamp=?, ended=?, facts=? WHERE key=?",
                *(stamp, time.time(), json.dumps(facts), key),
            )

    def fail(self, key: str, *, error: str, exit_code: int) -> None:
        """Records why a burst could not be merged."""
        with self._complaining():
            self._do(
                "UPDATE bursts SET state='failed', ended=?, error=?, exit_code=? WHERE key=?",
                *(time.time(), error, exit_code, key),
            )

    def rename(self, old: str, key: str) -> None:
        """A finished burst is now found under another path."""
        with self._complaining():
            self._do("DELETE FROM bursts WHERE key=?", key)
            self._do("UPDATE bursts SET key=? WHERE key=?", key, old)

    def forget(self, key: str) -> None:
        """Forgets a burst."""
        with self._complaining():
            self._do("DELETE FROM bursts WHERE key=?", key)

    def get_value(self, path: Path, stamp: str, kind: str) -> str | None:
        """Returns what was read from a file, if the file has not changed since (see `raw_info.Cache`)."""
        with self._complaining():
            query = "SELECT value FROM files WHERE path=? AND kind=? AND stamp=?"
            row = self._do(query, str(path), kind, stamp).fetchone()
        return row[0] if row else None

    def put_value(self, path: Path, stamp: str, kind: str, value: str) -> None:
        """Stores what was read from a file."""
        with self._complaining():
            query = "INSERT OR REPLACE INTO files (path, kind, stamp, value) VALUES (?, ?, ?, ?)"
            self._do(query, str(path), kind, stamp, value)
            if self._db.in_transaction and time.monotonic() - self._begun > _FLUSH_SECONDS:
                self._db.execute("COMMIT")
                self._db.execute("BEGIN")
                self._begun = time.monotonic()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Writes what happens inside at once, but for what is kept of files: that a few times a second."""
        with self._complaining():
            self._db.execute("BEGIN")
            self._begun = time.monotonic()
            try:
                yield
            finally:
                # What was read stays true, whatever went wrong meanwhile.
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    def _one(self, query: str, *values: str) -> Entry | None:
        with self._complaining():
            row = self._do(query, *values).fetchone()
        return _entry(row) if row else None

    def _do(self, query: str, *values: str | float | None) -> sqlite3.Cursor:
        return self._db.execute(query, [_stored(value) for value in values])

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            text = str(error)
            damaged = "malformed" in text or "not a database" in text
            advice = (
                "remove it to begin anew"
                if damaged
                else ("free some space" if "full" in text else "make sure that its folder can be written to")
            )
            raise JournalError(f"{self.path}: the journal cannot be used ({error}); {advice}") from error


def read_entries(folder: Path) -> list[Entry]:
    """The journal's entries without changing or creating anything; none where there is no journal."""
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    # Where no run is at work or was killed, all is in the one file, and SQLite would make two more.
    mode = "ro" if path.with_name(f"{FILE_NAME}-wal").exists() else "ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return [_entry(row) for row in db.execute("SELECT * FROM bursts ORDER BY name, key")]
    except sqlite3.DatabaseError as error:
        raise JournalError(f"{path}: the journal cannot be read ({error})") from error


def _stored(value: str | float | None) -> str | float | bytes | None:
    """SQLite's text is UTF-8; names of files need not be, and those that are not go in as bytes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    return value


def _entry(row: sqlite3.Row) -> Entry:
    values: dict[str, Any] = {
        name: value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value
        for name, value in zip(row.keys(), row, strict=True)
    }
    values["frames"] = tuple(json.loads(values["frames"]))
    values["facts"] = json.loads(values["facts"]) if values["facts"] else {}
    return Entry(**values)
