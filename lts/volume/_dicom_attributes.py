"""Attributes that a segmentation copies from its series, each checked by the rule of its type.

Scanners, archives and de-identification write values that break DICOM's rules. A valid value is copied. One
whose meaning is certain is corrected: `2024.01.01` is a date of an older standard. Any other is left out, or
empty if DICOM requires the attribute: a guess, or a part of an identifier, would be worse. Attributes without
a rule in `RULES`, such as private ones, are not copied.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lts.volume._dicom_calls import require
from lts.volume._dicom_rules import RULES, Rule

_UTF_8 = "ISO_IR 192"

_KEPT_CHARSETS = (
    *(f"ISO_IR {number}" for number in (100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192)),
    *("GB18030", "GBK"),
)
"""Character sets with one encoding. Text in others, which switch within a text, becomes UTF-8."""


COPIED = ("SpecificCharacterSet", *RULES)
"""The attributes that `copy_attributes` reads."""

_ONE_TEXT = ("LT", "ST", "UT")
"""Value representations that may hold backslashes and line ends."""

_TEXT = (*_ONE_TEXT, "LO", "PN", "SH", "UC")
"""Value representations in the character set of the file; others are ASCII."""

_LINE_ENDS = "\t\n\f\r"
_DELIMITERS = f"\\{_LINE_ENDS}"
"""Characters after which text returns to its first character set."""

_NAME_PARTS = 5

_DATE = re.compile(r"(\d{4})[./-](\d\d)[./-](\d\d)")
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d(?:\.\d{1,6})?))?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_MEND: Mapping[str, Callable[[str], str]] = {
    "AS": lambda age: age.upper().zfill(4),
    "CS": str.upper,
    "DA": lambda date: "".join(found.groups()) if (found := _DATE.fullmatch(date)) else date,
    "DS": lambda number: f"{float(number):.9g}" if _NUMBER.fullmatch(number) else number,
    "TM": lambda time: "".join(found.groups("")) if (found := _TIME.fullmatch(time)) else time,
}
"""By value representation, corrections of values whose meaning is certain."""


@dataclass(frozen=True)
class CopiedAttributes:
    """The attributes copied from a header.

    Attributes:
        dataset: A pydicom dataset.
        charset: The SpecificCharacterSet that all its text fits; "" for ASCII.
        notes: Changes by attribute names, one sentence each. Values are left out, as they may name the
            patient.
    """

    dataset: Any
    charset: str
    notes: tuple[str, ...]


def copy_attributes(header: Any) -> CopiedAttributes:
    """Copy attributes of patient, study and scanner; to be called while `parsing`.

    Args:
        header: The pydicom dataset.
    """
    declared = header.get("SpecificCharacterSet") or ""
    terms = [declared] if isinstance(declared, str) else [str(term) for term in declared]
    reader = _Reader(terms)
    dataset = reader.read(header, RULES)
    charset = _charset(terms, reader.texts)
    notes = []
    for names, what in (
        (reader.mended, "mended"),
        ([name for name in reader.broken if name in dataset], "left empty"),
        ([name for name in reader.broken if name not in dataset], "left out"),
    ):
        if names:
            notes.append(f"DICOM output: {what}, as the series breaks DICOM's rules: {', '.join(names)}.")
    if charset == _UTF_8 and terms != [_UTF_8]:
        was = "\\".join(terms) or "absent"
        notes.append(
            f"DICOM output: text is written as UTF-8, as SpecificCharacterSet of the series is {was[:64]!r}."
        )
    return CopiedAttributes(dataset, charset, tuple(notes))


class _Reader:
    """Reads attributes by their rules, and records those that break them.

    Args:
        terms: The values of SpecificCharacterSet.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        self.mended: list[str] = []
        self.broken: list[str] = []
        self.texts: list[str] = []
        self._terms = list(terms)
        self._encodings = _encodings(terms)

    def read(self, source: Any, rules: Mapping[str, Rule]) -> Any:
        """Read a dataset into a new, valid one."""
        found: dict[str, Any] = {}
        for keyword, rule in rules.items():
            if keyword in source and (value := self._value(source, keyword, rule)):
                found[keyword] = value
        while lonely := [name for name in found if not _has_needs(rules[name], found, found[name])]:
            for name in lonely:
                del found[name]
            self.broken += lonely
        dataset = require("pydicom").Dataset()
        for keyword, rule in rules.items():
            if keyword in found:
                setattr(dataset, keyword, found[keyword])
            elif not rule.may_lack and _has_needs(rule, found, ""):
                setattr(dataset, keyword, "")
        return dataset

    def _value(self, source: Any, keyword: str, rule: Rule) -> Any:
        """A valid value, a list of several, or a falsy value."""
        try:
            if rule.items is not None:
                return self._items(source[keyword].value, keyword, rule.items)
            vr = require("pydicom.datadict").dictionary_VR(keyword)
            text, certain = self._text(source.get_item(keyword).value, vr)
        except Exception:  # pydicom names no complete set of errors
            self.broken.append(keyword)
            return None
        written = [text] if vr in _ONE_TEXT else text.split("\\")
        written = [part.rstrip(" \0") if vr in _ONE_TEXT else part.strip(" \0") for part in written]
        if not any(written):
            return None
        values = [_sound(part, vr=vr, rule=rule) for part in written]
        alone = require("pydicom.datadict").dictionary_VM(keyword) == "1"
        if (alone and len(values) > 1) or None in values:
            self.broken.append(keyword)
            return None
        if not certain or values != written:
            self.mended.append(keyword)
        self.texts += [value for value in values if value]
        return values if len(values) > 1 else values[0]

    def _items(self, items: Any, keyword: str, rules: Mapping[str, Rule]) -> list[Any]:
        """The items of a sequence with valid content."""
        inner = _Reader(self._terms)
        datasets = [dataset for item in items if len(dataset := inner.read(item, rules))]
        if inner.broken:
            lost = len(items) - len(datasets)
            self.broken.append(f"{keyword} ({lost} of {len(items)} items)" if datasets else keyword)
        elif inner.mended:
            self.mended.append(keyword)
        self.texts += inner.texts
        return datasets

    def _text(self, raw: Any, vr: str) -> tuple[str, bool]:
        """A value as text, and whether it is in the declared encoding.

        Raises:
            ValueError: It is in none of the declared character sets, and not in UTF-8.
        """
        if not isinstance(raw, bytes):  # pydicom has looked at it already
            several = isinstance(raw, Sequence) and not isinstance(raw, str)
            return ("\\".join(map(str, raw)) if several else str(raw or "")), True
        if vr not in _TEXT:
            return raw.decode("ascii"), True
        charset, config = require("pydicom.charset"), require("pydicom.config")
        try:
            with config.strict_reading():
                text = charset.decode_bytes(raw, self._encodings, set(map(ord, _DELIMITERS)))
            return _without_escapes(text), True
        except (LookupError, ValueError):
            # other bytes fail as UTF-8; some writers omit the escapes to declared character sets
            for encoding in ("utf-8", *self._encodings[1:]):
                try:
                    return _without_escapes(raw.decode(encoding)), False
                except UnicodeError:
                    continue
            raise


def _without_escapes(text: str) -> str:
    """The text without escapes of character sets, which pydicom leaves in Chinese text."""
    for code in require("pydicom.charset").CODES_TO_ENCODINGS:
        text = text.replace(code.decode("ascii"), "")
    return text


def _has_needs(rule: Rule, found: Mapping[str, Any], value: Any) -> bool:
    if rule.needs_if and value != rule.needs_if:
        return True
    return all(any(name in found for name in group) for group in rule.needs)


def _sound(written: str, *, vr: str, rule: Rule) -> str | None:
    """The value, corrected if its meaning is certain; else None."""
    for value in (written, _MEND.get(vr, str)(written)):
        if _keeps_rules(value, vr=vr) and (not rule.values or value in rule.values):
            return value
    return None


def _keeps_rules(value: str, *, vr: str) -> bool:
    """Whether a value has the form and length of its kind (PS3.5 6.2)."""
    pydicom_rules, config = require("pydicom.valuerep"), require("pydicom.config")
    try:
        pydicom_rules.validate_value(vr, value, config.RAISE)
        if vr == "DA" and value:
            datetime.strptime(value, "%Y%m%d")
    except ValueError:
        return False
    if vr == "TM" and "-" in value:  # a range, which is for queries
        return False
    if vr == "DS" and value and not math.isfinite(float(value)):
        return False
    if vr == "PN" and any(group.count("^") >= _NAME_PARTS for group in value.split("=")):
        return False
    allowed = _LINE_ENDS if vr in _ONE_TEXT else ""
    return all(sign in allowed or unicodedata.category(sign) != "Cc" for sign in value)


def _encodings(terms: Sequence[str]) -> list[str]:
    """Python's names for character sets; ASCII where DICOM has it, which pydicom takes for Latin 1."""
    charset, config = require("pydicom.charset"), require("pydicom.config")
    try:
        with config.strict_reading():
            names = charset.convert_encodings(list(terms))
    except LookupError:
        return ["ascii"]
    return ["ascii" if name == charset.default_encoding else name for name in names]


def _charset(terms: Sequence[str], texts: Sequence[str]) -> str:
    """The character set of the series if it is of one encoding and holds the texts, else ASCII or UTF-8."""
    (first, *more) = terms
    if first in _KEPT_CHARSETS and not more:
        try:
            for text in texts:
                text.encode(require("pydicom.charset").python_encoding[first])
        except UnicodeError:
            return _UTF_8
        return first
    return "" if all(text.isascii() for text in texts) else _UTF_8
