import java.io.ByteArrayInputStream;
import java.math.BigDecimal;
import java.security.MessageDigest;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;

/** What an application does, for a comparison of two ways to one server. It takes "doris" or "mysql", and "large" for values of many MB; it works in the database `jdbc`. */
final class RelayScript implements Clients.Case {
  private static final String TEXT = "ü€😀 'quoted' \\ \"too\"";

  private final Clients client;
  private final boolean doris;
  /** Something of the session's that can be changed: a number follows. */
  private final String setting;
  private Connection connection;

  RelayScript(Clients client) {
    this.client = client;
    doris = client.argument.startsWith("doris");
    setting = doris ? "set query_timeout = " : "set @x = ";
  }

  @Override
  public void run() throws SQLException {
    client.attempt("wrong password", () -> client.connect("wrong").close());
    try (Connection opened = client.connect()) {
      connection = opened;
      update("drop database if exists jdbc");
      update("create database jdbc");
      connection.setCatalog("jdbc");
      client.attempt("session", this::session);
      client.attempt("texts", this::texts);
      client.attempt("parameters", this::parameters);
      client.attempt("batch", this::batch);
      client.attempt("cursor", this::cursor);
      client.attempt("metadata", this::metadata);
      client.attempt("many statements", this::manyStatements);
      client.attempt("large", this::large);
      client.attempt("error of a text", () -> update("selec 1"));
      client.attempt("error of a prepared statement", () -> prepared("select * from nowhere where id = ?", 1));
      if (client.has("allowMultiQueries")) client.attempt("several statements", this::severalStatements);
      if (!doris) {
        client.attempt("error of a duplicate", () -> prepared("insert into batch (id, s) values (?, 'again')", 1));
        client.attempt("transaction", this::transaction);
        client.attempt("blob", this::blob);
        client.attempt("procedure", this::procedure);
        client.attempt("warnings", this::warnings);
        // Connector/J itself trips over the rows of a cursor that was killed.
        if (!client.has("useCursorFetch")) client.attempt("cancel", this::cancel);
      }
      client.attempt("reset", this::reset);
    }
  }

  private void session() throws SQLException {
    client.say("session", connection.getCatalog(), connection.isValid(5), connection.getAutoCommit(),
        connection.getTransactionIsolation(), connection.getMetaData().getDatabaseProductVersion(),
        query("select current_user(), database()"));
  }

  private void texts() throws SQLException {
    String numbers = "select 1, -1, 9223372036854775807, 1.50, 'text', '', null, '" + TEXT.replace("\\", "\\\\").replace("'", "''") + "'";
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(numbers)) {
      client.say("texts", Clients.columns(rows.getMetaData(), true), Clients.rows(rows));
    }
    client.say("no rows", query("select 1 from (select 1 as x) t where x > 1"));
    client.say("comment first", query("/* from a tool */ -- and a line\n select 'x'"));
  }

  private void parameters() throws Exception {
    String rest = doris
        ? ") unique key(id) distributed by hash(id) buckets 1 properties ('replication_num' = '1')"
        : ", b longblob, y year, ti time(3), primary key (id)) charset utf8mb4";
    String generated = doris ? "" : " auto_increment";
    String text = doris ? "string" : "longtext";
    update("create table kinds (id int not null" + generated + ", i bigint, d decimal(20,5), f double, s varchar(200), bo boolean,"
        + " dt datetime(6), da date, t " + text + rest);
    String insert = "insert into kinds (id, i, d, f, s, bo, dt, da, t) values (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    try (PreparedStatement statement = connection.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS)) {
      client.say("parameters", statement.getParameterMetaData().getParameterCount());
      if (doris) statement.setInt(1, 1);
      else statement.setNull(1, Types.INTEGER);
      statement.setLong(2, Long.MIN_VALUE);
      statement.setBigDecimal(3, new BigDecimal("-12345.67891"));
      statement.setDouble(4, 0.1);
      statement.setString(5, TEXT);
      statement.setBoolean(6, true);
      statement.setTimestamp(7, Timestamp.valueOf("2026-01-02 03:04:05.678901"));
      statement.setDate(8, Date.valueOf("1970-01-01"));
      statement.setString(9, "long ".repeat(1000));
      client.say("inserted", statement.executeUpdate(), doris ? "" : Clients.rows(statement.getGeneratedKeys()));
      if (doris) statement.setInt(1, 2);
      for (int i = 2; i <= 9; i++) statement.setNull(i, Types.VARCHAR);
      client.say("inserted again", statement.executeUpdate(), doris ? "" : Clients.rows(statement.getGeneratedKeys()));
    }
    try (PreparedStatement statement = connection.prepareStatement("select * from kinds where id = ?")) {
      client.say("columns", Clients.columns(statement.getMetaData(), true));
    }
    String select = "select * from kinds where id in (?, ?) and (s = ? or s is null) and f < ? or i is null order by id limit ?";
    try (PreparedStatement statement = connection.prepareStatement(select)) {
      for (int round = 0; round < 3; round++) {
        statement.setInt(1, 1);
        statement.setObject(2, round == 0 ? (Object) 2 : "2");
        statement.setString(3, TEXT);
        statement.setFloat(4, 0.5f);
        statement.setLong(5, 10);
        try (ResultSet rows = statement.executeQuery()) {
          client.say("selected " + round, Clients.rows(rows));
        }
      }
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        client.say("typed", rows.getLong("i"), rows.getBigDecimal("d"), rows.getDouble("f"), rows.getBoolean("bo"),
            rows.getTimestamp("dt"), rows.getDate("da"), rows.getObject("dt").getClass(), rows.getObject("i").getClass());
      }
    }
  }

  private void batch() throws SQLException {
    String end = doris ? " duplicate key(id) distributed by hash(id) buckets 1 properties ('replication_num' = '1')" : "";
    update("create table batch (id int not null, s varchar(50)" + (doris ? "" : ", primary key (id)") + ")" + end);
    int count = doris ? 20 : 100;
    try (PreparedStatement statement = connection.prepareStatement("insert into batch (id, s) values (?, ?)")) {
      for (int i = 0; i < count; i++) {
        statement.setInt(1, i);
        statement.setString(2, i % 7 == 0 ? null : "row " + i);
        statement.addBatch();
      }
      int[] counts = statement.executeBatch();
      client.say("batch", counts.length, counts[0], counts[count - 1]);
    }
    client.say("batch read", query("select count(*), count(s), min(id), max(id) from batch"));
    // Five statements are the fewest that rewriteBatchedStatements joins into one packet.
    try (Statement statement = connection.createStatement()) {
      for (int i = 0; i < 6; i++) {
        statement.addBatch(doris ? "insert into batch values (" + (100 + i) + ", 'text')" : "update batch set s = 'updated' where id = " + i);
      }
      client.say("batch of texts", Arrays.toString(statement.executeBatch()));
    }
    client.say("batch of texts read", query("select count(*), min(s), max(s) from batch"));
  }

  /** With `useCursorFetch` or a fetch size the rows come in several answers, or are read while they arrive. */
  private void cursor() throws SQLException {
    String select = "select id, s from batch order by id";
    for (String kind : List.of("text", "prepared")) {
      try (Statement statement = kind.equals("text") ? connection.createStatement() : connection.prepareStatement(select)) {
        statement.setFetchSize(7);
        ResultSet rows = statement instanceof PreparedStatement p ? p.executeQuery() : statement.executeQuery(select);
        List<String> all = Clients.rows(rows);
        client.say("cursor over a " + kind, all.size(), all.get(0), all.get(all.size() - 1));
      }
      try (Statement statement = connection.createStatement()) {
        statement.setFetchSize(7);
        ResultSet rows = statement.executeQuery(select);
        rows.next();
        client.say("cursor left early", rows.getString(1));
      }
      client.say("after the cursor", query("select 1"));
    }
    try (Statement statement = connection.createStatement()) {
      statement.setFetchSize(7);
      client.say("cursor without rows", Clients.rows(statement.executeQuery("select id from batch where id < 0")));
    }
  }

  private void severalStatements() throws SQLException {
    List<String> seen = new ArrayList<>();
    try (Statement statement = connection.createStatement()) {
      boolean isTable = statement.execute("select 1 as a; " + setting + "1; select 2 as b, 3 as c; select 4 from batch where id < 3");
      for (;;) {
        int count = isTable ? 0 : statement.getUpdateCount();
        if (count < 0) break;
        seen.add(isTable ? Clients.rows(statement.getResultSet()).toString() : "count " + count);
        isTable = statement.getMoreResults();
      }
    }
    client.say("several statements", seen);
    client.attempt("several with an error", () -> update(setting + "2; selec; " + setting + "3"));
    client.say("after the error", query("select 1"));
  }

  private void transaction() throws SQLException {
    connection.setAutoCommit(false);
    try {
      update("insert into batch values (1001, 'kept')");
      Savepoint point = connection.setSavepoint("here");
      update("insert into batch values (1002, 'rolled back')");
      connection.rollback(point);
      connection.commit();
      update("delete from batch");
      client.say("within", query("select count(*) from batch"));
      connection.rollback();
    } finally {
      connection.setAutoCommit(true);
    }
    connection.setReadOnly(true);
    client.attempt("read only", () -> update("delete from batch"));
    connection.setReadOnly(false);
    client.say("transaction", query("select count(*) from batch"), query("select id, s from batch where id > 1000"));
  }

  private void metadata() throws SQLException {
    boolean mariadb = connection.getClass().getName().startsWith("org.mariadb");
    DatabaseMetaData data = connection.getMetaData();
    client.attempt("tables", () -> client.say("tables", Clients.rows(data.getTables("jdbc", null, "%", new String[] {"TABLE"}))));
    // The stand-in does not take the query that MariaDB's driver has for it.
    if (!doris || !mariadb) {
      client.attempt("columns of a table", () -> {
        try (ResultSet columns = data.getColumns("jdbc", null, "kinds", "%")) {
          client.say("columns of a table", Clients.rows(columns));
        }
      });
    }
    client.attempt("catalogs", () -> client.say("catalogs", Clients.rows(data.getCatalogs())));
    client.say("limits", data.getMaxColumnsInTable(), data.supportsTransactions(), data.getUserName().replaceAll("@.*", ""));
    if (doris) return; // The stand-in has none.
    client.attempt("keys", () -> client.say("keys", Clients.rows(data.getPrimaryKeys("jdbc", null, "kinds"))));
    client.attempt("indexes", () -> {
      List<String> seen = new ArrayList<>();
      try (ResultSet indexes = data.getIndexInfo("jdbc", null, "batch", false, true)) {
        // The cardinality is an estimate.
        while (indexes.next()) seen.add(indexes.getString("INDEX_NAME") + " " + indexes.getString("COLUMN_NAME"));
      }
      client.say("indexes", seen);
    });
  }

  /** Each has another text, so that each is prepared and closed. */
  private void manyStatements() throws SQLException {
    long sum = 0;
    for (int i = 0; i < (doris ? 10 : 50); i++) {
      try (PreparedStatement statement = connection.prepareStatement("select ? + " + i + " as n, '" + i + "' as s")) {
        statement.setInt(1, i);
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          sum += rows.getLong(1) + Long.parseLong(rows.getString(2));
        }
      }
    }
    client.say("many statements", sum);
  }

  /** Longer than a packet can be, if large. */
  private void large() throws Exception {
    int length = client.argument.endsWith("large") ? 17_000_000 : 100_000;
    try (PreparedStatement statement = connection.prepareStatement("select repeat(?, " + length + ") as big")) {
      statement.setString(1, "x");
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        client.say("large", rows.getString(1).length());
      }
    }
    try (PreparedStatement statement = connection.prepareStatement("select char_length(?) as n")) {
      statement.setString(1, "ü".repeat(length / 2));
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        client.say("large parameter", rows.getString(1));
      }
    }
  }

  private void blob() throws Exception {
    byte[] bytes = new byte[client.argument.endsWith("large") ? 3_000_000 : 70_000];
    new Random(1).nextBytes(bytes);
    try (PreparedStatement statement = connection.prepareStatement("insert into kinds (id, b, y, ti) values (?, ?, ?, ?)")) {
      for (int id : new int[] {10, 11}) {
        statement.setInt(1, id);
        if (id == 10) statement.setBytes(2, bytes);
        else statement.setBinaryStream(2, new ByteArrayInputStream(bytes), bytes.length);
        statement.setInt(3, 2026);
        statement.setTime(4, Time.valueOf("23:59:58"));
        statement.executeUpdate();
      }
    }
    try (PreparedStatement statement = connection.prepareStatement("select b, y, ti from kinds where id >= ? order by id")) {
      statement.setInt(1, 10);
      ResultSet rows = statement.executeQuery();
      while (rows.next()) client.say("blob", hash(rows.getBytes(1)).equals(hash(bytes)), rows.getString(2), rows.getTime(3));
    }
  }

  private void procedure() throws SQLException {
    update("create procedure twice(in a int, out b int) begin set b = a * 2; select a as first; select b as second, 'x' as x; end");
    try (CallableStatement call = connection.prepareCall("{call twice(?, ?)}")) {
      call.setInt(1, 21);
      call.registerOutParameter(2, Types.INTEGER);
      List<String> seen = new ArrayList<>();
      for (boolean isTable = call.execute(); isTable; isTable = call.getMoreResults()) {
        seen.add(Clients.rows(call.getResultSet()).toString());
      }
      client.say("procedure", seen, call.getInt(2));
    }
  }

  private void warnings() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.executeUpdate("insert ignore into batch values (1, 'there already'), (2000, 'new')");
      client.say("warnings", String.valueOf(statement.getWarnings()));
    }
  }

  /** The driver kills the query over a connection of its own, by the id that the server gave this session. */
  private void cancel() throws Exception {
    String running = "select count(*) from information_schema.processlist where info like 'select sleep(20)%'";
    String seen = "not cancelled";
    try (Statement statement = connection.createStatement()) {
      Thread killer = new Thread(() -> {
        try (Connection second = client.connect(); Statement look = second.createStatement()) {
          for (boolean found = false; !found; ) found = Clients.rows(look.executeQuery(running)).equals(List.of("1"));
          statement.cancel();
        } catch (SQLException failed) {
          client.say("killer", failed);
        }
      });
      killer.start();
      try {
        // A server may end the sleep instead of the statement.
        if (Clients.rows(statement.executeQuery("select sleep(20)")).equals(List.of("1"))) seen = "cancelled";
      } catch (SQLException error) {
        // The driver words it in two ways, by who is quicker.
        seen = "cancelled";
      }
      killer.join();
    }
    client.say("cancel", seen, query("select 1"));
  }

  private void reset() throws Exception {
    boolean mariadb = connection.getClass().getName().startsWith("org.mariadb");
    update(setting + "77");
    connection.getClass().getMethod(mariadb ? "reset" : "resetServerState").invoke(connection);
    client.say("reset", query(doris ? "select @@query_timeout" : "select @x is null"));
  }

  private void update(String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.executeUpdate(sql);
    }
  }

  private List<String> query(String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      return Clients.rows(rows);
    }
  }

  private void prepared(String sql, int parameter) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      statement.setInt(1, parameter);
      statement.execute();
    }
  }

  private static String hash(byte[] bytes) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
  }
}
