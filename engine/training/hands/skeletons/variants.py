"""Every variant of every digit by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from engine.training.hands.skeletons import bent_digits as bent
from engine.training.hands.skeletons import fours
from engine.training.hands.skeletons import ones_and_sevens as straight
from engine.training.hands.skeletons import round_digits as rounded
from engine.training.hands.skeletons.skeleton import Variant

VARIANTS: Final[Mapping[str, Variant]] = MappingProxyType(
    {
        "0 plain": rounded.plain_zero,
        "0 slashed": rounded.slashed_zero,
        "0 dotted": rounded.dotted_zero,
        "0 with a loop": rounded.zero_with_loop,
        "1 plain": straight.plain_one,
        "1 with upstroke": straight.one_with_upstroke,
        "1 with long upstroke": straight.one_with_long_upstroke,
        "1 with upstroke and foot": straight.one_with_upstroke_and_foot,
        "1 with serif and foot": straight.one_with_serif_and_foot,
        "2 plain": bent.plain_two,
        "2 looped": bent.looped_two,
        "2 angular": bent.angular_two,
        "2 wavy": bent.wavy_two,
        "3 round": bent.round_three,
        "3 flat-topped": bent.flat_topped_three,
        "3 with a loop": bent.three_with_loop,
        "4 open": fours.open_four,
        "4 rounded": fours.rounded_four,
        "4 closed": fours.closed_four,
        "4 lightning": fours.lightning_four,
        "5 plain": bent.plain_five,
        "5 in one stroke": bent.five_in_one_stroke,
        "5 curved": bent.curved_five,
        "6 plain": rounded.plain_six,
        "6 with hook": rounded.six_with_hook,
        "6 straight": rounded.straight_six,
        "6 open": rounded.open_six,
        "7 plain": straight.plain_seven,
        "7 barred": straight.barred_seven,
        "7 with serif": straight.seven_with_serif,
        "7 barred, with serif": straight.barred_seven_with_serif,
        "8 crossed": rounded.crossed_eight,
        "8 stacked": rounded.stacked_eight,
        "9 straight": rounded.straight_nine,
        "9 hooked": rounded.hooked_nine,
        "9 curled": rounded.curled_nine,
        "9 open": rounded.open_nine,
    }
)
"""The first character of each name is the digit."""
