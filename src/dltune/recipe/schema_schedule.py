"""The `[schedule]` section: how the rate moves while a model is trained.

Every schedule gives a factor on the configured rate (the peak); `warmup` lets that factor rise
linearly over the first steps. Two of them react to what the training comes to.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, Tag, model_validator

from dltune.recipe.section import (
    BelowOne,
    Count,
    NotNegative,
    NotNegativeInt,
    Positive,
    Section,
    Share,
    by_name,
    refusal,
)


class _Schedule(Section):
    warmup: BelowOne = Field(
        default=0.0, description="share of all steps over which the rate rises linearly to its peak"
    )


class ConstantConfig(_Schedule):
    """The same rate at every step."""

    name: Literal["constant"] = Field(default="constant", description="factor 1")


class StepConfig(_Schedule):
    """The rate falls by a factor every few epochs."""

    name: Literal["step"] = Field(default="step", description="factor ** floor(epoch / every)")
    # torch.optim.lr_scheduler.StepLR's gamma.
    factor: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.1, description="factor at each fall"
    )
    # Half of the default number of epochs: one fall in a default training.
    every: Count = Field(default=10, description="epochs between two falls")


class ExponentialConfig(_Schedule):
    """The rate falls by the same share every epoch."""

    name: Literal["exponential"] = Field(
        default="exponential", description="exp(-decay epoch), from the end of the warmup on"
    )
    # 1 / 20: a default training of 20 epochs ends at 1 / e of its peak.
    decay: NotNegative = Field(default=0.05, description="fall per epoch, in nats")


class CosineConfig(_Schedule):
    """Half a cosine from the peak to the floor (Loshchilov & Hutter 2017, without restarts)."""

    name: Literal["cosine"] = Field(
        default="cosine",
        description="floor + (1 - floor)(1 + cos(pi t)) / 2, t from 0 to 1 after the warmup",
    )
    floor: Share = Field(default=0.0, description="share of the peak that is left at the end")


def _no_warmup(share: float) -> float:
    if share > 0:
        raise refusal(
            "must be 0: one-cycle rises by itself, from start to the peak at the share peak_at; "
            "set schedule.peak_at for a longer rise"
        )
    return share


class OneCycleConfig(_Schedule):
    """Up to the peak and far down again (Smith & Topin 2018); defaults of torch's OneCycleLR."""

    name: Literal["one-cycle"] = Field(
        default="one-cycle", description="cosine up, then cosine down"
    )
    warmup: Annotated[BelowOne, AfterValidator(_no_warmup)] = Field(
        default=0.0, description="stays 0: the rise to the peak is part of the cycle"
    )
    # OneCycleLR: div_factor = 25, so 1 / 25 of the peak.
    start: Positive = Field(default=0.04, le=1, description="share of the peak at the first step")
    # OneCycleLR: final_div_factor = 1e4 under the start, so 0.04 / 1e4 of the peak.
    end: Share = Field(default=4e-6, description="share of the peak at the last step")
    # OneCycleLR: pct_start.
    peak_at: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.3, description="share of the steps after which the peak is reached"
    )
    # OneCycleLR: max_momentum and base_momentum.
    momentum_high: BelowOne = Field(
        default=0.95, description="momentum (or first beta) at the first and the last step"
    )
    momentum_low: BelowOne = Field(
        default=0.85, description="momentum (or first beta) at the peak of the rate"
    )


class PiecewiseConfig(_Schedule):
    """Given shares of the rate from given epochs on, as torch's MultiStepLR has them."""

    name: Literal["piecewise"] = Field(
        default="piecewise", description="1, then factors[i] once at[i] epochs are over"
    )
    # MultiStepLR has no default milestones; these are the halves of `step`, at a training of 20.
    at: Annotated[list[Count], Field(min_length=1)] = Field(
        default=[10, 15], description="epochs after which each factor holds, ascending"
    )
    factors: Annotated[list[Positive], Field(min_length=1)] = Field(
        default=[0.1, 0.01], description="multiples of optim.lr, one for each of `at`"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        at, factors = self.at, self.factors
        if len(at) != len(factors):
            raise refusal(
                f"at = {at} and factors = {factors} must be of one length: a factor for each "
                "epoch, such as at = [10, 15] with factors = [0.1, 0.01]"
            )
        if any(late <= early for early, late in itertools.pairwise(at)):
            raise refusal(
                f"at = {at} must ascend, such as {sorted(set(at))} with a factor for each"
            )
        return self


class PlateauConfig(_Schedule):
    """The rate falls when the objective has stopped falling, by torch's ReduceLROnPlateau."""

    name: Literal["plateau"] = Field(
        default="plateau", description="factor ** (falls so far): reacts to the objective"
    )
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="factor at each fall"
    )
    # Torch's 10 is half of a default training of 20 epochs; a quarter leaves time for two falls.
    patience: NotNegativeInt = Field(
        default=5, description="epochs without a better objective that are borne; the next falls"
    )
    threshold: BelowOne = Field(
        default=1e-4, description="better is below (1 - threshold) times the best"
    )
    cooldown: NotNegativeInt = Field(
        default=0, description="epochs after a fall that are not counted"
    )
    floor: Share = Field(default=0.0, description="share of optim.lr below which it does not fall")


class NewbobConfig(_Schedule):
    """The rate falls whenever the objective rises, as in the simplest form of newbob."""

    name: Literal["newbob"] = Field(
        default="newbob", description="factor ** (rises so far): reacts to the objective"
    )
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5, description="factor at each epoch whose objective is above the last one's"
    )


ScheduleConfig = Annotated[
    Annotated[ConstantConfig, Tag("constant")]
    | Annotated[StepConfig, Tag("step")]
    | Annotated[ExponentialConfig, Tag("exponential")]
    | Annotated[CosineConfig, Tag("cosine")]
    | Annotated[OneCycleConfig, Tag("one-cycle")]
    | Annotated[PiecewiseConfig, Tag("piecewise")]
    | Annotated[PlateauConfig, Tag("plateau")]
    | Annotated[NewbobConfig, Tag("newbob")],
    by_name(default="constant"),
]
