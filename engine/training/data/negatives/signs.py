"""Which letters and signs are no digits: the tables, each in two parts, of which the second is never learned."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from engine.training.data.negatives.blocks import MORE_LETTERS, MORE_SCRIPTS, MORE_SIGNS
from engine.training.data.negatives.split import Split

Table = Mapping[Split, tuple[str, ...]]
"""Groups of characters; every group is as likely as any other."""

DOUBLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Latin": "BDGIOQSZabgijloqsyz",
        "Greek": "ΘΖαβγδζθιξοροστ",  # the letters themselves
        "Cyrillic": "БВЗОУЧЪЬЭбвзоучъьэ",  # as above
        "Hebrew": "בגדוזטךלןספר",  # as above
        "Arabic": "اطظعغفقهو",  # as above
        "Armenian": "ԳՁՎՏՑՕ",  # as above
        "strokes": "|/\\()",
        "dotted, slashed, plain 0": "○⊙⊘∅",  # as above
        "signs": "∃∫∂♭♃⚡♌①②③④⑤⑥⑦⑧⑨⓪",
    }
)
"""Doubles of digits, which many people write or print like one: in neither part of any table."""


def _block(first: str, last: str, without: str = "") -> str:
    """List the characters of a range of Unicode, except for doubles of digits and what is measured."""
    every = (chr(code) for code in range(ord(first), ord(last) + 1))
    return "".join(character for character in every if character not in without)


LETTERS: Final[Table] = MappingProxyType(
    {
        "train": ("ACEHJLNPUVWXY", "cdfkmnprtvx", "ÀÃÄÅÆÇÉÊËÑÛÝČĂĚŇŸçñčňřťţ", *MORE_LETTERS),
        "test": ("FKMRT", "ehuw"),
    }
)

SIGNS: Final[Table] = MappingProxyType(
    {
        "train": (
            "+−×÷=±≠≈<>≤≥",  # noqa: RUF001  # the signs themselves
            '?!&@#%*§¶~^¿¡«»†‡…:;"',
            "[]{}⟨⟩⌈⌉⌊⌋",
            "←↑→↓↔↕↖↗↘↙⇐⇑⇒⇓⇔↩↪↺↻",
            "♠♥♦♣",
            "★☆✦✧✩✪✫✬✭✮✯✰✶✷✸✹✺❋✱✳✴✵",
            "$€£¥¢₩",
            "∀∆∇∈∉∋∏∐∑√∞∠∧∨∩∪∴∵≡⊂⊃⊆⊇⊕⊗⊢⊤⊥⋈",  # noqa: RUF001  # as above
            "☀☁☂☃☄☎☏☘☠☢☣☥☦☧☩☪☬☭☮☯☸",
            "✂✈✉✌✍✎✏✐✑✒❀❁❂❃❄❅❆❖❍❏❐❑❒",
            "┼╬├┤┬┴╳╔╚╞╪╫▚▞░▒▓",  # noqa: RUF001  # as above
            "■□▣▤▥▦▧▨▩▬▲△▶▷▼▽◀◁◆◇◈●◐◑◒◓◔◕◢◣◤◥◧◨◩◪◫",
            "☰☱☲☳☴☵☶☷⠿⠷⠯⠻⠽⠾⠫⠵",
            "⌂⌘⌥⌦⌫⌕⌗⌖⎈⏏",
            _block("←", "⇿", "↑↓↥↧↾↿⇂⇃⇡⇣↯↺↻"),
            _block("⟰", "⟿", "⟲⟳") + _block("⤆", "⤽", "⤈⤉⤹⤷"),
            _block("⊂", "⊗", "⊘⊖") + _block("≁", "≿") + _block("⊠", "⋇", "⋄⋅") + _block("⋈", "⋭", "⋮"),
            _block("⨀", "⩰", "⨀⨁⨅⨌⨍⨎⨏⨐⨑⨒⨓⨔⨕⨖⨗⨘⨙⨚⨛⨜⨟⨾⨰⨋⩀⩁"),
            _block("䷀", "䷿"),  # lines, six above one another
            _block("🀰", "🂓")[::3] + _block("🂡", "🂮")[::2],  # dominoes, playing cards
            *MORE_SIGNS,
        ),
        "test": (
            "✓✔✗✘☑☒",  # check marks
            "♩♪♫♬♮♯",  # music
            "☺☻☹😀😁😃😄😎😐😢😮",
            "₤₪₫₭₮₱₹₺₽",  # other currencies
            "♔♕♖♗♘♙♚♛♜♝♞♟",
            "♈♍♎♏♐♒♓☿♀♁♂♅♆",
            "♤♡♢♧",
            "➔➘➙➚➛➜➞➟➠➢➤➥➦➲➳➵➸➺➾",
            "⚀⚁⚂⚃⚄⚅",
            "№℃™Ω℧ℵ⅋",
        ),
    }
)

SCRIPTS: Final[Table] = MappingProxyType(
    {
        "train": (
            "ΓΔΛΞΠΣΦΨΩηκλμπφχψω",
            "بتثجحخسشصضكلنيئ",
            "ԱԲԴԵԸԺԻԼԽԾՀՄՆՇՌՔՖ",
            "ᐁᐃᐅᐊᑌᑎᑐᑕᓓᓕᓗᓚ",
            "ⴳⴷⴹⴻⴼⴽⵅⵊⵎⵓⵛⵜⵢⵣⵥ",
            *MORE_SCRIPTS,
        ),
        "test": ("ГДЖИКЛМНПФЦШЩЮЯджиклмнпфцшщюя", "אהחמעצקשת"),
    }
)
