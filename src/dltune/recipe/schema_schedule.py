"""The `[schedule]` section: how the learning rate moves over a training.

Every schedule gives a factor on the configured rate (the peak); `warmup` lets that factor rise
linearly over the first steps.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from dltune.recipe.section import BelowOne, Count, NotNegative, Positive, Section, Share


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

    name: Literal["exponential"] = Field(default="exponential", description="exp(-decay epoch)")
    # 1 / 20: a default training of 20 epochs ends at 1 / e of its peak.
    decay: NotNegative = Field(default=0.05, description="fall per epoch, in nats")


class CosineConfig(_Schedule):
    """Half a cosine from the peak to the floor (Loshchilov & Hutter 2017, without restarts)."""

    name: Literal["cosine"] = Field(
        default="cosine", description="floor + (1 - floor)(1 + cos(pi t)) / 2"
    )
    floor: Share = Field(default=0.0, description="share of the peak that is left at the end")


class OneCycleConfig(_Schedule):
    """Up to the peak and far down again (Smith & Topin 2018); defaults of torch's OneCycleLR."""

    name: Literal["one-cycle"] = Field(
        default="one-cycle", description="cosine up, then cosine down"
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


DEFAULT_SCHEDULE = "constant"


def _schedule_tag(value: Any) -> Any:
    name = value.get("name", DEFAULT_SCHEDULE) if isinstance(value, dict) else None
    return getattr(value, "name", None) if name is None else name


ScheduleConfig = Annotated[
    Annotated[ConstantConfig, Tag("constant")]
    | Annotated[StepConfig, Tag("step")]
    | Annotated[ExponentialConfig, Tag("exponential")]
    | Annotated[CosineConfig, Tag("cosine")]
    | Annotated[OneCycleConfig, Tag("one-cycle")],
    Discriminator(_schedule_tag),
]
