"""What an application does over a DB-API module."""

import datetime
import decimal
import hashlib
import time

TEXT = "ü€😀 'quoted' \\ \"too\" %s"
JOBS = 'jobs("type"="insert")'
TASKS = 'tasks("type"="insert")'
PAUSE = "PAUSE JOB WHERE jobName = 'by_client'"
RESUME = "RESUME JOB WHERE jobName = 'by_client'"


def described(cursor, typed=False):
    columns = cursor.description or ()
    return ",".join(f"{name} {code}" if typed else name for name, code, *_ in columns)


def answers(cursor):
    """All results of what was just executed."""
    seen = []
    while True:
        seen.append(str(cursor.fetchall()) if cursor.description else f"count {cursor.rowcount}")
        if not cursor.nextset():
            return seen


def relay(client):
    """For a comparison of two ways to one server. Takes "doris" or "mysql", and works in the database `python`."""
    doris = client.argument == "doris"
    client.attempt("wrong password", lambda: client.module().connect(**client.arguments("wrong")))
    connection = client.module().connect(**client.arguments())
    cursor = connection.cursor()

    def query(sql, values=None):
        cursor.execute(sql, values)
        return cursor.fetchall()

    def session():
        client.say("session", connection.get_server_info(), query("select current_user(), database(), @@autocommit"))
        connection.ping()
        connection.select_db("python")
        client.say("database", query("select database()"))

    def texts():
        cursor.execute("select 1, -1, 9223372036854775807, 1.50, 'text', '', null")
        client.say("texts", described(cursor, True), cursor.fetchall())
        client.say("no rows", query("select 1 from (select 1 as x) t where x > 1"))

    def parameters():
        rest = (
            " unique key(id) distributed by hash(id) buckets 1 properties ('replication_num' = '1')"
            if doris
            else " charset utf8mb4"
        )
        more = "s varchar(200), t string)" if doris else "primary key (id), s varchar(200), t longtext, b longblob, ti time(3))"
        cursor.execute(
            f"create table kinds (id int not null, i bigint, d decimal(20,5), f double, bo boolean, dt datetime(6), da date, {more}{rest}"
        )
        insert = "insert into kinds (id, i, d, f, bo, dt, da, s, t) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
        values = (1, -(2**63), decimal.Decimal("-12345.67891"), 0.1, True, moment, datetime.date(1970, 1, 1), TEXT, "long " * 1000)
        client.say("inserted", cursor.execute(insert, values), cursor.lastrowid)
        client.say("inserted again", cursor.execute(insert, (2,) + (None,) * 8))
        connection.commit()
        cursor.execute("select * from kinds where id in (%s, %s) order by id limit %s", (1, 2, 10))
        client.say("selected", described(cursor, True), cursor.fetchall())
        client.say("named", query("select id from kinds where s = %(s)s", {"s": TEXT}))

    def batch():
        rest = (
            " duplicate key(id) distributed by hash(id) buckets 1 properties ('replication_num' = '1')"
            if doris
            else ", primary key (id)"
        )
        cursor.execute(f"create table batch (id int not null, s varchar(50){')' + rest if doris else rest + ')'}")
        count = 20 if doris else 500
        rows = [(i, None if i % 7 == 0 else f"row {i}") for i in range(count)]
        client.say("batch", cursor.executemany("insert into batch (id, s) values (%s, %s)", rows))
        connection.commit()
        client.say("batch read", query("select count(*), count(s), min(id), max(id) from batch"))

    def streamed():
        """Rows that are read while they arrive."""
        unbuffered = client.module().cursors.SSCursor(connection)
        unbuffered.execute("select id, s from batch order by id")
        first = unbuffered.fetchmany(3)
        client.say("streamed", first, len(unbuffered.fetchall()))
        unbuffered.execute("select id from batch where id < 0")
        client.say("streamed none", unbuffered.fetchall())
        unbuffered.close()
        client.say("after the stream", query("select 1"))

    def several():
        change = "set query_timeout = " if doris else "set @x = "
        cursor.execute(f"select 1 as a; {change}1; select 2 as b, 3 as c; select id from batch where id < 3")
        client.say("several statements", answers(cursor))
        client.attempt("several with an error", lambda: (cursor.execute(f"{change}2; selec; {change}3"), answers(cursor)))
        client.say("after the error", query("select 1"))

    def transaction():
        cursor.execute("insert into batch values (1001, 'kept')")
        connection.commit()
        cursor.execute("delete from batch")
        connection.rollback()
        client.say("transaction", query("select count(*) from batch"))
        connection.autocommit(True)
        client.say("autocommit", query("select @@autocommit"))

    def blob():
        data = bytes(range(256)) * 300
        cursor.execute("insert into kinds (id, b, ti) values (%s, %s, %s)", (10, data, datetime.timedelta(hours=-30, seconds=5)))
        ((read, duration),) = query("select b, ti from kinds where id = 10")
        client.say("blob", hashlib.sha256(read).digest() == hashlib.sha256(data).digest(), duration)
        # Longer than a packet can be, once for each driver.
        ((big,),) = query("select repeat('ü', %s)", (9_000_000 if "multi" in client.options else 200_000,))
        client.say("large", len(big))

    def procedure():
        cursor.execute("create procedure twice(in a int) begin select a as first; select a * 2 as second, 'x' as x; end")
        cursor.callproc("twice", (21,))
        client.say("procedure", answers(cursor))

    def errors():
        client.attempt("error of a text", lambda: cursor.execute("selec 1"))
        client.attempt("error of a table", lambda: cursor.execute("select * from nowhere"))
        if not doris:
            client.attempt("error of a duplicate", lambda: cursor.execute("insert into batch values (1, 'again')"))
            client.say("warnings", cursor.execute("insert ignore into batch values (1, 'again')"), query("show warnings"))

    cursor.execute("drop database if exists python")
    cursor.execute("create database python")
    for case in [session, texts, parameters, batch, streamed, errors]:
        client.attempt(case.__name__, case)
    if "multi" in client.options:
        client.attempt("several statements", several)
    if not doris:
        for case in [transaction, blob, procedure]:
            client.attempt(case.__name__, case)
    connection.close()


def job(client):
    """The life of a job. Takes a folder with `create.sql` and `alter.sql` for a job that is called `by_client`."""
    create, alter = (open(f"{client.argument}/{name}.sql", encoding="utf-8").read() for name in ("create", "alter"))
    connection = client.module().connect(**client.arguments())
    cursor = connection.cursor()

    def query(sql, values=None):
        cursor.execute(sql, values)
        return cursor.fetchall()

    def status():
        rows = query(f"select Name, Status from {JOBS} where Name = %s and ExecuteType = %s", ("by_client", "STREAMING"))
        return rows[0][1] if rows else "no row"

    def await_running():
        for _ in range(1000):
            if status() == "RUNNING":
                break
            time.sleep(0.01)
        client.say("status", status())

    cursor.execute("DROP JOB IF EXISTS WHERE jobName = 'by_client'")
    cursor.execute(create)
    client.attempt("refused", lambda: cursor.execute(create))
    client.attempt("unknown job", lambda: cursor.execute("PAUSE JOB WHERE jobName = %s", ("nobody",)))
    status()
    client.say("columns", described(cursor))
    await_running()
    client.attempt("alter refused", lambda: cursor.execute(alter))
    cursor.execute(PAUSE)
    client.say("paused", status())
    cursor.execute(alter)
    cursor.execute(RESUME)
    await_running()
    tasks = ()
    for _ in range(1000):
        tasks = query(
            f"select TaskId, Status from {TASKS} where JobName = %s and Status = 'SUCCESS' order by TaskId limit %s",
            ("by_client", 1),
        )
        if tasks:
            break
        time.sleep(0.01)
    client.say("task", tasks[0][1] if tasks else "none")
    rows = query(f"select * from {JOBS}")
    client.say("all", f"{len(rows)} {described(cursor)}")
    values = ("by_client", None, 1, "", 1000.5, 10)
    sql = f"select Name from {JOBS} where Name in (%s, %s) and Id > %s and Comment = %s and FailedTaskCount < %s limit %s"
    client.say("parameters", ",".join(name for (name,) in query(sql, values)))
    ((name, count),) = query(
        f"select j.Name as n, count(*) as c from {JOBS} j join {TASKS} k on j.Id = k.JobId "
        "where j.Name = %s and k.Status = %s group by j.Name limit %s",
        ("by_client", "SUCCESS", 5),
    )
    client.say("joined", f"{described(cursor)} {name} {str(count > 0).lower()}")
    rows = query(f"select * from {TASKS} limit 1")
    client.say("tasks", described(cursor, True), len(rows))
    unbuffered = client.module().cursors.SSDictCursor(connection)
    unbuffered.execute(f"select Name, Status from {JOBS}")
    client.say("streamed", unbuffered.fetchall())
    unbuffered.close()
    if "multi" in client.options:
        cursor.execute(f"{PAUSE}; select Name, Status from {JOBS}; select 1 as one; {RESUME}")
        client.say("several", *answers(cursor))
    connection.rollback()
    cursor.execute("DROP JOB WHERE jobName = 'by_client'")
    ((left,),) = query(f"select count(*) from {JOBS}")
    client.say("left", left)
    connection.close()
