"""The journal of an output folder. It stores the state of each burst, so that a killed run can be continued.

The journal is an SQLite database in WAL mode, flushed at every commit. Each burst takes these steps:

1. It is recorded as "running", with the name of its picture, before anything is written.
2. The finished picture is moved to its place.
3. The burst is recorded as "done".

If the run is killed between these steps, the next run finds the state "running" and may replace the picture
of that name. Attempts are recorded earlier, before a burst is read, because an attempt that never ended may
have run out of memory.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from burstfix.errors import OutputError

FILE_NAME = "burstfix.sqlite"
VERSION = 2  # version 1 also stored read errors in the table of files
_FLUSH_SECONDS = 0.2

State = Literal["running", "done", "failed"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bursts (
    key TEXT PRIMARY KEY,        -- FoundBurst.key, or superseded_key
    name TEXT NOT NULL,          -- name in messages
    inputs TEXT NOT NULL,        -- SHA-256 of the frames' content
    settings TEXT NOT NULL,      -- SHA-256 of the settings that change the picture
    layout TEXT NOT NULL,        -- pattern of the picture's name
    state TEXT NOT NULL,         -- running, done or failed
    output TEXT NOT NULL,        -- path in the output folder
    stamp TEXT,                  -- size and time of the picture when written
    started REAL NOT NULL,       -- seconds since 1970
    ended REAL,
    error TEXT,
    exit_code INTEGER,           -- as returned by `burstfix merge`
    frames TEXT NOT NULL,        -- paths, as JSON
    facts TEXT                   -- Outcome.result, as JSON
);
CREATE TABLE IF NOT EXISTS files (
    path TEXT NOT NULL,
    kind TEXT NOT NULL,          -- facts, thumb or sha256
    stamp TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (path, kind)
);
CREATE TABLE IF NOT EXISTS attempts (
    key TEXT PRIMARY KEY,        -- FoundBurst.key
    inputs TEXT NOT NULL,
    count INTEGER NOT NULL       -- attempts that have started and not ended
);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table of bursts; `result` is its column "facts"."""

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
    result: Mapping[str, Any]


class JournalError(OutputError):
    """The journal cannot be used, so no burst can be merged."""


class Journal:
    """An open journal. Changes are on disk when the method returns."""

    def __init__(self, folder: Path) -> None:
        """Open or create the journal of an output folder.

        Raises:
            OutputError: The journal cannot be written, is damaged, or was written by a newer burstfix.
        """
        self.path = folder / FILE_NAME
        self._begun = 0.0
        self._open_attempts: set[str] = set()
        with self._journal_errors():
            self._db = sqlite3.connect(self.path, timeout=10.0, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise OutputError(
                    f"{self.path}: was written by a newer version of burstfix; use that version, or choose "
                    "another output folder"
                )
            self._db.executescript(_SCHEMA)
            if version < VERSION:
                self._db.execute("DELETE FROM files")  # values are read again from the raws
            self._db.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def entry(self, key: str) -> Entry | None:
        """Return the entry of a burst, or None."""
        return self._select_entry("SELECT * FROM bursts WHERE key = ?", key)

    def same_inputs(self, inputs: str, settings: str) -> Entry | None:
        """Return a finished burst with the same content and settings, or None. Paths are not compared."""
        return self._select_entry(
            "SELECT * FROM bursts WHERE inputs = ? AND settings = ? AND state = 'done'", inputs, settings
        )

    def entries(self) -> list[Entry]:
        """Return all entries, sorted by name."""
        with self._journal_errors():
            return [_entry(row) for row in self._db.execute("SELECT * FROM bursts ORDER BY name, key")]

    def start(
        self, key: str, *, name: str, inputs: str, settings: str, layout: str, output: str, frames: list[str]
    ) -> None:
        """Record that a burst is running, and the name of its picture."""
        with self._journal_errors():
            self._execute(
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

    def finish(self, key: str, *, stamp: str, result: Mapping[str, Any]) -> None:
        """Record that a burst is done and its picture has been moved to its place."""
        with self._journal_errors():
            self._execute(
                "UPDATE bursts SET state='done', stamp=?, ended=?, facts=? WHERE key=?",
                *(stamp, time.time(), json.dumps(result), key),
            )

    def fail(self, key: str, *, error: str, exit_code: int) -> None:
        """Record why a burst could not be merged."""
        with self._journal_errors():
            self._execute(
                "UPDATE bursts SET state='failed', ended=?, error=?, exit_code=? WHERE key=?",
                *(time.time(), error, exit_code, key),
            )

    def rename(self, old: str, key: str) -> None:
        """Change the key of an entry; replace an existing entry with the new key."""
        with self._journal_errors():
            self._execute("DELETE FROM bursts WHERE key=?", key)
            self._execute("UPDATE bursts SET key=? WHERE key=?", key, old)

    def forget(self, key: str) -> None:
        """Remove an entry."""
        with self._journal_errors():
            self._execute("DELETE FROM bursts WHERE key=?", key)

    def get_value(self, path: Path, stamp: str, kind: str) -> str | None:
        """Return a stored value of a file if the file has not changed since; see `raw_info.Cache`."""
        with self._journal_errors():
            query = "SELECT value FROM files WHERE path=? AND kind=? AND stamp=?"
            row = self._execute(query, str(path), kind, stamp).fetchone()
        return row[0] if row else None

    def put_value(self, path: Path, stamp: str, kind: str, value: str) -> None:
        """Store a value of a file."""
        with self._journal_errors():
            query = "INSERT OR REPLACE INTO files (path, kind, stamp, value) VALUES (?, ?, ?, ?)"
            self._execute(query, str(path), kind, stamp, value)
            if self._db.in_transaction and time.monotonic() - self._begun > _FLUSH_SECONDS:
                self._db.execute("COMMIT")
                self._db.execute("BEGIN")
                self._begun = time.monotonic()

    def begin_attempt(self, key: str, inputs: str) -> None:
        """Record the start of an attempt to read and merge a burst; `end_attempts` records its end."""
        self._open_attempts.add(key)
        with self._journal_errors():
            self._execute(
                "INSERT INTO attempts VALUES (?, ?, 1) ON CONFLICT (key) DO UPDATE SET"
                " inputs=excluded.inputs, count=CASE WHEN inputs=excluded.inputs THEN count + 1 ELSE 1 END",
                *(key, inputs),
            )

    def end_attempts(self, key: str | None = None) -> None:
        """Record that the attempts to merge a burst have ended; None = all attempts of this run."""
        ended = [*self._open_attempts] if key is None else [key]
        for name in ended:
            self._open_attempts.discard(name)
            with self._journal_errors():
                self._execute("DELETE FROM attempts WHERE key=?", name)

    def attempts(self, key: str, inputs: str) -> int:
        """Return how many attempts to merge a burst with these inputs never ended."""
        with self._journal_errors():
            row = self._execute("SELECT count FROM attempts WHERE key=? AND inputs=?", key, inputs).fetchone()
        return row[0] if row else 0

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """Write all changes of the body in one transaction.

        Values of files are also written a few times a second.
        """
        with self._journal_errors():
            self._db.execute("BEGIN")
            self._begun = time.monotonic()
            try:
                yield
            finally:
                # Values of files are valid even if the body raised an exception.
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    def _select_entry(self, query: str, *values: str) -> Entry | None:
        with self._journal_errors():
            row = self._execute(query, *values).fetchone()
        return _entry(row) if row else None

    def _execute(self, query: str, *values: str | float | None) -> sqlite3.Cursor:
        return self._db.execute(query, [_stored(value) for value in values])

    @contextmanager
    def _journal_errors(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            text = str(error)
            damaged = "malformed" in text or "not a database" in text
            advice = (
                "remove the file to start again"
                if damaged
                else ("free some space" if "full" in text else "make sure that its folder can be written to")
            )
            raise JournalError(f"{self.path}: the journal cannot be used ({error}); {advice}") from error


def read_entries(folder: Path) -> list[Entry]:
    """Return the entries of a folder's journal without changing files; empty if there is no journal."""
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    # If there is no write-ahead log, all data is in one file, and "immutable" keeps SQLite from creating a
    # log.
    mode = "ro" if path.with_name(f"{FILE_NAME}-wal").exists() else "ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return [_entry(row) for row in db.execute("SELECT * FROM bursts ORDER BY name, key")]
    except sqlite3.DatabaseError as error:
        raise JournalError(
            f"{path}: the journal cannot be read ({error}); remove the file to start again"
        ) from error


def _stored(value: str | float | None) -> str | float | bytes | None:
    """Convert a value for SQLite, which stores text as UTF-8; other file names are stored as bytes."""
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
    facts = values.pop("facts")
    values["result"] = json.loads(facts) if facts else {}
    return Entry(**values)
