"""The seeded bugs: every trap that a DANet can fall into, each a mistake that someone has made.

Not listed, because no comparison of numbers can or should see them:
- a max pool padded with zeros: it follows a ReLU, so the padding never wins either way;
- count_include_pad in torch's average pool: with no padding it changes nothing, whatever the ceil mode;
- antialiased resizing: it differs only where a map shrinks, and logits never do;
- TF32, and one bfloat16 pass on TPU: they need that hardware; the float32 suites hold the settings;
- which values dropout drops: a choice of generator. That it is off at inference is checked.
"""

from __future__ import annotations

from shared_tests.mutation import (
    attention,
    compact,
    context,
    folding,
    layers,
    network,
    normalisation,
    training,
    winograd,
)

MUTATIONS = (
    *normalisation.NORMALISATION,
    *layers.LAYERS,
    *attention.POSITION,
    *attention.CHANNEL,
    *context.WEIGHED,
    *context.GATHERED,
    *context.CRISS_CROSS,
    *compact.COMPACT,
    *compact.DECODER,
    *network.BACKBONE,
    *network.HEAD,
    *network.UPSAMPLING,
)

# Those of code that only certain networks or inputs reach: the suite of that code runs them.
SPECIAL = (
    *attention.CHUNKED_MUTATIONS,
    *attention.KERNEL,
    *attention.SECOND,
    *context.CHUNKED_MUTATIONS,
    *folding.FOLDING,
    *network.OUTPUTS,
    *training.INITIALISATION,
    *training.LOSS,
    *winograd.WINOGRAD,
)
