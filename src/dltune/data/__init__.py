"""From a source to splits in memory: reading, checking, splitting, and transforms fitted on train only."""
