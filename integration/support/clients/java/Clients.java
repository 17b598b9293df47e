import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.Driver;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.ServiceLoader;
import java.util.Set;

/**
 * Runs scripts over JDBC drivers, all of them in one JVM. Each line of stdin is a run: its name, the script, the driver's jar,
 * host, port, the URL's options, user, password and what the script takes, with tabs between. Each line of stdout is a case:
 * the run's name, the case's, and what was seen as a JSON list of texts. A case that fails sees "ERROR", the errno, the
 * SQLSTATE and the message.
 */
public final class Clients {
  private static final Map<String, Driver> DRIVERS = new HashMap<>();
  private static final Set<Driver> WARM = new HashSet<>();

  private final String run;
  private final Driver driver;
  private final String url;
  private final String user;
  private final String password;
  /** What the script takes. */
  final String argument;

  private Clients(String[] fields) throws Exception {
    run = fields[0];
    driver = driver(fields[2]);
    String scheme = fields[2].contains("mariadb") ? "mariadb" : "mysql";
    url = "jdbc:" + scheme + "://" + fields[3] + ":" + fields[4] + "/?" + fields[5];
    user = fields[6];
    password = fields[7];
    argument = fields[8];
  }

  public static void main(String[] args) throws Exception {
    DriverManager.setLoginTimeout(20);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] fields = line.split("\t", -1);
      Clients client = new Clients(fields);
      client.warmUp();
      client.attempt("script", fields[1].equals("job") ? new JobScript(client) : new RelayScript(client));
    }
    System.out.flush();
    System.exit(0);
  }

  /** Two versions of one driver have classes of the same name, so each jar has a loader of its own. */
  private static Driver driver(String jar) throws Exception {
    Driver known = DRIVERS.get(jar);
    if (known != null) return known;
    URLClassLoader loader = new URLClassLoader(new URL[] {Path.of(jar).toUri().toURL()});
    Driver driver = ServiceLoader.load(Driver.class, loader).findFirst().orElseThrow();
    DRIVERS.put(jar, driver);
    return driver;
  }

  /** A driver's first login loads hundreds of classes: on a busy machine that takes longer than a server waits for a login. */
  private void warmUp() {
    if (!WARM.add(driver)) return;
    try {
      connect().close();
    } catch (SQLException tooSlow) {
      return;
    }
  }

  interface Case {
    void run() throws Exception;
  }

  Connection connect() throws SQLException {
    return connect(password);
  }

  Connection connect(String password) throws SQLException {
    Properties login = new Properties();
    login.setProperty("user", user);
    login.setProperty("password", password);
    return driver.connect(url, login);
  }

  boolean has(String option) {
    return url.contains(option);
  }

  /** Runs one case; says what stopped it, and nothing when it came to its end. */
  void attempt(String name, Case one) {
    try {
      one.run();
    } catch (SQLException error) {
      say(name, "ERROR", error.getErrorCode(), error.getSQLState(), error.getMessage().replaceAll("\\bconn=\\d+", "conn"));
    } catch (Exception error) {
      say(name, "ERROR", error);
    }
  }

  void say(String name, Object... seen) {
    List<String> texts = new ArrayList<>();
    for (Object each : seen) texts.add(quoted(String.valueOf(each)));
    System.out.println(run + "\t" + name + "\t[" + String.join(",", texts) + "]");
  }

  /** Every row that is left, the columns with a comma between, NULL as a word. */
  static List<String> rows(ResultSet rows) throws SQLException {
    List<String> all = new ArrayList<>();
    int columns = rows.getMetaData().getColumnCount();
    while (rows.next()) {
      List<String> row = new ArrayList<>();
      for (int i = 1; i <= columns; i++) row.add(String.valueOf(rows.getString(i)));
      all.add(String.join(",", row));
    }
    return all;
  }

  /** Labels of the columns, each with its type where `typed`. */
  static String columns(ResultSetMetaData columns, boolean typed) throws SQLException {
    if (columns == null) return "unknown";
    List<String> names = new ArrayList<>();
    for (int i = 1; i <= columns.getColumnCount(); i++) {
      String type = " " + columns.getColumnTypeName(i) + " " + columns.getColumnType(i) + " " + columns.getPrecision(i);
      names.add(columns.getColumnLabel(i) + (typed ? type : ""));
    }
    return String.join(",", names);
  }

  private static String quoted(String text) {
    StringBuilder json = new StringBuilder("\"");
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '"' || c == '\\') json.append('\\').append(c);
      else if (c < 0x20 || c > 0x7e) json.append(String.format("\\u%04x", (int) c));
      else json.append(c);
    }
    return json.append('"').toString();
  }
}
