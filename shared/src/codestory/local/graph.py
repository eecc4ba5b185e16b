"""The stack's own graph server: ArcadeDB from its wheel, a java process that speaks Bolt.

The package is found, never imported: importing it would start a Java machine in this process."""

import importlib.util
import os
from pathlib import Path

from codestory.local.errors import NotInstalled
from codestory.local.files import write_private
from codestory.local.paths import StatePaths
from codestory.local.plan import SERVERS, GraphAddress, ProcessSpec
from codestory.local.ports import LOOPBACK

NAME, USER, DATABASE = "graph", "root", "neo4j"

#: A query that runs longer is ended by the server: the driver's own limit is not heard there. Milliseconds.
_QUERY_LIMIT = 120_000

_JAVA = (
    "--add-modules=jdk.incubator.vector",
    "--enable-native-access=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    "--add-opens=java.base/java.nio.channels.spi=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "-XX:+UseCompactObjectHeaders",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF8",
    "-Dpolyglot.engine.WarnInterpreterOnly=false",
)

#: To standard output only: the supervisor bounds it. Left alone the server keeps a gigabyte of files of its own.
_LOGGING = """\
handlers = java.util.logging.ConsoleHandler
.level = INFO
io.undertow.level = WARNING
org.xnio.level = WARNING
org.jboss.level = WARNING
java.util.logging.ConsoleHandler.level = INFO
java.util.logging.ConsoleHandler.formatter = com.arcadedb.log.LogFormatter
"""


def spec(paths: StatePaths, *, bolt: int, http: int, password_file: Path, heap: str) -> ProcessSpec:
    """The process. It listens on loopback alone and takes its password from the file."""
    package = _package()
    logging = paths.root / "graph-logging.properties"
    write_private(logging, _LOGGING)
    server = {
        "server.rootPath": paths.graph,
        "server.rootPasswordPath": password_file,
        "server.mode": "production",
        "server.defaultDatabases": f"{DATABASE}[{USER}]",
        "server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
        "server.httpIncomingHost": LOOPBACK,
        "server.httpIncomingPort": http,
        "bolt.host": LOOPBACK,
        "bolt.port": bolt,
        "bolt.defaultDatabase": DATABASE,
        "txWalFlush": 1,  # a commit is on the disk
        "command.timeout": _QUERY_LIMIT,
    }
    argv = (
        str(_java(package)),
        f"-Xmx{heap}",
        *_JAVA,
        f"-Djava.util.logging.config.file={logging}",
        *(f"-Darcadedb.{name}={value}" for name, value in server.items()),
        "-cp",
        str(package / "jars" / "*"),
        "com.arcadedb.server.ArcadeDBServer",
    )
    return ProcessSpec(NAME, argv, stage=SERVERS, port=bolt)


def address(bolt: int, password_file: Path) -> GraphAddress:
    return GraphAddress(f"bolt://{LOOPBACK}:{bolt}", USER, DATABASE, str(password_file))


def forget_users(paths: StatePaths) -> None:
    """The server keeps its user as it was first made; without its record it is made anew from the password file."""
    (paths.graph / "config" / "server-users.jsonl").unlink(missing_ok=True)


def _package() -> Path:
    found = importlib.util.find_spec("arcadedb_embedded")
    if found is None or found.origin is None:
        raise NotInstalled(
            "the embedded graph server is not installed (arcadedb-embedded has no package for every platform); "
            "set CODESTORY_NEO4J_URI to use a Neo4j of your own"
        )
    return Path(found.origin).parent


def _java(package: Path) -> Path:
    java = package / "jre" / "bin" / "java"
    if not os.access(java, os.X_OK):
        raise NotInstalled(f"the embedded graph server is incomplete: {java} is missing")
    return java
