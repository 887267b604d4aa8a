"""Files of prompt styles: Jinja blocks and constants, read with their parents, checked before anything is asked.

A file's blocks run in a sandbox that knows neither files nor other templates than the parents it extends, draws
nothing at random, and takes texts of items as values: what stands in them is never a template.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dfar_toolkit.errors import TableError

TEMPLATES: Final = Path(__file__).resolve().parent / "templates"
RATIONALE_TEMPLATES: Final = TEMPLATES.parent / "rationale_templates"
ENDING: Final = ".jinja"
BLOCKS: Final = ("system", "user", "answer_start")
VARIABLES: Final = (
    "statement", "context", "options", "option_texts", "choices", "wording", "persona", "earlier", "first",
)  # fmt: skip
SETTINGS: Final = (
    "answer", "about", "stops", "max_new_tokens", "joint", "before_label", "before_reason", "plain_only", "steps",
    "letters", "target",
)  # fmt: skip
_FILTERS: Final = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "join", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "select",
    "selectattr", "sort", "string", "sum", "title", "trim", "truncate", "unique", "upper",
)  # fmt: skip
_METHODS: Final = frozenset(
    ("capitalize", "casefold", "endswith", "isalpha", "isdigit", "join", "lower", "lstrip", "removeprefix",
     "removesuffix", "replace", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper")
)  # fmt: skip
_MOST_STEPS: Final = 1000  # of a range
_LARGEST: Final = 1_000_000  # bytes of a file
# Unicode's white space, as Polars strips it; Python's own strip takes four control characters more.
_WHITE: Final = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"  # noqa: E501

Block = Callable[[Context], Iterator[str]]


class StyleBlocks(NamedTuple):
    """A style's file together with its parents.

    Attributes:
        path: The file.
        constants: Its top-level values, and its parents' where it has none of that name.
        blocks: Each block's own version first, then those of its parents.
        names: Variables that its blocks read.
        sha256: Of the texts of all files, its own first.
    """

    path: Path
    constants: Mapping[str, object]
    blocks: Mapping[str, list[Block]]
    names: frozenset[str]
    sha256: str

    def context(self, values: Mapping[str, object]) -> Context:
        """What the blocks read of one item: its values beside the file's constants."""
        found = _ENVIRONMENT.context_class(_ENVIRONMENT, {**_GLOBALS, **self.constants, **values}, self.path.name, {})
        found.blocks = self.blocks  # type: ignore[assignment]  # shared; only a root that extends would change them
        return found

    def render(self, block: str, context: Context) -> str:
        """The text of a block; empty where there is none.

        Raises:
            TableError: Whatever goes wrong in the file, with its line.
        """
        versions = self.blocks.get(block)
        if versions is None:
            return ""
        try:
            return "".join(versions[0](context))
        except Exception as error:
            raise TableError(f"{_place(error.__traceback__, self.path)}: {_words(error)}") from error


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox without what grows without bounds: repeated texts, powers, widths."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"{operator} is for small numbers here, not for texts or lists")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str):
            return attr in _METHODS
        return super().is_safe_attribute(obj, attr, value)


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > _MOST_STEPS:
        raise SecurityError(f"a range has {_MOST_STEPS:,} steps at most, found {len(found):,}")
    return found


def _environment() -> _Environment:
    environment = _Environment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.globals = {"range": _range}
    environment.tests["blank"] = lambda text: not text.strip(_WHITE)
    return environment


_ENVIRONMENT: Final = _environment()
_GLOBALS: Final[dict[str, object]] = {"range": _range}


class _File(NamedTuple):
    path: Path
    text: str
    blocks: dict[str, nodes.Block]
    constants: dict[str, tuple[object, int]]
    extends: str | None
    template: Template
    outermost: dict[str, int]  # blocks that stand in no other, with their lines


def read_style_file(path: Path) -> StyleBlocks:
    r"""A style's file with the parents it extends, from its own folder or ours.

    One line break at the end of a block ``system``, ``user`` or ``answer_start`` is the file's own and not the
    prompt's.

    Args:
        path: The file.

    Returns:
        Its constants and blocks.

    Raises:
        TableError: It cannot be read, is no Jinja, has no block ``user``, text outside of blocks, includes, an unknown
            variable or an unused constant, or a parent outside of the two folders; one line with file and line.

    Example:
        >>> read_style_file(TEMPLATES / "label.jinja").constants["answer"]
        'label'
    """
    chain = [_parsed(path)]
    while (parent := chain[-1].extends) is not None:
        found = _parent(parent, chain)
        chain.append(_parsed(found))
    constants = {name: value for file in reversed(chain) for name, (value, _) in file.constants.items()}
    blocks: dict[str, list[Block]] = {}
    for file in chain:
        for name, block in file.template.blocks.items():
            blocks.setdefault(name, []).append(block)
    if "user" not in blocks:
        raise TableError(f"{path}: wanted a block named user ({{% block user %}} ... {{% endblock %}}), found none.")
    names = _names_read(chain, constants)
    _no_idle_constants(chain, names)
    _no_idle_blocks(chain)
    digest = hashlib.sha256()
    for file in chain:
        digest.update(hashlib.sha256(file.text.encode()).digest())
    return StyleBlocks(path, constants, blocks, names, digest.hexdigest())


def _parsed(path: Path) -> _File:
    try:
        if path.stat().st_size > _LARGEST:
            raise TableError(f"{path}: a style's file has {_LARGEST:,} bytes at most, found {path.stat().st_size:,}.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: wanted a style's file in UTF-8, found {_words(error)}.") from error
    try:
        tree = _ENVIRONMENT.parse(text, path.name, str(path))
    except (TemplateSyntaxError, RecursionError) as error:
        line = error.lineno if isinstance(error, TemplateSyntaxError) else 1
        raise TableError(f"{path}, line {line}: {_words(error)}") from error
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport)):
        raise TableError(f"{path}, line {node.lineno}: a style extends one parent; include and import are not known.")
    blocks = {block.name: block for block in tree.find_all(nodes.Block)}
    for name in BLOCKS:
        if name in blocks:
            _without_last_break(blocks[name])
    constants, extends = _top_level(tree, path)
    try:
        code = _ENVIRONMENT.compile(tree, path.name, str(path))
    except (TemplateSyntaxError, RecursionError) as error:  # such as an unknown filter, or the same block twice
        line = error.lineno if isinstance(error, TemplateSyntaxError) else 1
        raise TableError(f"{path}, line {line}: {_words(error)}") from error
    template = Template.from_code(_ENVIRONMENT, code, {})
    outermost = {node.name: node.lineno for node in tree.body if isinstance(node, nodes.Block)}
    return _File(path, text, blocks, constants, extends, template, outermost)


def _without_last_break(block: nodes.Block) -> None:
    """One line break of the template's own at the end of a block taken away."""
    last = block.body[-1] if block.body else None
    data = last.nodes[-1] if isinstance(last, nodes.Output) and last.nodes else None
    if isinstance(data, nodes.TemplateData):
        data.data = data.data.removesuffix("\n")


def _top_level(tree: nodes.Template, path: Path) -> tuple[dict[str, tuple[object, int]], str | None]:
    """Constants with their lines, and the parent's name; refuses all else outside of blocks."""
    constants: dict[str, tuple[object, int]] = {}
    extends = None
    for node in tree.body:
        where = f"{path}, line {node.lineno}"
        if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name) and isinstance(node.node, nodes.Expr):
            name = node.target.name
            if name in VARIABLES:
                raise TableError(f"{where}: {name} is a text of the item and cannot be set.")
            try:
                constants[name] = (node.node.as_const(), node.lineno)
            except nodes.Impossible:
                raise TableError(f"{where}: outside of blocks a value is written out, such as 'label' or 16.") from None
        elif isinstance(node, nodes.Extends):
            if extends is not None or not isinstance(node.template, nodes.Const):
                raise TableError(f"{where}: a style extends one file, named in quotes.")
            extends = str(node.template.value)
        elif isinstance(node, nodes.Output):
            said = [part for part in node.nodes if not isinstance(part, nodes.TemplateData) or part.data.strip()]
            if said:
                raise TableError(
                    f"{where}: text stands outside of a block; put it into {{% block user %}} ... {{% endblock %}}."
                )
        elif not isinstance(node, nodes.Block):
            raise TableError(f"{where}: outside of blocks a style only sets values and extends a file.")
    return constants, extends


def _parent(name: str, chain: list[_File]) -> Path:
    """The file of a parent: beside the first file, else ours; a file may extend ours of its own name."""
    where = chain[-1].path
    for folder in dict.fromkeys((chain[0].path.resolve().parent, TEMPLATES, RATIONALE_TEMPLATES)):
        found = folder / name
        if Path(name).name != name or name in (".", "..") or "\\" in name or found.resolve().parent != folder:
            break
        if found.is_file():
            if found.resolve() not in [file.path.resolve() for file in chain]:
                return found
            if folder in (TEMPLATES, RATIONALE_TEMPLATES):
                raise TableError(f"{where}: extends {name!r}, which extends it in turn.")
    ours = ", ".join(sorted(path.name for path in TEMPLATES.glob(f"*{ENDING}")))
    raise TableError(f"{where}: extends {name!r}, which is no file in its folder and none of ours ({ours}).")


def _names_read(chain: list[_File], constants: Mapping[str, object]) -> frozenset[str]:
    """What the blocks read; of a block that a child replaced, only what ``super()`` brings back."""
    read: set[str] = set()
    for name in {name for file in chain for name in file.blocks}:
        for file in chain:
            block = file.blocks.get(name)
            if block is None:
                continue
            alone = nodes.Template([block], lineno=block.lineno)
            alone.set_environment(_ENVIRONMENT)
            names = meta.find_undeclared_variables(alone)
            _all_known(file, block, names, constants)
            read |= names
            if not any(call.name == "super" for call in block.find_all(nodes.Name)):
                break
    return frozenset(read)


def _all_known(file: _File, block: nodes.Block, names: set[str], constants: Mapping[str, object]) -> None:
    known = (*VARIABLES, *constants)
    for name in sorted(names - set(known) - {"super", "self"}):
        line = next((n.lineno for n in block.find_all(nodes.Name) if n.name == name), block.lineno)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Is it {near[0]}?" if near else ""
        raise TableError(
            f"{file.path}, line {line}: unknown variable {name!r}; known are {', '.join(VARIABLES)} and what the file "
            f"sets.{hint}"
        )


def _no_idle_constants(chain: list[_File], names: frozenset[str]) -> None:
    """A value of the user's own file that nothing reads is a mistyped setting."""
    for name, (_, line) in chain[0].constants.items():
        if name not in names and name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f" Is it {near[0]}?" if near else ""
            raise TableError(
                f"{chain[0].path}, line {line}: {name!r} is set, but no block reads it and it is no setting "
                f"({', '.join(SETTINGS)}).{hint}"
            )


def _no_idle_blocks(chain: list[_File]) -> None:
    """A block that is no part of a prompt and takes the place of none is a mistyped one."""
    for depth, file in enumerate(chain):
        known = list(dict.fromkeys((*BLOCKS, *(name for parent in chain[depth + 1 :] for name in parent.blocks))))
        for name, line in file.outermost.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f" Is it {near[0]}?" if near else ""
                raise TableError(
                    f"{file.path}, line {line}: nothing shows the block {name!r}; known are {', '.join(known)}.{hint}"
                )


def _place(trace: TracebackType | None, path: Path) -> str:
    """File and line of the innermost template in a traceback."""
    place = str(path)
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            place = f"{template.filename}, line {template.get_corresponding_lineno(trace.tb_lineno)}"
        trace = trace.tb_next
    return place


def _words(error: BaseException) -> str:
    """An error's message on one line."""
    said = error.strerror if isinstance(error, OSError) else str(error)
    return " ".join((said or type(error).__name__).split())
