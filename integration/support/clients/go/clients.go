// Runs scripts over go-sql-driver, all of them in one process.
//
// Each line of stdin is a run: its name, the script, a word that is not used here, host, port, the DSN's options, user,
// password and what the script takes, with tabs between. Each line of stdout is a case: the run's name, the case's, and what
// was seen as a JSON list of texts. A case that fails sees "ERROR", the errno, the SQLSTATE and the message.
package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
)

type client struct {
	run, address, options, user, password, argument string
}

func main() {
	// The driver says on stderr what it also returns.
	_ = mysql.SetLogger(log.New(io.Discard, "", 0))
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		c := client{fields[0], fields[3] + ":" + fields[4], fields[5], fields[6], fields[7], fields[8]}
		script := c.relay
		if fields[1] == "job" {
			script = c.job
		}
		c.attempt("script", script)
	}
}

// open returns a pool of one connection, so that a script's statements share a session.
func (c *client) open(password, database string) *sql.DB {
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s?%s", c.user, password, c.address, database, c.options))
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1)
	return db
}

func (c *client) say(name string, seen ...any) {
	texts := []string{}
	for _, each := range seen {
		texts = append(texts, show(each))
	}
	line, err := json.Marshal(texts)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\t%s\t%s\n", c.run, name, line)
}

func show(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case []byte:
		return string(v)
	default:
		return fmt.Sprint(v)
	}
}

// stop ends a case; attempt says why.
type stop struct{ err error }

func must(err error) {
	if err != nil {
		panic(stop{err})
	}
}

func (c *client) attempt(name string, script func()) {
	defer func() {
		switch reason := recover().(type) {
		case nil:
		case stop:
			var refused *mysql.MySQLError
			if errors.As(reason.err, &refused) {
				c.say(name, "ERROR", refused.Number, string(refused.SQLState[:]), refused.Message)
			} else {
				c.say(name, "ERROR", reason.err)
			}
		default:
			panic(reason)
		}
	}()
	script()
}

type queryer interface {
	Query(sql string, args ...any) (*sql.Rows, error)
	Exec(sql string, args ...any) (sql.Result, error)
}

func exec(on queryer, text string, args ...any) string {
	result, err := on.Exec(text, args...)
	must(err)
	rows, err := result.RowsAffected()
	must(err)
	id, err := result.LastInsertId()
	must(err)
	return fmt.Sprint(rows, " ", id)
}

func query(on queryer, text string, args ...any) string {
	rows, err := on.Query(text, args...)
	must(err)
	return all(rows, false)
}

// all reads the rows, with the columns' types in front where typed.
func all(rows *sql.Rows, typed bool) string {
	defer rows.Close()
	seen := []string{}
	if typed {
		types, err := rows.ColumnTypes()
		must(err)
		for _, each := range types {
			nullable, _ := each.Nullable()
			seen = append(seen, fmt.Sprint(each.Name(), " ", each.DatabaseTypeName(), " ", nullable, " ", each.ScanType()))
		}
	}
	names, err := rows.Columns()
	must(err)
	for rows.Next() {
		values, places := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			places[i] = &values[i]
		}
		must(rows.Scan(places...))
		row := []string{}
		for _, value := range values {
			row = append(row, show(value))
		}
		seen = append(seen, strings.Join(row, ","))
	}
	must(rows.Err())
	return strings.Join(seen, "; ")
}

// several reads every result of one text.
func several(rows *sql.Rows) string {
	defer rows.Close()
	seen := []string{}
	for more := true; more; more = rows.NextResultSet() {
		names, err := rows.Columns()
		must(err)
		count := 0
		for rows.Next() {
			count++
		}
		seen = append(seen, fmt.Sprint(names, " ", count))
	}
	must(rows.Err())
	return strings.Join(seen, "; ")
}
