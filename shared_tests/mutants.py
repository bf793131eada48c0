"""The seeded bugs: every trap that a DANet can fall into, each a mistake that someone has made.

Not listed, because no judge of numbers can or should see them:
- a max pool padded with zeros: it follows a ReLU, so the padding never wins either way;
- count_include_pad in torch's average pool: with no padding it changes nothing, whatever the ceil mode;
- antialiased resizing: it differs only where a map shrinks, and logits never do;
- TF32, and one bfloat16 pass on TPU: they need that hardware; the float32 suites hold the settings;
- which values dropout drops: a choice of generator. That it is off at inference is judged.
"""

from __future__ import annotations

from shared_tests import (
    mutants_attention,
    mutants_compact,
    mutants_context,
    mutants_folding,
    mutants_layers,
    mutants_network,
    mutants_normalisation,
    mutants_training,
    mutants_winograd,
)

MUTATIONS = (
    *mutants_normalisation.NORMALISATION,
    *mutants_layers.LAYERS,
    *mutants_attention.POSITION,
    *mutants_attention.CHANNEL,
    *mutants_context.WEIGHED,
    *mutants_context.GATHERED,
    *mutants_compact.COMPACT,
    *mutants_compact.DECODER,
    *mutants_network.BACKBONE,
    *mutants_network.HEAD,
    *mutants_network.UPSAMPLING,
)

# Those of code that only certain networks or inputs reach: the suite of that code runs them.
SPECIAL = (
    *mutants_attention.SLICES,
    *mutants_attention.KERNEL,
    *mutants_attention.SECOND,
    *mutants_context.SLICES,
    *mutants_folding.FOLDING,
    *mutants_network.OUTPUTS,
    *mutants_training.INITIALISATION,
    *mutants_training.LOSS,
    *mutants_winograd.WINOGRAD,
)
