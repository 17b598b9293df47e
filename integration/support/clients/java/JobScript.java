import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.Date;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The life of a job. It takes a folder with `create.sql` and `alter.sql` for a job that is called `by_client`. */
final class JobScript implements Clients.Case {
  private static final String JOBS = "jobs(\"type\"=\"insert\")";
  private static final String TASKS = "tasks(\"type\"=\"insert\")";
  private static final String PAUSE = "PAUSE JOB WHERE jobName = 'by_client'";
  private static final String RESUME = "RESUME JOB WHERE jobName = 'by_client'";

  private final Clients client;
  private final String create;
  private final String alter;
  private Connection connection;

  JobScript(Clients client) throws Exception {
    this.client = client;
    create = Files.readString(Path.of(client.argument, "create.sql"), StandardCharsets.UTF_8);
    alter = Files.readString(Path.of(client.argument, "alter.sql"), StandardCharsets.UTF_8);
  }

  @Override
  public void run() throws Exception {
    try (Connection opened = client.connect()) {
      connection = opened;
      update("DROP JOB IF EXISTS WHERE jobName = 'by_client'");
      update(create);
      client.attempt("refused", () -> update(create));
      client.attempt("unknown job", () -> update("PAUSE JOB WHERE jobName = 'nobody'"));
      live();
      awaitTask();
      read();
      values();
      tools();
      if (client.has("allowMultiQueries")) several();
      batch();
      update("DROP JOB WHERE jobName = 'by_client'");
      client.say("left", single("select count(*) from " + JOBS));
    }
  }

  private void live() throws Exception {
    String sql = "select Name, Status from " + JOBS + " where Name = ? and ExecuteType = ?";
    try (PreparedStatement query = connection.prepareStatement(sql)) {
      client.say("columns", Clients.columns(query.getMetaData(), false));
      awaitStatus(query, "RUNNING");
      client.attempt("alter refused", () -> update(alter));
      prepared(PAUSE);
      client.say("paused", status(query));
      prepared(alter);
      prepared(RESUME);
      awaitStatus(query, "RUNNING");
    }
  }

  private void read() throws SQLException {
    try (PreparedStatement query = connection.prepareStatement("select * from " + JOBS); ResultSet rows = query.executeQuery()) {
      int count = 0;
      while (rows.next()) count += rows.getString("ExecuteSql").startsWith("FROM MYSQL(") ? 1 : 100;
      client.say("all", count + " " + Clients.columns(rows.getMetaData(), false));
    }
    String several = "select Name from " + JOBS + " where Name in (?, ?) and Id > ? and Comment = ? and FailedTaskCount < ? limit ?";
    try (PreparedStatement query = connection.prepareStatement(several)) {
      query.setString(1, "by_client");
      query.setString(2, null);
      query.setLong(3, 1);
      query.setString(4, "");
      query.setDouble(5, 1000.5);
      query.setInt(6, 10);
      try (ResultSet rows = query.executeQuery()) {
        client.say("parameters", String.join(",", Clients.rows(rows)));
      }
    }
    String joined = "select j.Name as n, count(*) as c from " + JOBS + " j join " + TASKS
        + " k on j.Id = k.JobId where j.Name = ? and k.Status = ? group by j.Name limit ?";
    try (PreparedStatement query = connection.prepareStatement(joined)) {
      query.setString(1, "by_client");
      query.setString(2, "SUCCESS");
      query.setInt(3, 5);
      try (ResultSet rows = query.executeQuery()) {
        rows.next();
        client.say("joined", Clients.columns(rows.getMetaData(), false) + " " + rows.getString("n") + " " + (rows.getInt("c") > 0));
      }
    }
    try (Statement query = connection.createStatement(); ResultSet rows = query.executeQuery("select * from " + TASKS + " limit 1")) {
      client.say("tasks", Clients.columns(rows.getMetaData(), true), Clients.rows(rows).size());
    }
    try (Statement query = connection.createStatement(); ResultSet rows = query.executeQuery("select * from " + TASKS + " where JobId = '1'")) {
      client.say("no tasks", Clients.rows(rows));
    }
  }

  /** A row in the types that an application wants, and parameters of every type that JDBC has. */
  private void values() throws SQLException {
    String sql = "select * from " + JOBS + " where Name = ? and CreateTime > ? and CreateTime < ? and SucceedTaskCount >= ? and Comment <> ?"
        + " and Id > ? and FailedTaskCount < ? and Definer like ? and (Status = ? or Status = ?)";
    try (PreparedStatement query = connection.prepareStatement(sql, ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
      // In a text a driver writes what comes from a stream as a hexadecimal literal, which is not for a text's column.
      if (client.has("useServerPrepStmts")) query.setCharacterStream(1, new StringReader("by_client"), 9);
      else query.setString(1, "by_client");
      query.setDate(2, Date.valueOf("2020-01-02"));
      query.setTimestamp(3, Timestamp.valueOf("2199-12-31 23:59:59.123456"));
      query.setBoolean(4, true);
      query.setString(5, "ü€😀");
      query.setBigDecimal(6, new BigDecimal("1.5"));
      query.setShort(7, (short) 1000);
      query.setNString(8, "a_p");
      query.setNull(9, Types.VARCHAR);
      query.setObject(10, "RUNNING");
      try (ResultSet rows = query.executeQuery()) {
        rows.last();
        client.say("values", rows.getRow(), rows.getLong("id") > 0, rows.getTimestamp("CreateTime").getTime() > 0,
            rows.getInt("FailedTaskCount"), rows.getObject("Status").getClass(), rows.getString("comment").isEmpty());
      }
    }
    try (Statement limited = connection.createStatement()) {
      limited.setMaxRows(1);
      limited.setQueryTimeout(30);
      client.say("limited", Clients.rows(limited.executeQuery("select k.JobName from " + TASKS + " k, " + TASKS + " l")));
    }
    client.say("limit is gone", Clients.rows(connection.createStatement().executeQuery("select 1 from " + JOBS + " union all select 2")));
  }

  /** What tools make of a query before they send it. */
  private void tools() throws SQLException {
    String[] queries = {
      "/* ApplicationName=DBeaver 24.2.0 - SQLEditor <Script.sql> */ select Name, Status from " + JOBS + "\nLIMIT 0, 200",
      "-- Metabase:: userID: 1 queryType: native queryHash: 0f\nselect Name, Status from " + JOBS,
      "SELECT * FROM (select Name, Status from " + JOBS + ") AS virtual_table LIMIT 1001",
      "SELECT `Status` AS `Status`, count(*) AS `count` FROM (select * from " + JOBS + "\n) AS `virtual_table` GROUP BY `Status` ORDER BY `count` DESC LIMIT 1000;",
      "select `_`.`Name`, `_`.`Status` from (" + "select * from " + JOBS + ") `_` where `_`.`Status` = 'RUNNING' limit 4096",
      "SELECT * FROM (select Name, Status from " + JOBS + ") T WHERE 1 = 0",
    };
    List<String> seen = new ArrayList<>();
    for (String sql : queries) {
      try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
        seen.add(Clients.columns(rows.getMetaData(), false) + " " + String.join(";", Clients.rows(rows)));
      }
    }
    client.say("tools", seen.toArray());
  }

  private void prepared(String sql) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql, Statement.RETURN_GENERATED_KEYS)) {
      statement.execute();
    }
  }

  private void several() throws SQLException {
    List<String> seen = new ArrayList<>();
    try (Statement statement = connection.createStatement()) {
      String sql = PAUSE + "; select Name, Status from " + JOBS + "; select 1 as one; " + RESUME;
      boolean isTable = statement.execute(sql);
      for (;;) {
        int count = isTable ? 0 : statement.getUpdateCount();
        if (count < 0) break;
        seen.add(isTable ? String.join(";", Clients.rows(statement.getResultSet())) : String.valueOf(count));
        isTable = statement.getMoreResults();
      }
    }
    client.say("several", String.join(" ", seen));
  }

  private void batch() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      for (int i = 0; i < 3; i++) {
        statement.addBatch(PAUSE);
        statement.addBatch(RESUME);
      }
      client.say("batch", Arrays.toString(statement.executeBatch()));
    }
  }

  private void update(String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private String single(String sql) throws SQLException {
    try (Statement query = connection.createStatement(); ResultSet rows = query.executeQuery(sql)) {
      rows.next();
      return rows.getString(1);
    }
  }

  private String status(PreparedStatement query) throws SQLException {
    query.setString(1, "by_client");
    query.setString(2, "STREAMING");
    try (ResultSet rows = query.executeQuery()) {
      return rows.next() ? rows.getString("Status") : "no row";
    }
  }

  private void awaitStatus(PreparedStatement query, String wanted) throws Exception {
    for (int i = 0; i < 1000 && !status(query).equals(wanted); i++) Thread.sleep(10);
    client.say("status", status(query));
  }

  private void awaitTask() throws Exception {
    String sql = "select TaskId, Status from " + TASKS + " where JobName = ? and Status = 'SUCCESS' order by TaskId limit ?";
    try (PreparedStatement query = connection.prepareStatement(sql)) {
      for (int i = 0; i < 1000; i++) {
        query.setString(1, "by_client");
        query.setLong(2, 1);
        try (ResultSet rows = query.executeQuery()) {
          if (rows.next() && rows.getString(2).equals("SUCCESS")) {
            client.say("task", rows.getLong(1) > 0 ? "SUCCESS" : "no id");
            return;
          }
        }
        Thread.sleep(10);
      }
    }
    client.say("task", "none");
  }
}
