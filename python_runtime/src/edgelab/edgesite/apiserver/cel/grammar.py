"""Sets of symbols of the grammar (`CEL.g4`), and how errors name them."""

from __future__ import annotations

_RESERVED = (
    "as break const continue else false for function if import"
    " in let loop package namespace null return true var void while"
)
RESERVED = frozenset(_RESERVED.split())
PRIMARY = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES,"
    " IDENTIFIER}"
)
_STARTS = "[ { ( . - ! true false null STRING BYTES IDENTIFIER NUM_FLOAT NUM_INT NUM_UINT"
STARTS = frozenset(_STARTS.split())
_AFTER = "== != in < <= >= > && || [ . - ? + * / % <EOF> ) ] } , :"
AFTER = frozenset(_AFTER.split())
IN_LIST = PRIMARY.replace("'{'", "']', '{'").replace("'.', ", "'.', ',', ").replace("'!', ", "'!', '?', ")
IN_MAP = PRIMARY.replace("'{', ", "'{', '}', ").replace("'.', ", "'.', ',', ").replace("'!', ", "'!', '?', ")
LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("<", "<=", ">=", ">", "==", "!=", "in"),
    ("+", "-"),
    ("*", "/", "%"),
)
NO_WAY = "Syntax error: no viable alternative at input '{}'"
MAX_DEPTH = 250
MAX_SIZE = 100_000
TYPES = {
    "BYTES": "bytes",
    "NUM_FLOAT": "double",
    "NUM_INT": "int",
    "NUM_UINT": "uint",
    "STRING": "string",
    "bool": "bool",
    "null": "null_type",
}
