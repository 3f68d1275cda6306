"""MLflow's SQLite file: made whole or not at all, upgraded in a copy, and set aside where it is ruined."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from al_bench.errors import UserError, first_line, root_cause

PATIENCE = 5.0  # seconds for another writer; a commit takes milliseconds
RUINED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}  # another code is the disk's, or a lock


def uri_of(path: Path) -> str:
    """The name of a SQLite file for SQLAlchemy, which would take a plain `?` for the beginning of options."""
    if not set("?%") & set(str(path)):
        return f"sqlite:///{path}"
    from sqlalchemy import URL

    # With the driver's name, since MLflow makes the parent folder of what follows a plain `sqlite:///`.
    file = URL.create("sqlite+pysqlite", database=path.as_uri(), query={"uri": "true"})
    return file.render_as_string(hide_password=False)


class RuinedError(Exception):
    """A database that no version of MLflow can open."""


def prepare(path: Path, artifacts: str, note: Callable[[str], None], *, own: bool) -> None:
    """Let a file be a store of this version of MLflow. The caller holds the store.

    own: whether it is the output folder's; another file, which the user named, may be anything and is not touched

    MLflow migrates a new file in dozens of steps. One that was stopped between two of them can never be opened again.
    So all steps are made in another file, which takes the place of this one when it is done.
    Raises `sqlite3.OperationalError` where the file cannot be written.
    """
    history = _migrations()
    temporary = path.with_name(f".{path.name}.new")
    for name in (temporary, temporary.with_name(f"{temporary.name}-journal")):  # of a process that was killed
        name.unlink(missing_ok=True)
    try:
        revision = revision_of(path) if path.exists() else None
        if revision == history.get_current_head():
            return
        if revision is not None and not own:
            remedy = f"`mlflow db upgrade '{uri_of(path)}'` may help, or name another file"
            raise UserError(f"{path}: is no database of this version of MLflow; {remedy}")
        if revision is not None:
            _upgrade(path, temporary, history)
            kept = shutil.copyfile(path, _unused(path, "old"))
            note(f"tracking: {path} is of an older MLflow and was upgraded; it is kept as {kept.name}")
    except RuinedError as error:
        if not own:
            raise UserError(f"{path}: MLflow cannot open it ({error}); name another file") from error
        kept = path.rename(_unused(path, "ruined"))
        temporary.unlink(missing_ok=True)
        note(f"tracking: {path} cannot be opened ({error}); it is kept as {kept.name}, and a new one is made")
    _complete(temporary, artifacts)
    temporary.replace(path)


def revision_of(path: Path) -> str | None:
    """The last migration of a database that can be written; "" where none is recorded, None where it is empty."""
    try:
        with closing(_connection(path)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables:
                return "" if tables else None
            return "".join(version for (version,) in database.execute("SELECT version_num FROM alembic_version"))
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in RUINED:
            raise
        raise RuinedError(error) from error


def relocate(path: Path, old: str, new: str) -> None:
    """Let all artifacts of a store that are below one URI be below another."""
    with closing(_connection(path)) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (new, len(old) + 1, len(old) + 1, f"{old}/"),
            )


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=PATIENCE)


@cache
def _migrations() -> Any:
    """All steps of MLflow's databases, which are dozens of files to read."""
    import mlflow.store.db_migrations
    from alembic.script import ScriptDirectory

    (folder,) = mlflow.store.db_migrations.__path__
    return ScriptDirectory(folder)


def _upgrade(path: Path, copy: Path, history: Any) -> None:
    """Copy a database, and migrate the copy. Raises `RuinedError` where it is in no state that a migration leaves."""
    from alembic import command
    from alembic.config import Config

    revision = revision_of(path)
    if revision and revision not in {script.revision for script in history.walk_revisions()}:
        remedy = "use that version, or move the file away"
        raise UserError(f"{path}: another version of MLflow wrote it (revision {revision}); {remedy}")
    with closing(_connection(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    config = Config()
    config.set_main_option("script_location", history.dir.replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", uri_of(copy).replace("%", "%%"))
    try:
        command.upgrade(config, "heads")
    except Exception as error:  # whatever a migration raises at what it does not expect
        cause = root_cause(error)
        if isinstance(cause, OSError) or getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) not in RUINED:
            raise
        raise RuinedError(first_line(cause)) from error


def _complete(path: Path, artifacts: str) -> None:
    """Make what the store still lacks."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri_of(path), artifacts)


def _unused(path: Path, kind: str) -> Path:
    """mlflow.db.ruined-1, or the next number that is free."""
    names = (path.with_name(f"{path.name}.{kind}-{number}") for number in count(1))
    return next(name for name in names if not name.exists())
