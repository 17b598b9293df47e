import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** The life of a job over JDBC: JobClient URL USER FILE, the file with CREATE JOB for a job called `by_client`. */
public class JobClient {
  private static final String JOBS = "jobs(\"type\"=\"insert\")";
  private static final String TASKS = "tasks(\"type\"=\"insert\")";

  public static void main(String[] args) throws Exception {
    String create = Files.readString(Path.of(args[2]), StandardCharsets.UTF_8);
    try (Connection connection = DriverManager.getConnection(args[0], args[1], "")) {
      run(connection, create);
      try {
        run(connection, create);
      } catch (SQLException refused) {
        say("refused", refused.getErrorCode() + " " + refused.getSQLState() + " " + refused.getMessage());
      }
      String sql = "select Name, Status from " + JOBS + " where Name = ? and ExecuteType = ?";
      try (PreparedStatement query = connection.prepareStatement(sql)) {
        say("columns", query.getMetaData() == null ? "unknown" : names(query.getMetaData()));
        awaitStatus(query, "RUNNING");
        run(connection, "PAUSE JOB WHERE jobName = 'by_client'");
        say("paused", status(query));
        run(connection, "RESUME JOB WHERE jobName = 'by_client'");
        awaitStatus(query, "RUNNING");
      }
      awaitTask(connection);
      try (PreparedStatement query = connection.prepareStatement("select * from " + JOBS)) {
        try (ResultSet rows = query.executeQuery()) {
          int count = 0;
          while (rows.next()) count += rows.getString("ExecuteSql").startsWith("FROM MYSQL(") ? 1 : 100;
          say("all", count + " " + names(rows.getMetaData()));
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
          say("joined", names(rows.getMetaData()) + " " + rows.getString("n") + " " + (rows.getInt("c") > 0));
        }
      }
      run(connection, "DROP JOB WHERE jobName = 'by_client'");
      try (Statement query = connection.createStatement();
          ResultSet rows = query.executeQuery("select count(*) from " + JOBS)) {
        rows.next();
        say("left", rows.getString(1));
      }
    }
  }

  private static void run(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private static String status(PreparedStatement query) throws SQLException {
    query.setString(1, "by_client");
    query.setString(2, "STREAMING");
    try (ResultSet rows = query.executeQuery()) {
      return rows.next() ? rows.getString("Status") : "no row";
    }
  }

  private static void awaitStatus(PreparedStatement query, String wanted) throws Exception {
    for (int i = 0; i < 600 && !status(query).equals(wanted); i++) Thread.sleep(50);
    say("status", status(query));
  }

  private static void awaitTask(Connection connection) throws Exception {
    String sql = "select TaskId, Status from " + TASKS + " where JobName = ? and Status = 'SUCCESS' order by TaskId limit ?";
    try (PreparedStatement query = connection.prepareStatement(sql)) {
      for (int i = 0; i < 600; i++) {
        query.setString(1, "by_client");
        query.setLong(2, 1);
        try (ResultSet rows = query.executeQuery()) {
          if (rows.next() && rows.getString(2).equals("SUCCESS")) {
            say("task", rows.getLong(1) > 0 ? "SUCCESS" : "no id");
            return;
          }
        }
        Thread.sleep(50);
      }
    }
    say("task", "none");
  }

  private static String names(java.sql.ResultSetMetaData columns) throws SQLException {
    StringBuilder text = new StringBuilder();
    for (int i = 1; i <= columns.getColumnCount(); i++) {
      text.append(i == 1 ? "" : ",").append(columns.getColumnLabel(i));
    }
    return text.toString();
  }

  private static void say(String what, String text) {
    System.out.println(what + ": " + text);
  }
}
