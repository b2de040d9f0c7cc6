"""Where a statement ends and which parameters it has: the two things that the sqlite3 module keeps to itself.

The tokens are SQLite's; everything else about a statement SQLite is asked.
"""
import re

from failures import Failure

TOKEN = re.compile(r"""
    (?P<space> [\ \t\n\f\r]+ | --[^\n]* | /\*(?s:.*?)(?:\*/|\Z) )
  | (?P<word> (?:[A-Za-z_]|[^\x00-\x7f]) (?:[\w$]|[^\x00-\x7f])* )
  | (?P<parameter> \?[0-9]* | [:@$\#](?:[A-Za-z0-9_$]|[^\x00-\x7f]|::)+(?:\([^)\s]*\))? )
  | (?P<semicolon> ; )
  | (?P<other> '(?:[^']|'')*'? | "(?:[^"]|"")*"? | `(?:[^`]|``)*`? | \[[^\]]*\]? | \.?[0-9][\w.$]* | (?s:.) )
""", re.X)


class Statement:
    """The one statement of a text. Raises what is wrong with the text as a whole."""

    def __init__(self, text):
        nul = text.find("\0")
        if nul >= 0:
            raise Failure("SQL_SYNTAX", "the SQL text contains a NUL byte", sql_offset=utf8(text[:nul]))
        self.words = []  # the first few, in upper case: EXPLAIN, CREATE TRIGGER
        self.parameters = {}  # number: name with prefix, or None
        self.highest = 0  # of those numbers
        numbers, start, rest, last = {}, None, None, []
        self.text = text
        for token in TOKEN.finditer(text):
            kind = token.lastgroup
            if kind == "space" or (start is None and kind == "semicolon"):
                continue
            if start is None:
                start = token.start()
            if rest is not None:  # the statement is over
                if kind != "semicolon":
                    self.rest = utf8(text[:token.start()])
                    break
                continue
            if kind == "word" and len(self.words) < 6:
                self.words.append(token[0].upper())
            elif kind == "parameter":
                self._parameter(token[0], numbers)
            if kind == "semicolon" and (not self._is_trigger() or last[-2:] == [";", "END"]):
                rest = token.end()
                self.text = text[start:rest]
            last = last[-1:] + [token[0].upper()]
        else:
            self.rest = None
            if start is None:
                raise Failure("SQL_EMPTY", "the SQL text contains no statement")
            if rest is None:
                self.text = text[start:]

    def explanation(self):
        """The same statement as EXPLAIN."""
        if self.words[:3] == ["EXPLAIN", "QUERY", "PLAN"]:
            return re.sub(r"(?is)\bquery\b.*?\bplan\b", "", self.text, count=1)
        return self.text if self.words[:1] == ["EXPLAIN"] else "EXPLAIN " + self.text

    def _is_trigger(self):
        words = [word for word in self.words if word not in ("EXPLAIN", "QUERY", "PLAN", "TEMP", "TEMPORARY")]
        return words[:2] == ["CREATE", "TRIGGER"]

    def _parameter(self, name, numbers):
        """Numbers as SQLite gives them."""
        if name[0] == "?" and name != "?":
            number = int(name[1:])
            self.parameters[number] = name
        elif name in numbers:
            return
        else:
            number = self.highest + 1
            self.parameters[number] = None if name == "?" else name
            numbers[name if name != "?" else number] = number
        self.highest = max(self.highest, number)


def utf8(text):
    return len(text.encode())
