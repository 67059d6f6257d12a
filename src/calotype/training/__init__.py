"""Training: a plan, the loop, its data and its checkpoints. Needs the extra `train`."""

import os

# Must be said before torch is loaded, and every module here loads it. Its threads otherwise spin
# while they wait for each other, on the very cores that decode the next images: on two cores with
# another program at work, training was two times (96 pixels) to ten times (32 pixels) slower. On a
# quiet machine spinning would gain a twentieth.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
