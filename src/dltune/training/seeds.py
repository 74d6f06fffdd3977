"""Seeds from (study seed, trial number) alone: any split of the work trains the same trials."""

from __future__ import annotations

import hashlib

SEED_BITS = (
    63  # torch.manual_seed takes a signed 64-bit number; 63 bits are non-negative everywhere
)


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2^63) from a tuple of numbers and names; the same on every machine and version.

    A hash and not arithmetic such as seed + number: sums make trial 1 of study 0 equal to trial 0
    of study 1.

    >>> derive_seed(0, 1) != derive_seed(1, 0)
    True
    >>> derive_seed(7, "dropout") == derive_seed(7, "dropout")
    True
    """
    text = "/".join(str(part) for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - SEED_BITS)


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of trial `number` (from 0) of a study.

    >>> trial_seed(0, 3) == trial_seed(0, 3) != trial_seed(0, 4)
    True
    """
    return derive_seed(study_seed, "trial", number)
