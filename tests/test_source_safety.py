"""No code from text, no pickles, no shell, no unchecked TLS, no formatting of stored text, in any shipped file."""

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ["core", "rules", "plugins", "web", "commands"]

CODE = "runs text as code"
PICKLE = "runs code on loading"
OBJECTS = "builds any object from text"
SHELL = "starts a shell"
TLS = "switches the certificate check off"
FORMAT = "formats text that is not a literal: attribute look-ups in it reach our objects; use an f-string or Liquid"

MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}
CALLS = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "code.interact", "runpy.run_path"), CODE),
    **dict.fromkeys(("os.system", "os.popen", "pty.spawn", "asyncio.create_subprocess_shell"), SHELL),
    **dict.fromkeys(("subprocess.getoutput", "subprocess.getstatusoutput"), SHELL),
    **dict.fromkeys(("builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__"), CODE),
    **dict.fromkeys(("yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "yaml.full_load_all"), OBJECTS),
    "ssl._create_unverified_context": TLS,
}
NAMES = {
    **dict.fromkeys(("yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CLoader"), OBJECTS),
    "ssl.CERT_NONE": TLS,
}
YAML_LOADS = {"yaml.load", "yaml.load_all"}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader"}
SUBPROCESS = {f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen")}


class Source(ast.NodeVisitor):
    """One file: what its names stand for, and the faults found in it as (line, words)."""

    def __init__(self, text: str) -> None:
        self.faults: list[tuple[int, str]] = []
        self._names: dict[str, str] = {}
        self._constants: set[str] = set()
        self._safe_loaders = set(SAFE_LOADERS)
        tree = ast.parse(text)
        for node in ast.walk(tree):
            self._learn(node)
        self.visit(tree)

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self._names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            self._names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            self._constants |= {alias.name for alias in node.names if alias.name.isupper()}
        elif isinstance(node, ast.Assign | ast.AnnAssign) and is_literal(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            self._constants |= {name.id for name in targets if isinstance(name, ast.Name) and name.id.isupper()}
        elif isinstance(node, ast.FunctionDef) and hasattr(builtins, node.name):
            self._names[node.name] = f"own.{node.name}"

    def _name(self, node: ast.AST | None) -> str:
        """Return the dotted name of an expression, as its module calls it; empty where it has none."""
        if isinstance(node, ast.Attribute):
            owner = self._name(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        return self._names.get(node.id, node.id) if isinstance(node, ast.Name) else ""

    def _fault(self, node: ast.expr | ast.stmt, words: str) -> None:
        self.faults.append((node.lineno, words))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._check_module(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._check_module(node, node.module or "")
        for alias in node.names:
            self._check_used(node, f"{node.module}.{alias.name}")

    def _check_module(self, node: ast.stmt, module: str) -> None:
        if module.partition(".")[0] in MODULES:
            self._fault(node, f"{module}: {PICKLE}")

    def _check_used(self, node: ast.expr | ast.stmt, name: str) -> None:
        if name in NAMES:
            self._fault(node, f"{name}: {NAMES[name]}")
        elif name in CALLS and "." in name:
            self._fault(node, f"{name}: {CALLS[name]}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._check_used(node, self._name(node))
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        # The bare word, not only its call: `f = eval` is the same hole.
        if isinstance(node.ctx, ast.Load) and "." not in self._name(node) and self._name(node) in CALLS:
            self._fault(node, f"{node.id}: {CALLS[self._name(node)]}")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(self._name(base) in self._safe_loaders for base in node.bases):
            self._safe_loaders.add(node.name)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        targets = [target.attr for target in node.targets if isinstance(target, ast.Attribute)]
        if "check_hostname" in targets and is_false(node.value):
            self._fault(node, f"check_hostname: {TLS}")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        stored = not isinstance(node.left, ast.Constant | ast.JoinedStr)
        if isinstance(node.op, ast.Mod) and stored and isinstance(node.right, ast.Tuple | ast.Dict):
            self._fault(node, f"%: {FORMAT}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._name(node.func)
        self._check_keywords(node)
        if name in YAML_LOADS:
            self._check_loader(node)
        if name in SUBPROCESS:
            command = node.args[0] if node.args else find_keyword(node, "args")
            if command is not None and is_text(command):
                self._fault(node, f"{name}: takes a list, program first, so that no shell or splitting is needed")
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in ("format", "format_map")
            and self._name(node.func.value) != "self"  # a log handler's own method
        ):
            self._check_format(node, node.func.value)
        self.generic_visit(node)

    def _check_format(self, node: ast.Call, template: ast.expr) -> None:
        while isinstance(template, ast.Subscript):  # a row of a table of messages
            template = template.value
        if isinstance(template, ast.Constant) or (isinstance(template, ast.Name) and template.id in self._constants):
            return
        # SQL composed by psycopg is no text: its format takes only composables.
        if not (isinstance(template, ast.Call) and self._name(template.func) == "psycopg.sql.SQL"):
            self._fault(node, f".format: {FORMAT}")

    def _check_keywords(self, node: ast.Call) -> None:
        for keyword in node.keywords:
            if keyword.arg == "shell" and not is_false(keyword.value):
                self._fault(node, f"shell=: {SHELL}")
            if keyword.arg in ("verify", "verify_ssl", "check_hostname") and is_false(keyword.value):
                self._fault(node, f"{keyword.arg}=: {TLS}")
            if keyword.arg == "typ" and isinstance(keyword.value, ast.Constant) and keyword.value.value == "unsafe":
                self._fault(node, f"typ=: {OBJECTS}")

    def _check_loader(self, node: ast.Call) -> None:
        loader = node.args[1] if len(node.args) > 1 else find_keyword(node, "Loader")
        if self._name(loader) not in self._safe_loaders:
            self._fault(node, f"yaml.load: {OBJECTS}; name yaml.SafeLoader, or a class made from it in this file")


def find_keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in node.keywords if keyword.arg == name), None)


def is_literal(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Dict):
        return all(is_literal(part) for part in [*node.keys, *node.values])
    if isinstance(node, ast.Tuple | ast.List):
        return all(is_literal(part) for part in node.elts)
    if isinstance(node, ast.Subscript):  # a row of another literal table
        return isinstance(node.value, ast.Name) and node.value.id.isupper() and is_literal(node.slice)
    return isinstance(node, ast.Constant)


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return is_text(node.left) or is_text(node.right)
    method = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
    return isinstance(node, ast.JoinedStr | ast.Constant) or method in ("join", "format")


def find_sources() -> Iterator[Path]:
    yield from ROOT.glob("engine.py")
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def test_sources_hold_nothing_dangerous():
    sources = {path.relative_to(ROOT): Source(path.read_text(encoding="utf-8")) for path in find_sources()}
    assert Path("core/errors.py") in sources
    assert [f"{path}:{line} {words}" for path, source in sources.items() for line, words in source.faults] == []


@pytest.mark.parametrize(
    "text",
    [
        "eval(x)",
        "f = exec",
        "import builtins\nbuiltins.eval(x)",
        "compile(text, 'rule', 'eval')",
        "__import__(name)",
        "import pickle",
        "from marshal import loads",
        "import yaml\nyaml.load(text)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "from yaml import load\nload(text, Whatever)",
        "from yaml import unsafe_load",
        "YAML(typ='unsafe')",
        "import subprocess\nsubprocess.run(['ls'], shell=True)",
        "run(['ls'], shell=wanted)",
        "from os import system as start\nstart('ls')",
        "import os as o\no.popen('ls')",
        "import subprocess as sp\nsp.run('ls ' + path)",
        "from subprocess import Popen\nPopen(f'ls {path}')",
        "import subprocess\nsubprocess.call(args=' '.join(words))",
        "get(url, verify=False)",
        "import ssl\ncontext.verify_mode = ssl.CERT_NONE",
        "context.check_hostname = False",
        "stored.format(order=order)",
        "stored.format_map(order)",
        "(a + b).format(1)",
        "TEMPLATE = load()\nTEMPLATE.format(1)",
        "stored % (order,)",
    ],
)
def test_danger_is_found(text: str):
    assert Source(text).faults


@pytest.mark.parametrize(
    "text",
    [
        "import re\nre.compile(pattern)",
        "from rules.conditions import compile\ncompile(condition)",  # ours, by import
        "def compile(condition): ...\ncompile({})",  # ours, defined here
        "import yaml\nyaml.load(text, Loader=yaml.CSafeLoader)",
        "import yaml\nclass Strict(yaml.SafeLoader): ...\nyaml.load(text, Strict)",
        "import subprocess\nsubprocess.run(['git', 'log', '--', path])",
        "import subprocess\nsubprocess.run([*start, path], shell=False)",
        "'{} of {}'.format(1, 2)",
        "f'{total:.2f}' + format(total, 'n')",
        "WORDS = {'cap': 'at most {n}'}\nWORDS[code].format(n=1)",
        "from core.words import WORDS\nWORDS['cap'].format(n=1)",
        "left % right",
        "from psycopg import sql\nsql.SQL('DROP TABLE {}').format(name)",
        "connect(verify=True)",
    ],
)
def test_harmless_code_passes(text: str):
    assert Source(text).faults == []
