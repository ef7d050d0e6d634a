"""The documentation says what is there: pages are up to date, links lead somewhere, rules compile, commands exist."""

import re
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import click
import pytest
from doc_pages import PAGES, PROGRAM, ROOT, Page
from engines import make_engine

from commands.call import Call
from commands.docs import PAGES as MADE
from commands.line import make_root, run_line
from commands.reference.events import load_builtins
from commands.reference.liquid import DATA, EXAMPLES
from commands.reference.operators import WANTS, example
from core.collect import SHAPES, collect
from core.context import Context
from core.hookspecs import Hooks
from core.imports.fields import KINDS
from core.imports.options import KNOWN
from core.settings import SETTINGS
from plugins import BUILTINS
from rules.check import check_rule
from rules.conditions import compile_condition
from rules.engine import Engine
from rules.operators import OPERATORS
from rules.rule import compile_rule, read_yaml
from rules.runs import OUTCOMES
from rules.template_filters import FILTERS
from rules.triggers import own_event_types

BY_NAME = {page.name: page for page in PAGES}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with every built-in plugin on."""
    engine = make_engine(tmp_path_factory.mktemp("docs"), demo=True)
    for name in BUILTINS:
        engine.host.enable(name, actor="test")
    yield engine
    engine.close()


def reference(name: str) -> str:
    return BY_NAME[f"docs/reference/{name}.md"].text


# The reference


@pytest.mark.parametrize("name", MADE)
def test_reference_page_is_up_to_date(name: str):
    page = ROOT / "docs" / "reference" / name
    assert page.read_text(encoding="utf-8") == MADE[name](BUILTINS), "run ./vitrin docs"


@pytest.mark.parametrize("name", MADE)
def test_reference_page_is_the_same_every_time(name: str):
    assert MADE[name](BUILTINS) == MADE[name](BUILTINS)


def test_check_says_which_page_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("commands.docs.ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    assert run_line(BUILTINS, ["docs"]) == 0
    assert run_line(BUILTINS, ["docs", "--check"]) == 0
    page = tmp_path / "docs" / "reference" / "settings.md"
    page.write_text("old", encoding="utf-8")
    assert run_line(BUILTINS, ["docs", "--check"]) == 6
    assert "behind" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == "old"


def test_every_hook_is_documented():
    hooks = [name for name in vars(Hooks) if name.startswith("vitrin_")]
    assert set(SHAPES) <= set(hooks)
    assert [name for name in hooks if f"## {name}\n" not in reference("hooks")] == []


def test_every_field_of_the_ctx_is_explained():
    page = reference("hooks")
    assert [one.name for one in fields(Context) if f"| `{one.name}` | " not in page] == []
    assert "` |  |" not in page.partition("## ctx")[2].partition("## Limits")[0]


def test_every_setting_is_documented():
    page = reference("settings")
    assert [one.name for one in SETTINGS if f"`{one.flag}`<br>`{one.variable}`" not in page] == []


def test_every_command_is_documented():
    page = reference("commands")
    assert [path for path, _ in leaves() if f"# {path}\n" not in page] == []


def test_every_operator_is_documented():
    page = reference("rules")
    assert [name for name in OPERATORS if f"| `{name}` | " not in page] == []


@pytest.mark.parametrize("name", OPERATORS)
def test_example_of_operator_compiles(name: str):
    assert OPERATORS[name].wants in WANTS
    compile_condition(example(OPERATORS[name]))


def test_every_filter_has_an_example():
    assert set(EXAMPLES) == set(FILTERS)
    assert all(f"| {name}" in text.replace("\\|", "|") for name, text in EXAMPLES.items())
    assert "nothing" not in DATA


def test_every_outcome_is_documented():
    page = reference("rules")
    assert [name for name in OUTCOMES if f"| `{name}` | " not in page] == []


def test_everything_that_plugins_bring_is_documented():
    page = reference("events")
    plugins = load_builtins(BUILTINS)
    names = [one.name for one in own_event_types()]
    names += [one.name for plugin in plugins for kind in (plugin.events, plugin.actions, plugin.facts) for one in kind]
    assert [name for name in names if f"### {name}\n" not in page] == []
    assert [name for name in BUILTINS if f"| `{name}` | " not in page] == []


def test_every_field_of_imports_is_documented():
    page = reference("files")
    assert [name for name in KNOWN if f"| `{name}` | " not in page] == []
    for kind, known in KINDS.items():
        part = page.partition(f"## {kind}\n")[2].partition("\n## ")[0]
        assert [one.name for one in known if f"| `{one.name}` | " not in part] == []


# Links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page):
    assert [link for link in page.links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Page, link: str) -> bool:
    target, _, anchor = link.partition("#")
    path = (page.path.parent / target).resolve() if target else page.path
    if not path.exists() or not path.is_relative_to(ROOT):
        return False
    return not anchor or anchor in Page(path).anchors


def test_lost_link_is_found():
    page = BY_NAME["README.md"]
    assert leads_somewhere(page, "docs/quickstart.md#why")
    assert not leads_somewhere(page, "docs/quickstart.md#nowhere")
    assert not leads_somewhere(page, "docs/nothing.md")


def test_every_page_can_be_reached_from_the_readme():
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        path = todo.pop()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        todo += [(path.parent / link.partition("#")[0]).resolve() for link in Page(path).links if link[0] != "#"]
    assert [page.name for page in PAGES if page.path not in seen] == []


def test_tests_that_the_promise_names_exist():
    page = BY_NAME["docs/promise.md"]
    named = re.findall(r"`(tests/[^`]+)`", page.prose)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


# Rules

RULES = [
    pytest.param(block, id=f"{page.name}:{number}")
    for page in PAGES
    for number, block in enumerate(page.blocks("yaml"))
    if "rule:" in block
]


@pytest.mark.parametrize("text", RULES)
def test_rule_in_the_pages_works(text: str, engine: Engine):
    document = read_yaml(text)
    compile_rule(document)
    assert [one for one in check_rule(engine, document) if one["severity"] == "error"] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_in_the_pages_is_a_whole_rule(page: Page):
    for block in page.blocks("yaml"):
        assert set(read_yaml(block)) >= {"rule", "when", "then"}


def test_rules_in_the_pages_have_their_own_names():
    page = BY_NAME["docs/howto/write-a-rule.md"]
    names = [read_yaml(block)["rule"] for block in page.blocks("yaml")]
    assert len(names) == len(set(names)) > 10


# The plugin


def test_plugin_in_the_pages_is_taken(tmp_path: Path):
    file = tmp_path / "parrot_of_the_pages.py"
    file.write_text("\n\n".join(BY_NAME["docs/howto/write-a-plugin.md"].blocks("python")), encoding="utf-8")
    spec = spec_from_file_location("parrot_of_the_pages", file)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    brought = collect("parrot", lambda hook: getattr(module, hook, lambda: None)())
    kinds = ("events", "actions", "facts", "operators", "pollers", "webhooks")
    assert [len(getattr(brought, kind)) for kind in kinds] == [1] * len(kinds)
    assert {action.effect for action in brought.actions} <= set(brought.manifest["permissions"]["effects"])


# Commands

LINES = [
    pytest.param(words, whole, id=f"{page.name}: {' '.join(words)}"[:90])
    for page in PAGES
    for words, whole in page.commands()
]


@pytest.mark.parametrize(("words", "whole"), LINES)
def test_command_in_the_pages_exists(words: list[str], whole: bool):
    check_line(words, whole=whole)


@pytest.mark.parametrize(
    "line",
    [
        "nothing",  # no such command
        "rules nothing",  # no such verb
        "rules publish x.yaml --enable",  # no such option
        "rules publish x.yaml --state maybe",  # no such choice
        "rules lint",  # an argument is missing
        "pause now",  # an argument too many
        "why --order 7",  # an option is missing
    ],
)
def test_wrong_command_is_found(line: str):
    with pytest.raises((click.UsageError, AssertionError)):
        check_line(line.split())


def check_line(words: list[str], *, whole: bool = True) -> None:
    """Raise where a line names a command, an option, a choice or an argument that is not there."""
    command: click.Command = make_root()
    ctx = click.Context(command, info_name=PROGRAM, obj=Call(BUILTINS))
    while isinstance(command, click.Group):
        _, rest, _ = command.make_parser(ctx).parse_args(list(words))
        if not rest:
            return
        found = command.get_command(ctx, rest[0])
        assert found is not None, f"there is no {ctx.command_path} {rest[0]}"
        ctx = click.Context(found, info_name=rest[0], parent=ctx, **found.context_settings)
        command, words = found, rest[1:]
    if not words and not whole:
        return  # only named
    given, rest, _ = command.make_parser(ctx).parse_args(list(words))
    assert not rest, f"{ctx.command_path} takes no {rest}"
    if given.get("help"):
        return
    for param in command.params:
        check_param(ctx, param, given.get(param.name or ""))


def check_param(ctx: click.Context, param: click.Parameter, value: object) -> None:
    values = value if isinstance(value, (list, tuple)) else [value]
    present = [one for one in values if isinstance(one, (str, bool))]
    assert present or not param.required, f"{ctx.command_path} needs {param.human_readable_name}"
    if isinstance(param.type, click.Choice):
        for one in map(str, present):
            if one.islower():
                param.type.convert(one, param, ctx)


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its path."""
    root = make_root()
    todo: list[tuple[str, click.Command]] = [("", root)]
    ctx = click.Context(root)
    while todo:
        path, command = todo.pop()
        if not isinstance(command, click.Group):
            yield path, command
            continue
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None, name
            todo.append((f"{path} {name}".strip(), inner))
