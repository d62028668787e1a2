"""Damaged, foreign and newer files: an error that says what is wrong and what to do, and a file left as it was."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

import gpbo
from gpbo.storage import records, schema

SPACE = gpbo.Space({"x": gpbo.Float(0, 1), "y": gpbo.Int(0, 9)})


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A closed study of 40 trials, and its record."""
    path = tmp_path_factory.mktemp("sound") / "study.db"
    opt = gpbo.Optimizer(SPACE, seed=0, n_initial=6, storage=path)
    for i in range(8):
        batch = opt.ask(5)
        opt.tell(batch, np.arange(5.0) + i)
    opt.close()
    assert [file.name for file in path.parent.iterdir()] == ["study.db"]
    return path, [(t.params, t.value) for t in opt.history]


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copy(sound[0], tmp_path / "study.db")


def digest(path):
    return hashlib.blake2b(path.read_bytes()).hexdigest()


def refused(path, kind, message):
    """Opening fails with this error, in both ways, and leaves the file alone."""
    before = digest(path)
    for call in (lambda: gpbo.Optimizer.open(path), lambda: gpbo.Optimizer(SPACE, n_initial=6, storage=path)):
        with pytest.raises(kind, match=message) as caught:
            call()
        assert str(path) in str(caught.value)
        assert isinstance(caught.value, gpbo.StorageError)
        assert len(str(caught.value)) < 400
    assert digest(path) == before


def change(path, statement, *values):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99, 0.9999])
def test_a_truncated_file(copy, share):
    size = copy.stat().st_size
    os.truncate(copy, int(size * share))
    refused(copy, gpbo.CorruptStudyError, "damaged")


@pytest.mark.parametrize("size", [1, 15, 16, 100, 5000, 100_000])
def test_random_bytes(copy, size):
    copy.write_bytes(np.random.default_rng(size).bytes(size))
    refused(copy, gpbo.CorruptStudyError, "is no SQLite database")


def test_a_header_and_nothing_after_it(copy):
    copy.write_bytes(copy.read_bytes()[:100])
    refused(copy, gpbo.StorageError, "damaged|no SQLite")


def test_a_schema_that_is_no_text(copy):
    """SQLite's message quotes the name, which Python cannot decode then."""
    content = copy.read_bytes()
    before = b"tablegpbo_eventsgpbo_events"
    assert content.count(before) == 1
    content = content.replace(before, before.replace(b"gpbo_", b"gpbo\xe4", 1))
    copy.write_bytes(content.replace(b"CREATE TABLE gpbo_events", b"CREATE TABEL gpbo_events"))
    refused(copy, gpbo.CorruptStudyError, "damaged")


def test_any_changed_byte_is_found_or_harmless(sound, tmp_path):
    """A change is noticed when the study is opened, or fell on a byte without a meaning: the study is as before."""
    path, history = sound
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    found = 0
    for turn, place in enumerate(rng.integers(0, len(content), 150)):
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        copy = tmp_path / f"{turn}.db"
        copy.write_bytes(damaged)
        try:
            opt = gpbo.Optimizer.open(copy)
        except gpbo.StorageError:
            found += 1
        else:
            assert [(t.params, t.value) for t in opt.history] == history
            opt.close()
        for file in tmp_path.iterdir():
            file.unlink()
    assert found > 15


@pytest.mark.parametrize("table", ["gpbo_events", "gpbo_studies", "gpbo_states"])
def test_one_changed_digit(copy, table):
    column = "description" if table == "gpbo_studies" else "payload"
    connection = sqlite3.connect(copy)
    (text,) = connection.execute(f"SELECT {column} FROM {table} LIMIT 1").fetchone()
    connection.close()
    changed = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), text, count=1)
    change(copy, f"UPDATE {table} SET {column} = ? WHERE {column} = ?", changed, text)
    refused(copy, gpbo.CorruptStudyError, "does not fit its checksum")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM gpbo_events WHERE seq = 3", "event 3 is missing"),
        ("DELETE FROM gpbo_events WHERE seq > 10", "its last events are missing"),
        ("UPDATE gpbo_events SET seq = seq + 100 WHERE seq = 16", "event 16 is missing"),
        ("UPDATE gpbo_events SET kind = 'add' WHERE seq = 2", "event 2 does not fit"),
        ("UPDATE gpbo_events SET payload = NULL, checksum = 7 WHERE seq = 2", "NOT NULL|event 2"),
        ("UPDATE gpbo_studies SET events = 15", "last events"),
        ("UPDATE gpbo_studies SET name = 'default', checksum = 'x'", "description does not fit"),
        ("DROP TABLE gpbo_states", "table gpbo_states is missing"),
        ("ALTER TABLE gpbo_events RENAME COLUMN payload TO content", "lacks column 'payload'"),
        ("DELETE FROM gpbo_format", "format version cannot be read"),
        ("UPDATE gpbo_format SET version = 0", "format version cannot be read"),
    ],
)
def test_rows_and_tables_that_were_tampered_with(copy, statement, message):
    try:
        change(copy, statement)
    except sqlite3.IntegrityError:
        return
    refused(copy, gpbo.CorruptStudyError, message)


def test_a_newer_format(copy):
    change(copy, "UPDATE gpbo_format SET version = ?", schema.FORMAT + 1)
    refused(copy, gpbo.StudyVersionError, f"has format {schema.FORMAT + 1}, .* Install a newer gpbo")


def test_the_file_of_another_program(tmp_path):
    path = tmp_path / "study.db"
    change(path, "CREATE TABLE trials (id INTEGER)")
    refused(path, gpbo.StudyVersionError, r"another program \(trials\)")


def test_a_wrong_study_name(copy):
    before = digest(copy)
    with pytest.raises(gpbo.StudyNotFoundError, match=r"there is no study 'other'; it holds 'default'"):
        gpbo.Optimizer.open(copy, "other")
    assert digest(copy) == before


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(gpbo.StudyNotFoundError, match="there is no such file"):
        gpbo.Optimizer.open(tmp_path / "study.db")
    assert not list(tmp_path.iterdir())


def test_an_empty_file_is_a_new_one(tmp_path):
    path = tmp_path / "study.db"
    path.touch()
    with pytest.raises(gpbo.StudyNotFoundError, match="holds no studies yet"):
        gpbo.Optimizer.open(path)
    gpbo.Optimizer(SPACE, storage=path)


def test_a_directory_and_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(gpbo.StorageError, match="is a directory"):
        gpbo.Optimizer(SPACE, storage=tmp_path)
    with pytest.raises(gpbo.StorageError, match="Create it first"):
        gpbo.Optimizer(SPACE, storage=tmp_path / "a" / "study.db")


HOSTILE = [
    {"parameters": [["x", "__import__('os').system('touch pwned')", {}]]},
    {"parameters": [["x", "float", {"low": "0", "high": [], "log": 3, "step": {}}]]},
    {"parameters": {"x": None}, "unnamed": []},
    {"parameters": [["x", "categorical", {"choices": [{"py/object": "os.system"}], "ordered": False}]]},
    [],
    "cos\nsystem\n(S'touch pwned'\ntR.",
]


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_descriptions_with_right_checksums_do_nothing(copy, payload, monkeypatch):
    monkeypatch.chdir(copy.parent)
    text = json.dumps(payload)
    change(copy, "UPDATE gpbo_studies SET description = ?, checksum = ?", text, records.checksum(1, "default", text))
    refused(copy, gpbo.CorruptStudyError, "description cannot be read")
    assert not (copy.parent / "pwned").exists()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("ask", '{"codes":[["a"]]}'),
        ("ask", '{"codes":[[0.5,1e400]]}'),
        ("tell", '{"ids":[999],"values":[1.0],"noise":[null],"reasons":[""]}'),
        ("tell", '{"ids":"__import__","values":{}}'),
        ("lease", "{}"),
        ("forget", '{"ids":[-1]}'),
        ("os.system", '{"ids":[0]}'),
        ("ask", "[" * 5000 + "]" * 5000),
        ("ask", "cos\nsystem\n(S'id'\ntR."),
        ("ask", "null"),
    ],
)
def test_hostile_events_with_right_checksums_do_nothing(copy, kind, text):
    connection = sqlite3.connect(copy)
    last, head = connection.execute("SELECT events, head FROM gpbo_studies").fetchone()
    connection.close()
    digest = records.checksum(head, last + 1, kind, text)
    change(copy, "INSERT INTO gpbo_events VALUES (1, ?, ?, ?, ?)", last + 1, kind, text, digest)
    change(copy, "UPDATE gpbo_studies SET events = ?, head = ?", last + 1, digest)
    refused(copy, gpbo.CorruptStudyError, "make no sense|cannot be read")


def test_a_file_replaced_under_a_running_study(copy, tmp_path):
    opt = gpbo.Optimizer.open(copy)
    batch = opt.ask()
    copy.rename(tmp_path / "moved.db")
    with pytest.raises(gpbo.StorageError, match="removed or replaced"):
        opt.tell(batch, [1.0])
    assert opt.pending.ids == batch.ids
    (tmp_path / "moved.db").rename(copy)
    opt.tell(batch, [1.0])


def test_an_older_copy_put_in_place_of_a_running_study(copy):
    opt = gpbo.Optimizer.open(copy)
    opt.ask()
    change(copy, "DELETE FROM gpbo_events WHERE seq = 17")
    change(copy, "UPDATE gpbo_studies SET events = 16, head = (SELECT checksum FROM gpbo_events WHERE seq = 16)")
    with pytest.raises(gpbo.CorruptStudyError, match="an older copy"):
        opt.ask()


READ_ONLY = """
import os, sys, tempfile, gpbo
gpbo.Optimizer({"x": gpbo.Float(0, 1)}, storage=tempfile.mkdtemp() + "/warm.db").ask()  # imports all while it can
os.setgid(65534); os.setuid(65534)
for call in (gpbo.Optimizer.open, lambda path: gpbo.Optimizer({"x": gpbo.Float(0, 1)}, storage=path)):
    try:
        call(sys.argv[1])
    except gpbo.StorageError as error:
        print(error)
"""


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_read_only_file(copy, what):
    if os.getuid() == 0:
        top = copy.parent
        while top != top.parent:  # pytest's directories are private
            top.chmod(top.stat().st_mode | 0o055)
            top = top.parent
        prefix = READ_ONLY
    else:
        prefix = READ_ONLY.replace("os.setgid(65534); os.setuid(65534)\n", "")
    copy.chmod(0o444 if what == "file" else 0o666)
    copy.parent.chmod(0o777 if what == "file" else 0o555)
    before = digest(copy)
    try:
        run = subprocess.run([sys.executable, "-c", prefix, copy], capture_output=True, text=True, cwd=copy.parent)
    finally:
        copy.parent.chmod(0o755)
    assert run.stdout.count("is read-only. Make the file and its directory writable") == 2, run.stderr
    assert digest(copy) == before
