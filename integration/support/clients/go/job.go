package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	jobs   = `jobs("type"="insert")`
	tasks  = `tasks("type"="insert")`
	pause  = "PAUSE JOB WHERE jobName = 'by_client'"
	resume = "RESUME JOB WHERE jobName = 'by_client'"
)

// job is the life of a job. It takes a folder with `create.sql` and `alter.sql` for a job that is called `by_client`.
func (c *client) job() {
	create, err := os.ReadFile(c.argument + "/create.sql")
	must(err)
	alter, err := os.ReadFile(c.argument + "/alter.sql")
	must(err)
	db := c.open(c.password, "")
	defer db.Close()

	status := func() string {
		var name, status string
		must(db.QueryRow("select Name, Status from "+jobs+" where Name = ? and ExecuteType = ?", "by_client", "STREAMING").Scan(&name, &status))
		return status
	}
	awaitRunning := func() {
		for i := 0; i < 1000 && status() != "RUNNING"; i++ {
			time.Sleep(10 * time.Millisecond)
		}
		c.say("status", status())
	}

	exec(db, "DROP JOB IF EXISTS WHERE jobName = 'by_client'")
	c.say("created", exec(db, string(create)))
	c.attempt("refused", func() { exec(db, string(create)) })
	c.attempt("unknown job", func() { exec(db, "PAUSE JOB WHERE jobName = 'nobody'") })
	statement, err := db.Prepare("select Name, Status from " + jobs + " where Name = ?")
	must(err)
	rows, err := statement.Query("by_client")
	must(err)
	names, err := rows.Columns()
	must(err)
	must(rows.Close())
	must(statement.Close())
	c.say("columns", strings.Join(names, ","))
	awaitRunning()
	c.attempt("alter refused", func() { exec(db, string(alter)) })
	exec(db, pause)
	c.say("paused", status())
	exec(db, string(alter))
	exec(db, resume)
	awaitRunning()
	c.say("task", c.awaitTask(db))

	rows, err = db.Query("select * from " + jobs)
	must(err)
	names, err = rows.Columns()
	must(err)
	count := 0
	for rows.Next() {
		count++
	}
	must(rows.Err())
	c.say("all", fmt.Sprint(count, " ", strings.Join(names, ",")))

	sql := "select Name from " + jobs + " where Name in (?, ?) and Id > ? and Comment = ? and FailedTaskCount < ? limit ?"
	c.say("parameters", query(db, sql, "by_client", nil, 1, "", 1000.5, 10))
	var name string
	var tasksDone int64
	joined := "select j.Name as n, count(*) as c from " + jobs + " j join " + tasks +
		" k on j.Id = k.JobId where j.Name = ? and k.Status = ? group by j.Name limit ?"
	rows, err = db.Query(joined, "by_client", "SUCCESS", 5)
	must(err)
	names, err = rows.Columns()
	must(err)
	rows.Next()
	must(rows.Scan(&name, &tasksDone))
	must(rows.Close())
	c.say("joined", fmt.Sprint(strings.Join(names, ","), " ", name, " ", tasksDone > 0))
	rows, err = db.Query("select * from "+tasks+" where JobName = ? limit 0", "by_client")
	must(err)
	c.say("tasks", all(rows, true))

	if strings.Contains(c.options, "multiStatements") {
		rows, err := db.Query(pause + "; select Name, Status from " + jobs + "; select 1 as one; " + resume)
		must(err)
		c.say("several", several(rows))
	}
	// Statements of Doris and of ours by turns in one session, prepared with either.
	conn, err := db.Conn(context.Background())
	must(err)
	defer conn.Close()
	ours, err := conn.PrepareContext(context.Background(), "select Name from "+jobs+" where Name = ?")
	must(err)
	theirs, err := conn.PrepareContext(context.Background(), "select 1 + ?")
	must(err)
	turns := []string{}
	for i := 0; i < 3; i++ {
		rows, err := ours.Query("by_client")
		must(err)
		turns = append(turns, all(rows, false))
		rows, err = theirs.Query(i)
		must(err)
		turns = append(turns, all(rows, false))
	}
	must(ours.Close())
	must(theirs.Close())
	must(conn.Close())
	c.say("by turns", strings.Join(turns, " "))
	exec(db, "DROP JOB WHERE jobName = 'by_client'")
	c.say("left", query(db, "select count(*) from "+jobs))
}

func (c *client) awaitTask(db queryer) string {
	sql := "select TaskId, Status from " + tasks + " where JobName = ? and Status = 'SUCCESS' order by TaskId limit ?"
	for i := 0; i < 1000; i++ {
		if row := query(db, sql, "by_client", 1); row != "" {
			return row[strings.Index(row, ",")+1:]
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "none"
}
