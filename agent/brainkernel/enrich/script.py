"""What an interpreter runs, from its command line alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ARGS_MAX = 64  # an interpreter's own options come first; a script that hides behind more is not found


@dataclass(frozen=True, slots=True)
class _Interpreter:
    names: re.Pattern[str]
    takes_value: frozenset[str] = frozenset()  # options whose value is the next argument
    inline: frozenset[str] = frozenset()  # options after which there is no script file
    names_program: frozenset[str] = frozenset()  # options whose value is what runs (-m, -jar)


def _interpreter(names: str, takes_value: str = "", inline: str = "", names_program: str = "") -> _Interpreter:
    return _Interpreter(re.compile(names), frozenset(takes_value.split()), frozenset(inline.split()), frozenset(names_program.split()))


_INTERPRETERS = (
    _interpreter(r"(?:python|pypy)[\d.]*(?:-dbg|t)?", "-W -X --check-hash-based-pycs", "-c", "-m"),
    _interpreter(r"perl[\d.]*", "-I", "-e -E"),
    _interpreter(r"(?:ba|da|z|k|mk|pdk|a|c|tc|fi|r?ba)?sh(?:\d[\d.]*)?|rbash", "-o +o -O +O --rcfile --init-file", "-c -s"),
    _interpreter(r"busybox", "", "-c -s"),
    _interpreter(r"j?ruby[\d.]*", "-I -r -E -C", "-e"),
    _interpreter(r"node(?:js)?|bun|deno", "-r --require --import --loader -C --conditions", "-e --eval -p --print -i"),
    _interpreter(r"php[\d.]*(?:-cgi)?", "-d -c -z", "-r -B -E -S -a", "-f"),
    _interpreter(
        r"java", "-cp -classpath --class-path -p --module-path --add-modules --add-opens --add-exports --add-reads", "", "-jar -m --module"
    ),
    _interpreter(r"lua(?:jit)?[\d.]*", "-l", "-e -i"),
    _interpreter(r"(?:tcl|wi)sh[\d.]*|expect", "-encoding", "-c"),
    _interpreter(r"[gmn]?awk|original-awk", "-F -v --field-separator --assign -i --include -l --load", "-e --source", "-f --file"),
    _interpreter(r"(?:Rscript|R)", "-e", "-e"),
    _interpreter(r"guile[\d.-]*", "-L -C -l", "-c"),
    _interpreter(r"(?:mono|dotnet|cscript|ocaml|escript|erl|julia|groovy|scala|swipl|osascript|pwsh)", "", "-e -c -Command", "-File -file"),
)
_AWK = _INTERPRETERS[10]
_RUNS_ONE_ARGUMENT = frozenset({"deno", "bun", "dotnet"})  # "deno run FILE", "dotnet exec FILE"
_DEFINES = ("-D", "-X", "-W")  # java -Dname=value, perl -W, python -Xopt: value attached


def interpreter_of(path: str) -> _Interpreter | None:
    """Which interpreter a program file is, by its name; None if it is none."""
    name = path.rpartition("/")[2]
    return next((i for i in _INTERPRETERS if i.names.fullmatch(name)), None)


def script_of(exe: str, argv: tuple[str, ...], filename: str = "") -> str:
    """The script an interpreter runs: a path as it was given, "-m MODULE" for a module; "" for inline code or none.

    `filename` is what execve was given: if that is not an interpreter itself, the kernel found a "#!" line in it
    (binfmt_script.c) and it is the script, whatever argv says.
    """
    interpreter = interpreter_of(exe)
    if interpreter is None:
        return ""
    if filename and filename != exe and interpreter_of(filename) is None:
        return filename
    return _from_arguments(interpreter, argv)


def _from_arguments(interpreter: _Interpreter, argv: tuple[str, ...]) -> str:
    args = iter(argv[1:_ARGS_MAX])
    for arg in args:
        if arg == "--":
            return "" if interpreter is _AWK else next(args, "")
        if arg in interpreter.names_program:
            value = next(args, "")
            return f"-m {value}" if arg == "-m" and value else value
        if arg in interpreter.inline or _is_inline_bundle(arg, interpreter):
            return ""
        if arg in interpreter.takes_value:
            next(args, None)
        elif arg == "-":
            return ""
        elif not arg.startswith(("-", "+")):
            if arg in ("run", "exec") and argv[0].rpartition("/")[2] in _RUNS_ONE_ARGUMENT:
                continue
            return "" if interpreter is _AWK else arg  # awk's first word is the program text
    return ""


def _is_inline_bundle(arg: str, interpreter: _Interpreter) -> bool:
    # "bash -xec CODE", "perl -lane CODE": short options in one word, the last of which takes the code.
    return (
        len(arg) > 2  # noqa: PLR2004 # "-" and at least two letters
        and arg[0] == "-"
        and arg[1] != "-"
        and arg[1:].isalpha()
        and f"-{arg[-1]}" in interpreter.inline
        and "-jar" not in interpreter.names_program
        and not arg.startswith(_DEFINES)
    )
