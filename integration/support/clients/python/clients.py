"""Runs scripts over Python's drivers, all of them in one process.

Each line of stdin is a run: its name, the script, the client, host, port, options, user, password and what the script takes,
with tabs between. A client is a DB-API module or an SQLAlchemy dialect. Each line of stdout is a case: the run's name, the
case's, and what was seen as a JSON list of texts. A case that fails sees "ERROR", the exception's name and its arguments.
"""

import importlib
import json
import ssl
import sys
import warnings

import database_scripts
import sqlalchemy_scripts

# Drivers warn of what the server has already said.
warnings.simplefilter("ignore")


class Client:
    """One run: how to log in, and where to say what was seen."""

    def __init__(self, line):
        fields = line.rstrip("\n").split("\t")
        self.run, self.script, self.client, self.host, port, options, self.user, self.password, self.argument = fields
        self.port = int(port)
        self.options = options.split("&") if options else []

    def dialect(self):
        """The SQLAlchemy dialect, or None for a DB-API module."""
        return self.client if "+" in self.client or self.client.startswith("pydoris") else None

    def module(self):
        return importlib.import_module(self.client)

    def arguments(self, password=None):
        """For `connect` of PyMySQL and mysqlclient."""
        named = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password if password is None else password,
            "charset": "utf8mb4",
        }
        if "tls" in self.options:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            named["ssl"] = context
        if "multi" in self.options:
            flags = importlib.import_module(f"{self.client}.constants.CLIENT")
            named["client_flag"] = flags.MULTI_STATEMENTS
        return named

    def say(self, case, *seen):
        print(f"{self.run}\t{case}\t{json.dumps([str(each) for each in seen])}")

    def attempt(self, case, script):
        try:
            script()
        except Exception as error:
            origin = getattr(error, "orig", None) or error
            self.say(case, "ERROR", type(error).__name__, *origin.args)


def main():
    for line in sys.stdin:
        client = Client(line)
        scripts = database_scripts if client.dialect() is None else sqlalchemy_scripts
        client.attempt("script", lambda: getattr(scripts, client.script)(client))


main()
