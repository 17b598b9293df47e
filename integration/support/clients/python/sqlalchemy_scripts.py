"""What an application does over SQLAlchemy."""

import datetime
import decimal
import importlib
import time

import sqlalchemy
from sqlalchemy import DECIMAL, Column, DateTime, Float, Integer, MetaData, String, Table, func, insert, select, text

JOBS = 'jobs("type"="insert")'
TASKS = 'tasks("type"="insert")'
TEXT = "ü€😀 'quoted' \\ \"too\" % :x"


def engine_of(client, database="", password=None, isolation=None):
    if client.client.startswith("doris"):
        importlib.import_module("doris_alchemy")  # It registers itself.
    url = sqlalchemy.URL.create(
        client.dialect(),
        username=client.user,
        password=client.password if password is None else password,
        host=client.host,
        port=client.port,
        database=database,
        query={"charset": "utf8mb4"},
    )
    arguments = {} if isolation is None else {"isolation_level": isolation}
    if "tls" in client.options:
        arguments["connect_args"] = {"ssl": client.arguments()["ssl"]}
    return sqlalchemy.create_engine(url, **arguments)


def relay(client):
    """For a comparison of two ways to one server. Takes "doris" or "mysql", and works in the database `alchemy`."""
    doris = client.argument == "doris"
    client.attempt("wrong password", lambda: engine_of(client, password="wrong").connect())
    with engine_of(client, isolation=None if doris else "AUTOCOMMIT").connect() as first:
        first.execute(text("drop database if exists alchemy"))
        first.execute(text("create database alchemy" + ("" if doris else " character set utf8mb4")))
    engine = engine_of(client, "alchemy")
    # The bare names are those of all dialects: each reads options with its own name in front.
    options = {
        "pydoris_distributed_by": "HASH(id)",
        "pydoris_buckets": 1,
        "pydoris_properties": {"replication_num": "1"},
    }
    items = Table(
        "items",
        MetaData(),
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("name", String(100)),
        Column("price", DECIMAL(20, 5)),
        Column("weight", Float),
        Column("made", DateTime),
        **(options if client.client == "pydoris" else {}),
    )

    def tables():
        if doris and client.client != "pydoris":
            with engine.begin() as connection:
                connection.execute(
                    text(
                        "create table items (id int not null, name varchar(100), price decimal(20,5), weight double, made datetime)"
                        " unique key(id) distributed by hash(id) buckets 1 properties ('replication_num' = '1')"
                    )
                )
        else:
            items.create(engine)
        inspector = sqlalchemy.inspect(engine)
        client.say("schemas", "alchemy" in inspector.get_schema_names())
        client.say("tables", inspector.get_table_names(), inspector.has_table("items"))
        client.attempt("error of a missing table", lambda: client.say("missing", inspector.has_table("nothing")))
        columns = [f"{each['name']} {each['type']} {each['nullable']}" for each in inspector.get_columns("items")]
        client.say("columns", *columns, inspector.get_pk_constraint("items"))

    def rows():
        made = datetime.datetime(2026, 1, 2, 3, 4, 5)
        row = {"name": TEXT, "price": decimal.Decimal("-1.50000"), "weight": 0.1, "made": made}
        with engine.begin() as connection:
            count = 20 if doris else 300
            connection.execute(insert(items), [{"id": i, **row} for i in range(count)])
            connection.execute(insert(items), {"id": 1000, "name": None, "price": None, "weight": None, "made": None})
        with engine.connect() as connection:
            client.say("count", connection.execute(select(func.count(), func.max(items.c.id)).select_from(items)).all())
            query = select(items).where(items.c.name == TEXT, items.c.id.in_([3, 5, 7])).order_by(items.c.id).limit(2)
            client.say("selected", *connection.execute(query).all())
            streamed = connection.execution_options(stream_results=True).execute(select(items.c.id).order_by(items.c.id))
            client.say("streamed", streamed.fetchmany(3), len(streamed.all()))
            client.say("mapped", *connection.execute(text("select name, made from items where id = :id"), {"id": 1000}).mappings())

    def transaction():
        with engine.connect() as connection:
            with connection.begin() as outer:
                connection.execute(items.delete())
                outer.rollback()
            with connection.begin():
                nested = connection.begin_nested()
                connection.execute(items.delete())
                nested.rollback()
                connection.execute(items.update().where(items.c.id == 1).values(name="changed"))
            client.say("transaction", connection.execute(text("select count(*), max(name) from items")).all())

    def errors():
        with engine.connect() as connection:
            client.attempt("error of a text", lambda: connection.execute(text("selec 1")))
        with engine.connect() as connection:
            client.attempt("error of a table", lambda: connection.execute(text("select * from nowhere")))

    for case in [tables, rows, errors] + ([] if doris else [transaction]):
        client.attempt(case.__name__, case)
    engine.dispose()


def job(client):
    """The life of a job. Takes a folder with `create.sql` and `alter.sql` for a job that is called `by_client`."""
    create, alter = (open(f"{client.argument}/{name}.sql", encoding="utf-8").read() for name in ("create", "alter"))
    engine = engine_of(client)

    def execute(sql, **values):
        """In a connection of the pool: it begins with what the dialect asks, and ends with a rollback."""
        with engine.connect() as connection:
            # A colon in a URL is no parameter.
            result = connection.execute(text(sql.replace("jdbc:", "jdbc\\:")), values)
            return (list(result.keys()), result.all()) if result.returns_rows else ([], [])

    def status():
        _, rows = execute(f"select Name, Status from {JOBS} where Name = :name and ExecuteType = :kind", name="by_client", kind="STREAMING")
        return rows[0].Status if rows else "no row"

    def await_running():
        for _ in range(1000):
            if status() == "RUNNING":
                break
            time.sleep(0.01)
        client.say("status", status())

    execute("DROP JOB IF EXISTS WHERE jobName = 'by_client'")
    execute(create)
    client.attempt("refused", lambda: execute(create))
    client.attempt("unknown job", lambda: execute("PAUSE JOB WHERE jobName = :name", name="nobody"))
    client.say("columns", ",".join(execute(f"select Name, Status from {JOBS}")[0]))
    await_running()
    client.attempt("alter refused", lambda: execute(alter))
    execute("PAUSE JOB WHERE jobName = :name", name="by_client")
    client.say("paused", status())
    execute(alter)
    execute("RESUME JOB WHERE jobName = :name", name="by_client")
    await_running()
    tasks = []
    for _ in range(1000):
        _, tasks = execute(
            f"select TaskId, Status from {TASKS} where JobName = :name and Status = 'SUCCESS' order by TaskId limit :n", name="by_client", n=1
        )
        if tasks:
            break
        time.sleep(0.01)
    client.say("task", tasks[0].Status if tasks else "none")
    columns, rows = execute(f"select * from {JOBS}")
    client.say("all", f"{len(rows)} {','.join(columns)}")
    sql = f"select Name from {JOBS} where Name in (:a, :b) and Id > :id and Comment = :c and FailedTaskCount < :f limit :n"
    _, rows = execute(sql, a="by_client", b=None, id=1, c="", f=1000.5, n=10)
    client.say("parameters", ",".join(row.Name for row in rows))
    columns, ((name, count),) = execute(
        f"select j.Name as n, count(*) as c from {JOBS} j join {TASKS} k on j.Id = k.JobId "
        "where j.Name = :name and k.Status = :status group by j.Name limit :n",
        name="by_client",
        status="SUCCESS",
        n=5,
    )
    client.say("joined", f"{','.join(columns)} {name} {str(count > 0).lower()}")
    # pandas.read_sql asks first whether the query is the name of a table: that is Doris' to say, whatever the name looks like.
    inspector = sqlalchemy.inspect(engine)
    client.attempt("name", lambda: client.say("name", inspector.has_table(f"select * from {JOBS}", schema="information_schema")))
    # A table expression that SQLAlchemy itself puts together.
    jobs = select(text("Name, Status")).select_from(text(JOBS)).where(text("Name = :name"))
    with engine.connect() as connection:
        client.say("built", *connection.execute(jobs, {"name": "by_client"}).all())
    execute("DROP JOB WHERE jobName = :name", name="by_client")
    client.say("left", execute(f"select count(*) from {JOBS}")[1][0][0])
    engine.dispose()
