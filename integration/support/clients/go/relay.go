package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

const text = "ü€😀 'quoted' \\ \"too\" ?"

// relay is what an application does, for a comparison of two ways to one server. It takes "doris" or "mysql", and works in
// the database `go`.
func (c *client) relay() {
	doris := c.argument == "doris"
	c.attempt("wrong password", func() { must(c.open("wrong", "").Ping()) })
	first := c.open(c.password, "")
	exec(first, "drop database if exists go")
	exec(first, "create database go")
	must(first.Close())

	db := c.open(c.password, "go")
	defer db.Close()
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	must(err)
	must(conn.PingContext(ctx))
	must(conn.Close())
	c.say("session", query(db, "select current_user(), database(), version()"))

	c.attempt("texts", func() {
		rows, err := db.Query("select 1, -1, 9223372036854775807, 1.50, 'text', '', null")
		must(err)
		c.say("texts", all(rows, true))
		c.say("no rows", query(db, "select 1 from (select 1 as x) t where x > 1"))
	})

	c.attempt("parameters", func() {
		columns := "id int not null, i bigint, d decimal(20,5), f double, bo boolean, dt datetime(6), da date, s varchar(200), "
		if doris {
			exec(db, "create table kinds ("+columns+"t string) unique key(id) distributed by hash(id) buckets 1 properties ('replication_num' = '1')")
		} else {
			exec(db, "create table kinds ("+columns+"t longtext, b longblob, primary key (id)) charset utf8mb4")
		}
		insert := "insert into kinds (id, i, d, f, bo, dt, da, s, t) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
		moment := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
		long := strings.Repeat("long ", 1000)
		c.say("inserted", exec(db, insert, 1, int64(-1)<<63, "-12345.67891", 0.1, true, moment, "1970-01-01", text, long))
		c.say("inserted again", exec(db, insert, 2, nil, nil, nil, nil, nil, nil, nil, nil))
		rows, err := db.Query("select * from kinds where id in (?, ?) order by id limit ?", uint8(1), "2", 10)
		must(err)
		c.say("selected", all(rows, true))
		statement, err := db.Prepare("select id, s from kinds where s = ? or f < ? and dt = ?")
		must(err)
		for range [3]int{} {
			rows, err := statement.Query(text, float32(0.5), moment)
			must(err)
			c.say("prepared", all(rows, false))
		}
		must(statement.Close())
		// Each is prepared, executed and closed, unless the driver writes the parameters into the text.
		sum := 0
		for i := 0; i < 20; i++ {
			var n int
			must(db.QueryRow(fmt.Sprintf("select ? + %d", i), i).Scan(&n))
			sum += n
		}
		c.say("many statements", sum)
	})

	c.attempt("errors", func() {
		c.attempt("error of a text", func() { query(db, "selec 1") })
		c.attempt("error of a prepared statement", func() { query(db, "select * from nowhere where id = ?", 1) })
		c.say("after the errors", query(db, "select 1"))
	})

	if strings.Contains(c.options, "multiStatements") {
		change := "set @x = "
		if doris {
			change = "set query_timeout = "
		}
		c.attempt("several statements", func() {
			rows, err := db.Query("select 1 as a; " + change + "1; select 2 as b, 3 as c; select id from kinds")
			must(err)
			c.say("several statements", several(rows))
		})
		c.attempt("several with an error", func() {
			rows, err := db.Query("select 1 as a; selec; select 2 as b")
			must(err)
			several(rows)
		})
		c.say("after the error", query(db, "select 1"))
	}
	if doris {
		return
	}

	c.attempt("transaction", func() {
		tx, err := db.Begin()
		must(err)
		exec(tx, "update kinds set s = ? where id = ?", "kept", 2)
		must(tx.Commit())
		tx, err = db.Begin()
		must(err)
		exec(tx, "delete from kinds")
		c.say("within", query(tx, "select count(*) from kinds"))
		must(tx.Rollback())
		c.say("transaction", query(db, "select count(*), max(s) from kinds where id = ?", 2))
	})

	c.attempt("blob", func() {
		data := bytes.Repeat([]byte{0, 1, 2, 0x27, 0x5c, 0xff}, 50_000)
		exec(db, "insert into kinds (id, b) values (?, ?)", 10, data)
		var read []byte
		must(db.QueryRow("select b from kinds where id = ?", 10).Scan(&read))
		c.say("blob", sha256.Sum256(read) == sha256.Sum256(data))
		var big string
		length := 200_000
		if strings.Contains(c.options, "interpolateParams") {
			length = 9_000_000 // Longer than a packet can be, once.
		}
		must(db.QueryRow("select repeat(?, ?)", "ü", length).Scan(&big))
		c.say("large", len(big))
		c.attempt("error of a duplicate", func() { exec(db, "insert into kinds (id) values (?)", 10) })
	})

	// The driver closes the connection, and the pool makes another one.
	c.attempt("cancelled", func() {
		limited, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err := db.ExecContext(limited, "select sleep(20)")
		c.say("cancelled", err)
		c.say("after cancel", query(db, "select database()"))
	})
}
