"""The model card: every figure measured in the run that writes it, none typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.model.classifier import Classifier
from engine.training.fit.calibrate import FOREIGN_SHARE
from engine.training.report.measure import TITLES, Judged, joined
from engine.training.report.plots import draw_all
from engine.training.report.trial import Trial

CARD, FIGURES = "card.md", "figures.json"

_REJECT_HEAD = ["kind", "n", "AUROC", "recognised, never learned", "95 % interval", "recognised, learned"]

_METHOD = """\
1. *Canvas*: any picture becomes a 28x28 digit the way MNIST's were made [1]: polarity, paper and rulings removed, the
   longer side 20 px, the centre of mass in the middle.
2. *Features*: the digit is deskewed by its moments; 306 numbers describe its gradients: 9 signed directions, pooled
   around 25 + 9 nodes of two grids, square root, length 1 for each grid [2, 3].
3. *Decision*: a projection to {directions} directions, {centres:,} learned Gaussian centres, ten machines one against
   all others: a reduced set of support vectors [4] that is trained as a whole, by Adam [5] on the logistic loss, over
   fresh affine and elastic copies [6] of the digits in each of {epochs} epochs, over disturbed digits, and over other
   hands.
4. *Confidence*: a softmax over one temperature [7], fitted on the digits held out, of all hands.
5. *Reject head*: a network with one hidden layer of {hidden} units, over the features and over evidence of the full
   picture, says whether there is a digit at all. It has learned from {negatives:,} pictures without a digit of each
   kind.
"""

_SOURCES = """\
1. Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE
   86 (1998).
2. N. Dalal, B. Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
3. S. Maji, J. Malik, "Fast and Accurate Digit Classification", UC Berkeley EECS-2009-159: 0.56 % with HOG and an SVM.
4. C. Burges, "Simplified Support Vector Decision Rules", ICML 1996.
5. D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
6. P. Simard, D. Steinkraus, J. Platt, "Best Practices for Convolutional Neural Networks", ICDAR 2003.
7. C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
8. E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
9. E. Alpaydin, F. Alimoglu, "Pen-Based Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

_DATA = """\
The first 50,000 of MNIST's 60,000 training digits (Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0) to learn from; the
last 10,000 to choose and to measure by, never learned from. MNIST's test set was not used. Pictures without a digit
are made by this project and from scikit-image's own pictures, different ones for learning and for measuring.

Other hands: 1,934 scans [8] and 5,216 pen tracks [9] by 30 writers in Turkey (E. Alpaydin and others; CC BY 4.0), of
which the last sixth is never learned from; and digits drawn by program in the variants that schools teach
(`engine/training/hands/skeletons`), with unsteady hands and any pen. Those to measure by are drawn from other ranges
of all parameters.
"""

_THRESHOLDS = """\
A reading is `unsure` below a confidence of {confidence:.3f} (low-confidence), or below log odds of {digitness:.2f} that
the picture shows a digit at all (not-a-digit). With these, {coverage_pct:.2f} % of the clean digits are recognised,
{error_pct_recognised:.2f} % of them wrongly.
"""

_SPEED = """\
On one core {images_per_s_core:,} images/s (28 px PNG to confidence, batches of 256), {times_plain_chain:.0f} times the
plain chain (Pillow, scikit-image's HOG, scikit-learn's SVC, one image a call: {plain_chain_images_per_s:.0f} images/s)
in the same run. In µs an image:
"""

_NO_DIGIT = """\
Each kind has two parts without a common letter, sign, shape, photo or scribbling hand: the reject head has learned from
one of them (in other pictures than those read here), and has never seen anything of the other. Several and overlapping
digits differ in their digits alone. Doubles of digits are in neither: `engine/training/data/negatives/signs.py` lists
them. By the part that was never learned the size of the network, its inputs and the share of clean digits that may be
unsure were chosen; and of its first signs and shapes six were left out as doubles (flash, hourglass, lamed, Leo, halves
of 5 and 8), after a look at what passed. So its figures are slightly optimistic.
"""

_ALL_ANSWERS = """\
The confidence of a recognised reading is the probability of its digit. That of an unsure reading allows for pictures
without a digit, as if they were {foreign:.1%} of all. The table is over all answers, recognised or not, for other
shares. The digits are clean and disturbed in every way; those without a digit are of all kinds that were never learned.
"""

_OTHER_FORMAT = """\
Other hands in another format: scikit-learn's 8x8 digits (E. Alpaydin, C. Kaynak), as 8 px pictures. Never trained on;
the canvas was once adjusted with them in view, so the figure is slightly optimistic.
"""

_HANDS = """\
Scans and pen tracks are of writers that the model has not seen, nearly all of them. The others are drawn. A 1 whose
upstroke is so long and flat that a person may read a 7 is not among them:
`engine/training/hands/skeletons/ones_and_sevens.py` states the rule.
"""

_LIMITS = """\
* One digit in a picture. Several side by side are refused as not a digit, not read one by one.
* Latin digits 0 to 9. Hands of the United States and of Turkey were learned from; variants of other schools as far as
  the drawn digits show them.
* Turned by more than about 20 degrees, errors grow; upside down, a 6 is a 9.
* The confidence is calibrated on clean digits. Where pictures are worse, it is honest only as far as the tables show.
* A letter that is a digit's double (O, l, S, Z) is read as that digit.
"""


def write_card(classifier: Classifier, trial: Trial, speed: dict[str, Any] | None, folder: Path) -> Path:
    """Write `card.md`, its pictures and `figures.json` into the model's folder.

    Parameters
    ----------
    classifier
        The model.
    trial
        What was measured.
    speed
        What `benchmark` measured; None leaves the section out.
    folder
        Of the model.
    """
    pictures = draw_all(trial, folder)
    figures = {
        "clean": trial.clean.figures(),
        "robustness": {kind: judged.figures() for kind, judged in trial.robustness.items()},
        "reject": trial.foreign.figures(trial.digitness),
        "all_answers": trial.foreign.calibration(_every_digit(trial)),
        "other_format": trial.other_format.figures(),
        "hands": {kind: judged.figures() for kind, judged in trial.hands.items()},
        "hands_together": joined(trial.hands.values()).figures(),
        "speed": speed,
    }
    (folder / FIGURES).write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    card = folder / CARD
    card.write_text("\n".join(_sections(classifier, trial, speed, pictures)), encoding="utf-8")
    return card


def _sections(classifier: Classifier, trial: Trial, speed: dict[str, Any] | None, pictures: list[str]) -> list[str]:
    """Lay out the card."""
    info, about = classifier.info, classifier.manifest
    settings = about["settings"]
    method = _METHOD.format(
        directions=settings["plan"]["directions"],
        centres=settings["plan"]["centres"],
        epochs=settings["plan"]["epochs"],
        negatives=settings["negatives"],
        hidden=about["hidden"],
    )
    return [
        f"# Model card: {info.name} {info.version}\n",
        f"Written by `make card`. sha256 of the arrays: `{info.sha256}`, {about['bytes']:,} bytes.\n",
        "## Data\n",
        _DATA,
        "## Method\n",
        method,
        "## Clean digits\n",
        _table(["figure", "value", "95 % interval"], _clean_rows(trial.clean)),
        _thresholds(about),
        "## Robustness\n",
        "Held-out digits, disturbed by `engine/training/data/disturb.py`, read from encoded bytes.\n",
        _table(["kind", "n", "error", "95 % interval", "unsure"], _judged_rows(trial.robustness)),
        _OTHER_FORMAT,
        _table(["kind", "n", "error", "95 % interval", "unsure"], _judged_rows({"8 px digits": trial.other_format})),
        "## Other hands\n",
        _HANDS,
        _table(["kind", "n", "error", "95 % interval", "unsure"], _judged_rows(trial.hands)),
        "All of them together:\n",
        _table(["figure", "value", "95 % interval"], _clean_rows(joined(trial.hands.values()))),
        "## No digit\n",
        _NO_DIGIT,
        _table(_REJECT_HEAD, _reject_rows(trial)),
        "## Confidence of all answers\n",
        _ALL_ANSWERS.format(foreign=FOREIGN_SHARE),
        _table(["no digit", "n", "calibration error", "right of those with 0.9 or more"], _answer_rows(trial)),
        *_speed_section(speed),
        "## Pictures\n",
        *(f"![{name.removesuffix('.png')}]({name})\n" for name in pictures),
        "In the pictures of the wrong readings, those marked ! were not unsure.\n",
        "## Limits of use\n",
        _LIMITS,
        "## Sources\n",
        _SOURCES,
    ]


def _thresholds(about: Mapping[str, Any]) -> str:
    return _THRESHOLDS.format(**about["thresholds"])


def _clean_rows(judged: Judged) -> list[list[str]]:
    figures = judged.figures()
    return [
        [title, f"{figures[key]:,}", ""]
        if key == "n"
        else [title, _percent(figures[key]), _interval(figures[f"{key}_interval"])]
        for key, title in TITLES.items()
    ]


def _judged_rows(judged: dict[str, Judged]) -> list[list[str]]:
    rows = []
    for kind, one in judged.items():
        figures = one.figures()
        error, interval = _percent(figures["error_pct"]), _interval(figures["error_pct_interval"])
        rows.append([kind.replace("_", " "), f"{figures['n']:,}", error, interval, _percent(figures["unsure_pct"])])
    return rows


def _reject_rows(trial: Trial) -> list[list[str]]:
    return [
        [
            kind,
            f"{figures['n']:,}",
            f"{figures['auroc']:.4f}",
            _percent(figures["recognised_pct"]),
            _interval(figures["recognised_pct_interval"]),
            _percent(figures["recognised_learned_pct"]),
        ]
        for kind, figures in trial.foreign.figures(trial.digitness).items()
    ]


def _answer_rows(trial: Trial) -> list[list[str]]:
    return [
        [f"{row['foreign_pct']} %", f"{row['n']:,}", _percent(row["ece_pct"]), _percent(row["right_above_90_pct"])]
        for row in trial.foreign.calibration(_every_digit(trial))
    ]


def _every_digit(trial: Trial) -> Judged:
    """Join the readings of all pictures that show a digit."""
    return joined([trial.clean, *trial.robustness.values()])


def _speed_section(speed: dict[str, Any] | None) -> list[str]:
    """Return the section about the cost of reading; nothing if it was not measured."""
    if speed is None:
        return []
    columns = list(next(iter(speed["us_per_image"].values())))
    rows = [[name, *(f"{costs[column]:.1f}" for column in columns)] for name, costs in speed["us_per_image"].items()]
    return [
        "## Speed\n",
        _SPEED.format(**speed),
        _table(["pictures", *columns], rows),
    ]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} %"


def _interval(interval: list[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f} %"
