"""Training: the loop, its data, augmentation and schedule. Needs the extra `train`."""

import os

# Must be said before torch is loaded, and every module here loads it. Its threads otherwise spin
# for milliseconds while they wait for each other, on the very cores that decode the next images: on
# two cores with another program at work, training was two times (96 pixels) to ten times (32
# pixels) slower. Not spinning at all costs up to a tenth on a quiet machine; this many turns, some
# ten microseconds, cost nothing in either case.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
