"""Old words stay gone: each thing has the name that its field gives it, in code, documents and messages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = (".py", ".md", ".toml", ".txt", ".html", ".yml", "Makefile")
HISTORY = ("benchmarks/results/", "LICENSE", str(Path(__file__).relative_to(ROOT)))  # recorded output, and this table

# Old word -> the field's word. Words with another meaning somewhere, such as `rule`, are absent.
WORDS = {
    "Stages": "Taps",
    "stages.keep": "taps.record",
    "Numerics": "Precision",
    "in_slices": "chunked_attention",
    "InSlices": "chunked_attention",
    "slice_size": "chunk_size",
    "slice-size": "chunk-size",
    "gather_by_keys": "flash_attention",
    "InBlocks": "flash_attention",
    "gather_by_heads": "sdpa_attention",
    "has_kernel": "sdpa_supported",
    "recompute": "remat",
    "recomputed": "remat",
    "recomputes": "remat",
    "computed_again": "remat",
    "passenger": "extra tensor",
    "passengers": "extra_tensors",
    "untold": "assumptions",
    "remark": "message",
    "remarks": "messages",
    "owners_files": "upstream_checkpoints",
    "used_again": "reuse_memory",
    "as_typed": "upcast",
    "widen": "upcast",
    "computed_once": "materialise",
    "Engine": "Distributed",
    "start_engine": "init_distributed",
    "all_mean": "all_reduce_mean",
    "Judgement": "CheckResult",
    "Verdict": "ComparisonReport",
    "departure": "mismatch",
    "oracle": "recorded",
    "oracles": "recorded",
    "outsiders": "examples",
    "warden": "sandbox",
    "pickle_lies": "malformed_pickles",
    "ROOMS": "PACKAGES",
    "ALONE": "FRAMEWORK_ONLY",
    "FLOORS": "LAYERS",
    "ground floor": "danet_common",
    "rooms": "packages",
    "Ending": "StopReason",
    "Watcher": "Callback",
    "Cadence": "Intervals",
    "cadence": "intervals",
    "Diverged": "DivergenceError",
    "average_decay": "ema_decay",
    "adam_mean_decay": "adam_beta1",
    "adam_square_decay": "adam_beta2",
    "head_rate": "head_lr_multiplier",
    "minimum_rate": "min_learning_rate",
    "ohem_minimum": "ohem_min_kept",
    "Draws": "KeyedRandom",
    "place_in": "data_state",
    "StoredTensors": "LazyTensors",
    "StoredFile": "LazyFile",
    "read_ahead": "prefetch",
    "named_leaves": "named_parameters",
    "suits": "is_eligible",
    "ROW_INPUT": "B_T",
    "ROW_KERNEL": "G",
    "ROW_OUTPUT": "A_T",
    "Unable": "CommandError",
    "complain": "print_error",
    "shaken": "perturbed",
    "roof": "peak_flops",
    "relatives": "attention-modules",
    "misshapen": "wrong shape",
    "faults": "errors",
    "truth": "expected",
    "practise": "call_function",
    "whoever": "a user",
    "somebody": "a user",
    "nobody": "no user",
}
# Old word -> files in which it is right, and the reason.
FIELDS = {"danet_common/config/former_arguments.py": "the reader of old field names"}
KEYS = {
    "weights_convert/formats/torch_file.py": "a key of saved files",
    "danet_common/checkpoint/canonical.py": "a key of saved files",
    "shared_tests/suites/conversion/test_bridge_torch_file.py": "a key of saved files",
}
ALLOWED = {
    "Stages": {"danet_common/__init__.py": "the error that names its new name"},
    "Unable": {"shared_tests/suites/cli/test_eval_command.py": "a message of NumPy"},
    "cadence": {
        "danet_common/training/plan.py": "the reader of old plans",
        "shared_tests/suites/training/test_former_fields.py": "the test of that reader",
    },
    "faults": {"benchmarks/RESULTS.md": "page faults"},
    "passenger": KEYS,
    "passengers": KEYS,
    "recompute": {**FIELDS, "shared_tests/suites/network/test_layer_sets.py": "the error that names its new name"},
    "roof": {"danet_common/data/coco_stuff.py": "a class of COCO-Stuff"},
    "average_decay": FIELDS,
    "adam_mean_decay": FIELDS,
    "adam_square_decay": FIELDS,
    "head_rate": FIELDS,
    "minimum_rate": FIELDS,
    "ohem_minimum": FIELDS,
}


def files() -> list[Path]:
    """Return the text files under version control. Skips without them, as in an unpacked source archive."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [ROOT / name for name in names if name.endswith(SOURCES) and not name.startswith(HISTORY)]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Path -> text of each file."""
    return {str(path.relative_to(ROOT)): path.read_text() for path in files()}


@pytest.mark.parametrize("word", WORDS)
def test_old_words_are_gone(word: str, texts: dict[str, str]) -> None:
    pattern = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")
    places = [name for name, text in texts.items() if name not in ALLOWED.get(word, ()) and pattern.search(text)]
    assert not places, f"{word} -> {WORDS[word]}"
