"""A PostgreSQL server of our own on the loopback address, with several client processes."""

from __future__ import annotations

import getpass
import logging
import multiprocessing
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

import gpbo

SPACE = gpbo.Space({"x": gpbo.Float(0, 1, log=False), "kind": gpbo.Categorical(["a", None, (1, 2.5)])})
PASSWORD = "hunter2-" + secrets.token_hex(8)

pytestmark = pytest.mark.integration


def _program(name):
    found = shutil.which(name)
    if found:
        return found
    candidates = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(candidates[-1]) if candidates else None


def _missing(request, what):
    message = f"PostgreSQL is not tested: {what}"
    if request.config.getoption("--require-postgres"):
        pytest.fail(f"{message}, and --require-postgres was given", pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    """A running server: its directory, port, and functions that stop and start it."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        _missing(request, "no server is installed (apt-get install postgresql)")
    try:
        import psycopg
    except ImportError:
        _missing(request, "psycopg is not installed (pip install 'gpbo[postgres]')")
    user = getpass.getuser()
    if os.getuid() == 0:  # which PostgreSQL refuses to run as
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
    top = Path("/tmp") / f"gpbo-postgres-{secrets.token_hex(6)}"  # short and open to that user, unlike pytest's
    top.mkdir(mode=0o700)
    data, secret = top / "data", top / "password"
    secret.write_text(PASSWORD)
    as_user = {}
    if os.getuid() == 0:
        entry = pwd.getpwnam(user)
        os.chown(top, entry.pw_uid, entry.pw_gid)
        os.chown(secret, entry.pw_uid, entry.pw_gid)
        as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(
        [initdb, "-D", data, "-U", "owner", "--pwfile", secret, "--auth", "scram-sha-256", "-E", "UTF8", "--no-sync"],
        check=True, stdout=subprocess.DEVNULL, cwd=top, **as_user,
    )  # fmt: skip
    running = []

    def start():
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={top}", "-c", "fsync=off"]
        log = (top / "log").open("ab")
        running.append(
            subprocess.Popen([postgres, "-D", data, "-p", str(port), *options], stderr=log, cwd=top, **as_user)
        )
        log.close()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with psycopg.connect(f"postgresql://owner:{PASSWORD}@127.0.0.1:{port}/postgres"):
                    return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError((top / "log").read_text())

    def stop():
        """At once, as in a crash."""
        process = running.pop()
        process.send_signal(signal.SIGQUIT)
        process.wait(30)

    start()
    yield port, stop, start
    if running:
        stop()
    shutil.rmtree(top)


@pytest.fixture
def url(server):
    """A database of its own for each test."""
    import psycopg

    name = f"d{secrets.token_hex(6)}"
    base = f"postgresql://owner:{PASSWORD}@127.0.0.1:{server[0]}"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{base}/{name}"


def execute(url, statement):
    import psycopg

    with psycopg.connect(url) as connection:
        return connection.execute(statement)


def opened(url, **options):
    return gpbo.Optimizer(SPACE, seed=0, n_initial=options.pop("n_initial", 1000), storage=url, **options)


def test_stopping_halfway_changes_no_bit(url):
    def go(opt, n):
        points = []
        for _ in range(n):
            batch = opt.ask()
            points += batch.params
            opt.tell(batch, [(p["x"] - 0.3) ** 2 + (p["kind"] is None) for p in batch.params])
        return points

    straight = go(gpbo.Optimizer(SPACE, seed=0), 16)
    opt = opened(url, n_initial=None)
    points = go(opt, 8)
    opt.close()
    assert points + go(gpbo.Optimizer.open(url), 8) == straight
    assert len(gpbo.Optimizer.open(url).history) == 16


def work(url, count):
    opt = opened(url)
    for _ in range(count):
        batch = opt.ask(2)
        opt.tell(batch, batch.x[:, 0])
    opt.close()


def test_four_processes_share_a_study(url):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(url, 15)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    opt = gpbo.Optimizer.open(url)
    assert sorted(opt.history.ids) == list(range(120))
    assert all(trial.value == trial["x"] for trial in opt.history)


LOOP = """
import sys, gpbo
opt = gpbo.Optimizer.open(sys.argv[1], worker="w", lease=30)
while True:
    for trial in opt.ask(2):
        opt.tell(trial, trial["x"])
        print(trial.id, flush=True)
"""


@pytest.mark.slow
def test_a_killed_client_loses_nothing_and_blocks_nobody(url):
    opened(url)
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", LOOP, url], stdout=subprocess.PIPE, text=True)
        acknowledged = [process.stdout.readline() for _ in range(15)]
        process.kill()
        acknowledged += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        start = time.perf_counter()
        opt = gpbo.Optimizer.open(url)
        opt.tell(opt.ask(), [0.0])
        assert time.perf_counter() - start < 2.0
        assert {int(line) for line in acknowledged if line.endswith("\n")} <= set(opt.history.ids)
        assert len(set(opt.history.ids)) == len(opt.history)
        opt.close()


def test_leases_run_out(url):
    dead, heir = opened(url, lease=1000), opened(url, worker="heir")
    batch = dead.ask(2)
    assert heir.ask().ids == [2]
    dead.close()
    assert heir.ask(2).ids == batch.ids
    assert gpbo.Optimizer.open(url, worker="heir").ask(3).ids == [0, 1, 2]


def test_the_server_restarts(server, url):
    opt = opened(url)
    batch = opt.ask(2)
    server[1]()
    with pytest.raises(gpbo.StorageError) as caught:
        opt.tell(batch[0], 1.0)
    assert PASSWORD not in str(caught.value)
    assert opt.pending.ids == batch.ids
    server[2]()
    opt.tell(batch, [1.0, 2.0])
    assert gpbo.Optimizer.open(url).history.ids == batch.ids


@pytest.mark.parametrize("name", ["'; DROP TABLE gpbo_studies; --", "%s %(x)s :study", "研究 🚀", '"'])
def test_hostile_names_are_just_names(url, name):
    opt = gpbo.Optimizer({name: gpbo.Categorical([name, "\ud800\0"])}, storage=url, study=name, worker=name, lease=9)
    opt.fail(opt.ask(), reason="\0" + name)
    assert gpbo.Optimizer.open(url, name).history[0].reason == "\0" + name


@pytest.mark.parametrize(
    ("statement", "kind", "message"),
    [
        ("UPDATE gpbo_format SET version = 2", gpbo.StudyVersionError, "Install a newer gpbo"),
        ("UPDATE gpbo_events SET payload = replace(payload, '0', '1')", gpbo.CorruptStudyError, "checksum"),
        ("DELETE FROM gpbo_events WHERE seq = 2", gpbo.CorruptStudyError, "last events are missing"),
        ("ALTER TABLE gpbo_events DROP COLUMN kind", gpbo.CorruptStudyError, "lacks column 'kind'"),
        ("DROP TABLE gpbo_workers", gpbo.CorruptStudyError, "gpbo_workers is missing"),
    ],
)
def test_damage_is_noticed(url, statement, kind, message):
    opt = opened(url)
    opt.tell(opt.ask(), [1.0])
    opt.close()
    execute(url, statement)
    for call in (gpbo.Optimizer.open, opened):
        with pytest.raises(kind, match=message):
            call(url)


def test_other_tables_in_the_database_are_none_of_our_business(url):
    execute(url, "CREATE TABLE trials (id integer)")
    opened(url).ask()
    with pytest.raises(gpbo.StudyNotFoundError, match="it holds 'default'"):
        gpbo.Optimizer.open(url, "x")


def test_passwords_are_never_shown(url, capfd, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    opt = opened(url, lease=100)
    opt.tell(opt.ask(), [1.0])
    shown = [repr(opt), repr(opt._journal._study), str(opt._journal._study._database), repr(vars(opt))]
    shown.append(repr(vars(opt._journal._study._database)))
    wrong = [
        url.replace("@127.0.0.1", "@127.0.0.1:1", 1).replace(f":1:{url.split(':')[3].split('/')[0]}", ":1"),
        url.replace(PASSWORD, PASSWORD + "x"),
        url.rsplit("/", 1)[0] + "/nothing",
        f"postgresql://owner:{PASSWORD}@127.0.0.1:port/x",
        f"postgresql://owner@127.0.0.1:1/x?password={PASSWORD}",
        f"mysql://owner:{PASSWORD}@host/x",
    ]
    for one in wrong:
        with pytest.raises(gpbo.GpboError) as caught:
            gpbo.Optimizer.open(one)
        shown += traceback.format_exception(caught.value)
    output = "".join([*shown, *capfd.readouterr(), caplog.text])
    assert PASSWORD not in output
    assert "127.0.0.1" in output


def test_a_forked_child_has_connections_of_its_own(url):
    opt = opened(url, lease=100)
    opt.tell(opt.ask(), [1.0])
    child = os.fork()
    if not child:
        code = 1
        try:
            opt.tell(opt.ask(), [2.0])
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    opt.tell(opt.ask(), [3.0])
    assert opt.history.ids == [0, 1, 2]
