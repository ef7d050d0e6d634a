"""The plugin `files`: what the host takes from it, and what automations hear of an import."""

from pathlib import Path

from import_node import ImportNode

from core.collect import collect
from core.schemas import compile_schema
from plugins import files


def test_plugin_brings_its_events() -> None:
    brought = collect("files", lambda hook: getattr(files, hook)() if hasattr(files, hook) else None)
    assert [kind.name for kind in brought.events] == ["import.finished", "import.failed"]
    assert all(set(kind.title) == {"en", "tr", "ru"} for kind in brought.events)


def test_finished_import_is_told_with_its_counts(database_url: str, tmp_path: Path) -> None:
    node = ImportNode(database_url, tmp_path)
    ident = node.upload("external_id,name\nc1,Ada\n,Nobody\n", "customers", name="../новые клиенты.csv")
    node.run(ident)
    node.db.close()
    (event,) = node.told
    compile_schema(files.EVENTS[0]["schema"]).check(event.data, path="data")
    told = event.data["import"]
    assert (told["new"], told["errors"], told["file"], told["by"]) == (1, 1, "новые клиенты.csv", "elif")
    assert (event.type, event.key, event.source) == ("import.finished", ident, "files")


def test_failed_import_is_told_with_its_reason(database_url: str, tmp_path: Path) -> None:
    node = ImportNode(database_url, tmp_path)
    ident = node.upload("external_id,name\nc1,Ada\n", "customers", encoding="utf-8")
    node.imports.files.path(node.imports.get(ident).file).write_bytes(b"external_id,name\nc1,\xff\n")
    node.run(ident)
    node.db.close()
    (event,) = node.told
    compile_schema(files.EVENTS[1]["schema"]).check(event.data, path="data")
    assert "is not utf-8 text" in event.data["import"]["error"]
