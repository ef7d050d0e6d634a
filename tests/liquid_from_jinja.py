"""Translate a Jinja template into Liquid that tries the same thing, so that tables of Jinja attacks can be run.

Liquid's filters take plain values only, so every inner expression gets a name by `assign`. What Liquid
has no word for (calling a method, say) becomes the nearest wording: a filter of the method's name.
"""

from itertools import count
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes

FILTER_NAMES = {
    "upper": "upcase", "lower": "downcase", "length": "size", "count": "size", "trim": "strip", "e": "escape",
    "tojson": "json", "title": "capitalize", "unique": "uniq", "striptags": "strip_html", "urlencode": "url_encode",
}  # fmt: skip
#: Filters that Liquid writes as a chain, or not at all.
CHAINS = {
    "list": "", "safe": "", "forceescape": "", "string": "append: ''", "int": "floor", "max": "sort | last",
    "min": "sort | first",
}  # fmt: skip
#: Filters of both languages that do different things by the same name.
OTHERWISE = {"truncate", "wordwrap", "indent", "center"}
OPERATORS = {
    nodes.Add: "plus", nodes.Sub: "minus", nodes.Mul: "times", nodes.Div: "divided_by", nodes.FloorDiv: "divided_by",
    nodes.Mod: "modulo",
}  # fmt: skip
COMPARISONS = {"eq": "==", "ne": "!=", "gt": ">", "gteq": ">=", "lt": "<", "lteq": "<=", "in": "contains"}


class NoWordingError(Exception):
    """Neither Jinja nor the translator can read it: only the raw text is tried."""


def to_liquid(template: str) -> str:
    """Return the Liquid for a Jinja template; raise NoWordingError where there is none."""
    try:
        # It only parses; autoescape is set because there is no reason not to.
        jinja = Environment(autoescape=True, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
        return "".join(_Writer().statements(jinja.parse(template).body))
    except (TemplateSyntaxError, RecursionError) as exc:
        raise NoWordingError(type(exc).__name__) from exc


class _Writer:
    def __init__(self) -> None:
        self.names = (f"t{number}" for number in count())
        self.out: list[str] = []

    def statements(self, body: list[Any]) -> list[str]:
        """Write statements in order; each may need names assigned before it."""
        for node in body:
            writer = getattr(self, f"_{type(node).__name__.lower()}", None)
            if writer is None:
                raise NoWordingError(type(node).__name__)
            writer(node)
        return self.out

    def _output(self, node: nodes.Output) -> None:
        for part in node.nodes:
            if isinstance(part, nodes.TemplateData):
                self.out.append(f"{{% raw %}}{part.data}{{% endraw %}}" if "{" in part.data else part.data)
            else:
                value = self.value(part)
                # Jinja prints a list in brackets; Liquid writes the items, so JSON stands for the list.
                listed = isinstance(part, nodes.Filter) and part.name == "list"
                self.out.append(f"{{{{ {value}{' | json' if listed else ''} }}}}")

    def _for(self, node: nodes.For) -> None:
        items = self.value(node.iter)
        self.out.append(f"{{% for {getattr(node.target, 'name', 'pair')} in {items} %}}")
        self.statements(node.body)
        self.out.append("{% endfor %}")

    def _if(self, node: nodes.If) -> None:
        self.out.append(f"{{% if {self.condition(node.test)} %}}")
        self.statements(node.body)
        if node.else_:
            self.out.append("{% else %}")
            self.statements(node.else_)
        self.out.append("{% endif %}")

    def _assign(self, node: nodes.Assign) -> None:
        self.out.append(f"{{% assign {getattr(node.target, 'name', 'pair')} = {self.value(node.node)} %}}")

    def _assignblock(self, node: nodes.AssignBlock) -> None:
        self.out.append(f"{{% capture {getattr(node.target, 'name', 'pair')} %}}")
        self.statements(node.body)
        self.out.append("{% endcapture %}")

    def _filterblock(self, node: nodes.FilterBlock) -> None:
        name = next(self.names)
        self.out.append(f"{{% capture {name} %}}")
        self.statements(node.body)
        self.out.append("{% endcapture %}")
        self.out.append(f"{{{{ {self.filtered(name, node.filter.name, node.filter.args)} }}}}")

    def _import(self, node: Any) -> None:
        self.out.append(f"{{% include {self.value(node.template)} %}}")

    _fromimport = _include = _extends = _import

    def _macro(self, node: nodes.Macro) -> None:
        raise NoWordingError("Liquid has no macros")

    def _exprstmt(self, node: nodes.ExprStmt) -> None:
        self.value(node.node)

    def _with(self, node: nodes.With) -> None:
        for target, value in zip(node.targets, node.values, strict=True):
            self.out.append(f"{{% assign {getattr(target, 'name', 'pair')} = {self.value(value)} %}}")
        self.statements(node.body)

    def _scope(self, node: Any) -> None:
        self.statements(node.body)

    _scopedevalcontextmodifier = _block = _scope

    def condition(self, node: Any) -> str:
        """Write what stands after `if`."""
        if isinstance(node, nodes.Compare) and len(node.ops) == 1 and node.ops[0].op in COMPARISONS:
            one, other = self.value(node.expr), self.value(node.ops[0].expr)
            if node.ops[0].op == "in":
                one, other = other, one
            return f"{one} {COMPARISONS[node.ops[0].op]} {other}"
        if isinstance(node, (nodes.And, nodes.Or)):
            return f"{self.condition(node.left)} {type(node).__name__.lower()} {self.condition(node.right)}"
        if isinstance(node, nodes.Test) and node.name in ("defined", "undefined", "none"):
            return f"{self.value(node.node)} {'!=' if node.name == 'defined' else '=='} nil"
        if isinstance(node, nodes.Not):
            if not isinstance(node.node, (nodes.Name, nodes.Getattr, nodes.Getitem)):
                raise NoWordingError("not of an expression")
            return f"{self.value(node.node)} == nil"
        return self.value(node)

    def value(self, node: Any) -> str:
        """Write an expression as one plain value, with names assigned before it where Liquid needs them."""
        writer = getattr(self, f"_v_{type(node).__name__.lower()}", None)
        if writer is not None:
            return writer(node)
        if type(node) in OPERATORS:
            return self.operation(node)
        raise NoWordingError(type(node).__name__)

    def _v_const(self, node: nodes.Const) -> str:
        if isinstance(node.value, str):
            return quoted(node.value)
        if isinstance(node.value, float) and abs(node.value) > 1e15:
            return "9" * 40
        if node.value is None or isinstance(node.value, bool):
            return {True: "true", False: "false", None: "nil"}[node.value]
        return str(node.value)

    def _v_name(self, node: nodes.Name) -> str:
        return {"loop": "forloop"}.get(node.name, node.name)

    def _v_getattr(self, node: nodes.Getattr) -> str:
        return f"{self.named(node.node)}.{node.attr}"

    def _v_getitem(self, node: nodes.Getitem) -> str:
        if isinstance(node.arg, nodes.Slice):
            raise NoWordingError("slices")
        return f"{self.named(node.node)}[{self.value(node.arg)}]"

    def _v_filter(self, node: nodes.Filter) -> str:
        return self.filtered(self.value(node.node), node.name, [*node.args, *(pair.value for pair in node.kwargs)])

    def _v_call(self, node: nodes.Call) -> str:
        arguments = [*node.args, *(pair.value for pair in node.kwargs)]
        if isinstance(node.node, nodes.Name) and node.node.name == "range" and arguments:
            first = "0" if len(arguments) == 1 else self.value(arguments[0])
            last = self.assigned(f"{self.value(arguments[-1 if len(arguments) < 3 else 1])} | minus: 1")
            return f"({first}..{last})"
        if isinstance(node.node, nodes.Getattr):
            return self.filtered(self.value(node.node.node), node.node.attr, arguments)
        return self.filtered(self.value(node.node), "call", arguments) if arguments else self.value(node.node)

    def _v_truth(self, node: Any) -> str:
        name = next(self.names)
        self.out.append(f"{{% if {self.condition(node)} %}}{{% assign {name} = 'True' %}}")
        self.out.append(f"{{% else %}}{{% assign {name} = 'False' %}}{{% endif %}}")
        return name

    _v_compare = _v_test = _v_not = _v_truth

    def _v_condexpr(self, node: nodes.CondExpr) -> str:
        name = next(self.names)
        self.out.append(f"{{% if {self.condition(node.test)} %}}{{% assign {name} = {self.value(node.expr1)} %}}")
        self.out.append(f"{{% else %}}{{% assign {name} = {self.value(node.expr2) if node.expr2 else 'nil'} %}}")
        self.out.append("{% endif %}")
        return name

    def _v_concat(self, node: nodes.Concat) -> str:
        result = quoted("")
        for part in node.nodes:
            result = self.assigned(f"{result} | append: {self.value(part)}")
        return result

    def _v_list(self, node: Any) -> str:
        result = self.assigned("'' | split: ','")
        for item in node.items:
            one = self.assigned(f"{self.value(item)} | slice: 0, 999 | split: '\u0001'")
            result = self.assigned(f"{result} | concat: {one}")
        return result

    _v_tuple = _v_list

    def _v_dict(self, node: nodes.Dict) -> str:
        return self.assigned("'' | split: ','")

    def _v_neg(self, node: nodes.Neg) -> str:
        return self.assigned(f"0 | minus: {self.value(node.node)}")

    def _v_templatedata(self, node: nodes.TemplateData) -> str:
        return quoted(node.data)

    def _v_pow(self, node: nodes.Pow) -> str:
        base, times, name = self.value(node.left), self.value(node.right), next(self.names)
        self.out.append(f"{{% assign {name} = 1 %}}{{% for i in (1..{times}) %}}")
        self.out.append(f"{{% assign {name} = {name} | times: {base} %}}{{% endfor %}}")
        return name

    def operation(self, node: Any) -> str:
        """Write arithmetic; text times a number is repetition, text % value is filling in."""
        if isinstance(node, nodes.Mod) and isinstance(node.left, nodes.Const) and isinstance(node.left.value, str):
            text = self.value(node.left)
            return self.assigned(f"{text} | replace: '%s', {self.value(node.right)}")
        if isinstance(node, nodes.Mul) and _is_growing(node.left):
            grown, name = self.value(node.left), next(self.names)
            step = "concat" if isinstance(node.left, (nodes.List, nodes.Tuple)) else "append"
            self.out.append(f"{{% assign {name} = {grown} %}}{{% for i in (2..{self.value(node.right)}) %}}")
            self.out.append(f"{{% assign {name} = {name} | {step}: {grown} %}}{{% endfor %}}")
            return name
        one = self.value(node.left)
        if isinstance(node, nodes.Div):
            one = self.assigned(f"{one} | times: 1.0")
        return self.assigned(f"{one} | {OPERATORS[type(node)]}: {self.value(node.right)}")

    def filtered(self, value: str, name: str, arguments: list[Any]) -> str:
        """Write a filter; Jinja's map(attribute='x') is Liquid's map: 'x'."""
        if name in CHAINS and not arguments:
            turned = "reverse | reverse" if value.startswith("(") else CHAINS[name]
            return self.assigned(f"{value} | {turned}") if turned else value
        if name in OTHERWISE and not value.startswith("'"):
            raise NoWordingError(name)
        if name == "map" and isinstance(arguments[0], nodes.Const) and arguments[0].value == "string":
            return value
        if name == "format":
            return self.formatted(value, arguments)
        written = ", ".join(self.value(argument) for argument in arguments)
        used = FILTER_NAMES.get(name, name)
        if used == "join" and not arguments:
            written = "''"
        return self.assigned(f"{value} | {used}{': ' + written if written else ''}")

    def formatted(self, text: str, arguments: list[Any]) -> str:
        """Fill in the places of a format, in order; widths and precisions have no wording."""
        if "{}" not in text and "%s" not in text:
            raise NoWordingError("a format with widths")
        for argument in arguments:
            place = "{}" if "{}" in text else "%s"
            text = self.assigned(f"{text} | replace_first: '{place}', {self.value(argument)}")
        return text

    def named(self, node: Any) -> str:
        """Return a value that a dot may follow."""
        value = self.value(node)
        return value if value[:1].isalpha() and value not in ("true", "false", "nil") else self.assigned(value)

    def assigned(self, expression: str) -> str:
        """Give an expression a name."""
        name = next(self.names)
        self.out.append(f"{{% assign {name} = {expression} %}}")
        return name


def _is_growing(node: Any) -> bool:
    if isinstance(node, nodes.Const):
        return isinstance(node.value, str)
    return isinstance(node, (nodes.List, nodes.Tuple)) or (isinstance(node, nodes.Mul) and _is_growing(node.left))


def quoted(text: str) -> str:
    """Write text in Liquid's quotes, which know no escapes."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    raise NoWordingError("text with both kinds of quotes")
