"""torch-lr-finder's `LRFinder.range_test` and the suggestion of its plot."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch_lr_finder import LRFinder

from dltune.data.device import DeviceData
from dltune.recipe.schema import Config
from peers.plain import fresh_model, loss_of, plain_optimizer, train_loader
from peers.result import PeerResult, run_finder

RULES = ("torch-lr-finder",)


def torch_lr_finder_rule(config: Config, data: DeviceData, seed: int) -> PeerResult:
    """The steepest fall of its sweep."""

    def find() -> dict[str, float | None]:
        model = fresh_model(config, data, seed)
        finder = LRFinder(model, plain_optimizer(config, model.parameters()), loss_of(data))
        loader = train_loader(config, data)
        finder.range_test(loader, start_lr=1e-7, end_lr=10, num_iter=100)
        # Its only way to tell the rate; a figure outside of pyplot needs no window.
        _, rate = finder.plot(ax=Figure().subplots(), suggest_lr=True)
        return {RULES[0]: float(rate)}

    return run_finder(find, rules=RULES)
