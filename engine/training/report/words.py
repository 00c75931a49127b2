"""What the model card says around its tables."""

from __future__ import annotations

from typing import Final

METHOD: Final = """\
1. *Canvas*: any picture becomes a 28x28 digit the way MNIST's were made [1]: polarity, paper and rulings removed, the
   longer side 20 px, the centre of mass in the middle. Plates, fields, desks and shadows are recognised and removed,
   too.
2. *Features*: the digit is deskewed by its moments; 306 numbers describe its gradients: 9 signed directions, pooled
   around 25 + 9 nodes of two grids, square root, length 1 for each grid [2, 3].
3. *Decision*: a projection to {directions} directions, {centres:,} learned Gaussian centres, ten machines one against
   all others: a reduced set of support vectors [4] that is trained as a whole, by Adam [5] on the logistic loss, over
   fresh affine and elastic copies [6] of the digits in each of {epochs} epochs, over disturbed digits and digits in
   scenes, and over other hands; then for {last_epochs} epochs with smaller steps, in which the digits count twice.
   *Second look*: a digit whose two highest scores are near one another is turned by 8 degrees to both sides, and the
   mean of the three scores counts [11].
4. *Confidence*: a softmax over one temperature [7], at which the mean confidence of the digits held out, of all hands,
   is the share of them that is read right [10].
5. *Reject head*: a network with one hidden layer of {hidden} units, over the features, the three highest scores of the
   ten machines and evidence of the full picture, says whether there is a digit at all. It has learned from
   {negatives:,} pictures without a digit of each kind, and from {of_characters:,} of each kind of characters.
"""

SOURCES: Final = """\
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
10. L. Clarté, B. Loureiro, F. Krzakala, L. Zdeborová, "Expectation Consistency for Calibration of Neural Networks",
    UAI 2023.
11. A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS
    2012: the mean of the predictions over several views of a picture.
"""

METHOD_CNN: Final = """\
1. *Canvas*: any picture becomes a 28x28 digit the way MNIST's were made [1]: polarity, paper and rulings removed, the
   longer side 20 px, the centre of mass in the middle. Plates, fields, desks and shadows are recognised and removed,
   too. It is that of the compact machine.
2. *Network*: five convolutions in three blocks, each block with a pooling at its end, then {units} hidden units and ten
   scores (`engine/training/cnn/network.py`). It is trained by Adam [5] on the logistic loss, over fresh affine and
   elastic copies [6] of the digits in each of {epochs} epochs, over disturbed digits and digits in scenes, and over
   other hands; then for {last_epochs} epochs in which the steps fall to nearly nothing. The running mean of its weights
   is what is kept, in ONNX.
   *Second look*: a digit whose two highest scores are near one another is turned by 8 degrees to both sides, and the
   mean of the three scores counts [11].
3. *Confidence*: a softmax over one temperature [7], at which the mean confidence of the digits set aside and of newly
   drawn ones is the share of them that is read right [10].
4. *Reject head*: a network with one hidden layer of {hidden} units, over the features of the compact machine [2, 3],
   the three highest scores and evidence of the full picture, says whether there is a digit at all. It has learned from
   {negatives:,} pictures without a digit of each kind, and from {of_characters:,} of each kind of characters.
"""

SPLIT: Final = """\
The first 50,000 of MNIST's 60,000 training digits (Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0) to learn from; the
last 10,000 to choose and to measure by, never learned from."""

SPLIT_CNN: Final = """\
The first 47,500 of MNIST's 60,000 training digits (Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0) to learn from; the
next 2,500 to choose temperature and thresholds by, with newly drawn digits; the last 10,000 to measure by alone."""

DATA: Final = """\
{split} MNIST's test set was not used. Pictures without a digit
are made by this project and from scikit-image's own pictures, different ones for learning and for measuring.

{disturbed:,} of those digits were also learned in four pictures each: as a photo, as another scanner shows them,
disturbed in a way of the table "Robustness", and in one of the {scenes} scenes of the table "Scenes".

Other hands: 1,934 scans [8] and 5,216 pen tracks [9] by 30 writers in Turkey (E. Alpaydin and others; CC BY 4.0), of
which the last sixth is never learned from; and digits drawn by program in the variants that schools teach
(`engine/training/hands/skeletons`), with unsteady hands and any pen. Those to measure by are drawn from other ranges
of all parameters.
"""

THRESHOLDS: Final = """\
A reading is `unsure` below a confidence of {confidence:.3f} (low-confidence), or below log odds of {digitness:.2f} that
the picture shows a digit at all (not-a-digit). With these, {coverage_pct:.2f} % of the clean digits are recognised,
{error_pct_recognised:.2f} % of them wrongly.
"""

SPEED: Final = """\
On one core {images_per_s_core:,} images/s (28 px PNG to confidence, batches of 256), {times_plain_chain:.0f} times the
plain chain (Pillow, scikit-image's HOG, scikit-learn's SVC, one image a call: {plain_chain_images_per_s:.0f} images/s)
in the same run. In µs an image:
"""

NO_DIGIT: Final = """\
Each kind has two parts without a common letter, sign, shape, photo, empty scene or scribbling hand: the reject head has
learned from one of them (in other pictures than those read here), and has never seen anything of the other. Both are
shown in the ways in which digits are: drawn, as MNIST, scanned, photographed, in scenes. Several and overlapping
digits differ in their digits alone. Doubles of digits are in neither: `engine/training/data/negatives/signs.py` lists
them. By the part that was never learned the share of clean digits that may be unsure was chosen, and the first inputs
of the network; the scores were added after trials that left whole kinds out of the part that is learned. And of the
first signs and shapes of the part never learned, six were left out as doubles (flash, hourglass, lamed, Leo, halves of
5 and 8), after a look at what passed. So its figures are slightly optimistic.
"""

ALL_ANSWERS: Final = """\
The confidence of a recognised reading is the probability of its digit. That of an unsure reading allows for pictures
without a digit, as if they were {foreign:.1%} of all. The table is over all answers, recognised or not, for other
shares. The digits are clean and disturbed in every way; those without a digit are of all kinds that were never learned.
"""

SCENES: Final = """\
Held-out digits, drawn large by `engine/training/scenes` into crops, plates, form fields, sheets on desks and shadows
of 30 to 50 %, read from encoded bytes. The model has learned from the same scenes with other digits and other random
choices.
"""

SUMMARY: Final = """\
Calibration error: {clean_ece:.2f} % on MNIST's held-out digits, {hands_ece:.2f} % on all other hands together. Of
{characters:,} letters, signs and shapes that were never learned, {passed:.2f} % are recognised as a digit.
"""

HANDS: Final = """\
By writers. Scans and pen tracks are of writers that the model has not seen, nearly all of them; pen tracks are drawn
with any pen. Scikit-learn's 8x8 digits [8] are of 13 other writers and were never trained on; the canvas was once
adjusted with them in view, so their figure is slightly optimistic.
"""

DRAWN: Final = """\
The other digits are drawn by program. First they are sorted by how the picture is made, then by digit and variant. A 1
whose upstroke is so long and flat that a person may read a 7 is not among them:
`engine/training/hands/skeletons/ones_and_sevens.py` states the rule.
"""

FILES: Final = """\
The files that are read (PNG, JPEG, HEIC, AVIF, WebP, GIF, BMP and TIFF, alone or in zip archives), and what happens to
damaged ones, are in `docs/contract.md`; the limits of size and memory are in `docs/limits.md`. They do not depend on
the model.
"""

LIMITS: Final = """\
* One digit in a picture. Several side by side are refused as not a digit, not read one by one.
* Latin digits 0 to 9. Hands of the United States and of Turkey were learned from; variants of other schools as far as
  the drawn digits show them.
* Turned by more than about 20 degrees, errors grow; upside down, a 6 is a 9.
* The confidence is calibrated on clean digits and on other hands. Where pictures are worse, it is honest only as far
  as the tables show.
* A letter that is a digit's double (O, l, S, Z) is read as that digit.
"""
