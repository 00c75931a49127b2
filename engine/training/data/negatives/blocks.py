"""More characters to learn from, by blocks of Unicode that the typefaces show.

A character is not here if it, or the letter that it is a form of, is a digit's double or is measured only, or if most
drawings of it were read as a digit; nor are faces, chess pieces, dice, notes, check marks and the like, which are kinds
that are measured only. Some signs of lines resemble what is measured: three of box drawing look like a T.
"""

from __future__ import annotations

from typing import Final

# ruff: noqa: RUF001  # the signs themselves

MORE_LETTERS: Final = (
    ("ÁÂÈÐÙÚÜĀĄĆĈĊĒĔĖĘĤĦĴĹĻĽŁŃŅŊŒŨŪŬŮŰŲŴŶḀḈḔḖḘḚḜḢḤḦḨḪḶḸḺḼṄṆṈṊṔṖṲṴṶṺṼṾẀẂẄẆẈẊẌẎẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỤỦỨỪỬỮỰỲỴỶỸ"),
    "æćĉċďđķńņŉŋœŕŗḉḋḍḏḑḓḟḱḳḵḿṁṃṅṇṉṋṕṗṙṛṝṟṫṭṯṱṽṿẋẍẗ",
    "𝒜𝒞𝒥𝒩𝒫𝒰𝒱𝒲𝒳𝒴𝒹𝒻𝓀𝓂𝓃𝓅𝓇𝓉𝓋𝓍𝓐𝓒𝓔𝓗𝓙𝓛𝓝𝓟𝓤𝓥𝓦𝓧𝓨𝓬𝓭𝓯𝓴𝓶𝓷𝓹𝓻𝓽𝓿𝔁",
    "𝔄𝔈𝔍𝔏𝔑𝔓𝔘𝔙𝔚𝔛𝔜𝔠𝔡𝔣𝔨𝔪𝔫𝔭𝔯𝔱𝔳𝔵𝔸𝔼𝕁𝕃𝕌𝕍𝕎𝕏𝕐𝕔𝕕𝕗𝕜𝕞𝕟𝕡𝕣𝕥𝕧𝕩𝕬𝕮𝕰𝕳𝕵𝕷𝕹𝕻𝖀𝖁𝖂𝖃𝖄𝖈𝖉𝖋𝖐𝖒𝖓𝖕𝖗𝖙𝖛𝖝",
)
"""Accented capitals and small letters; letters of script, black letter and double-struck typefaces."""

MORE_SIGNS: Final = (
    "―‗“”„‟‥‰‱″‴‶‷‸‹›※‼‽‾‿⁀⁁⁂⁇⁈⁉⁋⁌⁍⁎⁑⁕⁖⁗⁘⁙⁛⁜",
    "ℂ℄ℋℌℍℒℕ℗ℙ℞℟℣ÅℲ℺ℼℾℿ⅀⅄ⅆ⅊ⅎ",
    "∁∊∌∍∎∓∔∗∛∜∝∟∡∢∷∸∹∺∻∼∽∾∿⊀⊛⊞⊟⋄⋯⋰⋱⋲⋳⋴⋵⋶⋷⋸⋹⋺⋻⋼⋽⋾⋿⊁∤∦",
    "⌁⌄⌆⌎⌐⌒⌜⌢⌤⌨〉⌵⌸⌺⌿⍁⍃⍆⍈⍋⍍⍐⍒⍔⍖⍘⍝⍟⍡⍣⍧⍩⍭⍯⍲⍷⍽⎂⎇⎓⎣⎵⎷⏜⏞⏠⏢⏥⏧",
    "⌃⌅⌌⌏⌑⌙⌞⌣⌧〈⌭⌶⌹⌼⍀⍂⍄⍇⍊⍌⍏⍑⍓⍕⍗⍙⍞⍠⍢⍦⍨⍪⍮⍱⍵⍹⎀⎃⎉⎡⎴⎶⏎⏝⏟⏡⏤⏦⏨",
    "─━┄┅┈┉┌┍┎┏└┕┖┗┝┞┟┠┡┢┣┭┮┯┰┱┲┳┵┶┸┺┻┽┾┿╀╁╂╃╄╅╆╇╈╉╊╋╌╍═║╒╓╘╙╟╠╤╥╦╧╨╩╭╰╴╶╸╺╼╾",
    "▫▭▰▱▵▸▹►▻▾▿◃◄◅◘◚◛◟◠◡◬◭◮◰◱◲◳◴◵◶◷◸◹◺◻◽◿▀▄▛▜",
    "☈☍☓☔☕☖☗☙☚☛☜☝☞☤☨☫☼♨♰♱♲♳♴♵♶♷♸♹♺♻♼♽♾♿⚊⚋⚌⚍⚎⚏⚐⚑⚒⚓⚔⚕⚖⚗⚘⚙⚚⚛⚜⚞⚟⚠⚴⚵⚶⚸⛢☟⚰⚳⚱☇",
    "✁✃✄✇✙✚✛✜✝✞✟✠✡✢✣✤✥✲✻✼✽✾❇❈❉❊❝❞❢❣❤❥❦❧❬❭❮❯❱❳❵✆✿❡",
    ("⟀⟁⟃⟄⟈⟉⟌⟐⟑⟒⟓⟔⟕⟖⟗⟙⟚⟛⟜⟝⟞⟡⟢⟣⟤⟥⟦⟧⟪⟫⟭⟠⦊⦋⦌⦍⦎⦏⦐⦑⦓⦔⦕⦖⦛⦜⦝⦞⦟⦠⦡⦣⦤⦥⦦⦧⦨⦩⦪⦬⦭⦮⦯⦷⦹⦻⦼⧄⧆⧈⧉⧊⧋⧍⧎⧏⧐⧑⧒⧓⧔⧕⧜⧝⧞⧟⧠⧡⧢⧣⧤⧥⧦⧧⧨⧩⧪⧮⧯⧰⧱⧳⧴⧺⧻⧼⧽⧾⧿⦢⧌"),
    (
        "⩱⩲⩳⩴⩵⩶⩷⩸⩹⩺⩻⩽⩾⩿⪀⪁⪂⪃⪄⪅⪆⪇⪈⪉⪊⪋⪌⪍⪎⪏⪐⪑⪒⪓⪔⪕⪖⪗⪘⪙⪚⪛⪜⪝⪞⪟⪠⪡⪢⪣⪤⪥⪦⪧⪨⪩⪪⪫⪬⪮⪯⪰⪱⪲⪳⪴⪵⪶⪷⪸⪹⪺⪻⪼⪽⪾⪿⫀⫁⫃⫄⫅⫆⫇⫉⫊⫋⫍⫎⫏"
        "⫑⫒⫔⫕⫖⫗⫘⫙⫚⫛⫝⫟⫠⫡⫢⫣⫤⫥⫦⫧⫨⫩⫪⫫⫬⫭⫮⫳⫴⫵⫶⫷⫸⫹⫺⫻⩼⪭⫂⫈⫌⫓"
    ),
    "⤀⤁⤂⤃⤄⤅⥂⥃⥄⥅⥆⥇⥈⥊⥋⥎⥐⥒⥓⥖⥗⥚⥛⥞⥟⥢⥣⥤⥥⥦⥧⥨⥩⥪⥫⥬⥭⥮⥯⥰⥱⥲⥳⥴⥵⥶⥷⥸⥺⥽⥾⥿⥉⥻⥼",
    "⬀⬁⬂⬃⬄⬅⬆⬇⬈⬉⬊⬋⬌⬍⬎⬏⬑⬒⬔⬕⬖⬗⬘⬙⬟⬥⬦⬨⬩⬪⬫⬰⬱⬲⬳⬴⬵⬶⬷⬸⬹⬺⬻⬼⬽⬾⬿⭀⭁⭂⭃⭅⭆⭇⭈⭉⭊⭋⭌⭐⭑⭒⬐⭄⬧",
    "𝌀𝌁𝌂𝌃𝌄𝌅𝌆𝌇𝌈𝌉𝌊𝌋𝌌𝌍𝌎𝌏𝌐𝌑𝌒𝌓𝌔𝌕𝌖𝌗𝌘𝌙𝌚𝌛𝌜𝌝𝌞𝌟𝌠𝌡𝌢𝌣𝌤𝌥𝌦𝌧𝌨𝌩𝌪𝌫𝌬𝌭𝌮𝌯𝌰𝌱𝌲𝌳𝌴𝌵𝌶𝌷𝌸𝌹𝌺𝌻𝌼𝌽𝌾𝌿𝍀𝍁𝍂𝍃𝍄𝍅𝍆𝍇𝍈𝍉𝍊𝍋𝍌𝍍𝍎𝍏𝍐𝍑𝍒𝍓𝍔𝍕𝍖",
)
"""Punctuation, operators, technical signs, lines, geometry, dingbats, arrows, lines above one another."""

MORE_SCRIPTS: Final = (
    "ᐂᐄᐆᐋᐐᐒᐔᐗᐙᐫᐯᐱᐳᐸᐹᐺᐽᑁᑍᑑᑗᑢᒥᒪᒫᒮᒯᒷᒹᓜᓝᓞᓠᓡᕆᕋᕌᕓᕕᕙᕚᕼᕽᖏᖑᖓ",
    "ⴱⴲⴴⴶⴸⴾⴿⵄⵆⵇⵈⵋⵌⵞⵟⵠⵡⵤ",
    "𐌀𐌂𐌃𐌄𐌆𐌇𐌈𐌋𐌍𐌎𐌐𐌖𐌗𐌘𐌙𐌛𐌞",
    "ᚁᚂᚃᚄᚅᚆᚇᚈᚉᚊᚋᚌᚍᚎᚏᚐᚑᚒᚓᚔᚕᚖᚗᚘᚙᚚ᚛᚜",
)
"""Canadian syllabics, Tifinagh, Old Italic, Ogham."""
