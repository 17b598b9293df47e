"""The life of a job over PyMySQL: job_client.py HOST PORT USER FILE, the file with CREATE JOB for a job called `by_client`."""

import sys
import time

import pymysql

JOBS = 'jobs("type"="insert")'
TASKS = 'tasks("type"="insert")'


def say(what, text):
    print(f"{what}: {text}")


def main(host, port, user, file):
    create = open(file, encoding="utf-8").read()
    connection = pymysql.connect(host=host, port=int(port), user=user, password="")
    cursor = connection.cursor()

    def status():
        cursor.execute(f"select Name, Status from {JOBS} where Name = %s and ExecuteType = %s", ("by_client", "STREAMING"))
        row = cursor.fetchone()
        return "no row" if row is None else row[1]

    def await_status(wanted):
        for _ in range(600):
            if status() == wanted:
                break
            time.sleep(0.05)
        say("status", status())

    cursor.execute(create)
    try:
        cursor.execute(create)
    except pymysql.MySQLError as refused:
        say("refused", f"{refused.args[0]} {refused.args[1]}")
    status()
    say("columns", ",".join(column[0] for column in cursor.description))
    await_status("RUNNING")
    cursor.execute("PAUSE JOB WHERE jobName = 'by_client'")
    say("paused", status())
    cursor.execute("RESUME JOB WHERE jobName = 'by_client'")
    await_status("RUNNING")
    for _ in range(600):
        cursor.execute(f"select TaskId, Status from {TASKS} where JobName = %s and Status = 'SUCCESS' order by TaskId limit %s", ("by_client", 1))
        row = cursor.fetchone()
        if row is not None and row[1] == "SUCCESS":
            break
        time.sleep(0.05)
    say("task", "none" if row is None else row[1])
    cursor.execute(f"select * from {JOBS}")
    rows = cursor.fetchall()
    say("all", f"{len(rows)} " + ",".join(column[0] for column in cursor.description))
    cursor.execute(
        f"select j.Name as n, count(*) as c from {JOBS} j join {TASKS} k on j.Id = k.JobId "
        "where j.Name = %s and k.Status = %s group by j.Name limit %s",
        ("by_client", "SUCCESS", 5),
    )
    (row,) = cursor.fetchall()
    say("joined", ",".join(column[0] for column in cursor.description) + f" {row[0]} {'true' if row[1] > 0 else 'false'}")
    cursor.execute("DROP JOB WHERE jobName = 'by_client'")
    cursor.execute(f"select count(*) from {JOBS}")
    say("left", cursor.fetchone()[0])


main(*sys.argv[1:])
