"""The `[optim]` and `[schedule]` sections: how a step is made, and how its rate moves.

The optimizers are torch's, under torch's names and with torch's defaults.

Settings that only change how the step is computed (`foreach`, `fused`, `capturable`,
`differentiable`) and `maximize` are not hyperparameters and are left out. Every schedule gives a
factor on the configured rate (the peak); `warmup` lets that factor rise linearly over the first
steps.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from dltune.recipe.section import (
    BelowOne,
    Betas,
    Count,
    NotNegative,
    Positive,
    Section,
    Share,
    refusal,
)


def _by_name(*, default: str) -> Discriminator:
    """Tells the kinds of a section apart; a table without a name is of the default kind."""

    def tag(value: Any) -> Any:
        name = value.get("name", default) if isinstance(value, dict) else None
        return getattr(value, "name", None) if name is None else name

    return Discriminator(tag)


class _Optimizer(Section):
    weight_decay: NotNegative = Field(
        default=0.0,
        description="L2 penalty added to the gradient of every parameter (torch's meaning)",
    )


class SgdConfig(_Optimizer):
    """Plain stochastic gradient descent, without momentum."""

    name: Literal["sgd"] = Field(default="sgd", description="w <- w - lr g")
    lr: Positive = Field(default=1e-3, description="learning rate")


class MomentumConfig(_Optimizer):
    """Gradient descent with heavy-ball momentum (Polyak 1964), as torch.optim.SGD has it."""

    name: Literal["momentum"] = Field(
        default="momentum", description="v <- m v + (1 - d) g; w <- w - lr v"
    )
    lr: Positive = Field(default=1e-3, description="learning rate")
    # 0.9 is the value of Sutskever et al. 2013 and of nearly every published recipe; torch's own
    # default of 0 would be plain gradient descent.
    momentum: BelowOne = Field(default=0.9, description="share of the last velocity that is kept")
    dampening: Share = Field(default=0.0, description="share of the new gradient that is left out")


class NesterovConfig(_Optimizer):
    """Nesterov's accelerated gradient; torch asks for momentum above 0 and no dampening."""

    name: Literal["nesterov"] = Field(
        default="nesterov", description="v <- m v + g; w <- w - lr (g + m v)"
    )
    lr: Positive = Field(default=1e-3, description="learning rate")
    momentum: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.9, description="share of the last velocity that is kept"
    )


class AdagradConfig(_Optimizer):
    """Adagrad (Duchi et al. 2011)."""

    name: Literal["adagrad"] = Field(
        default="adagrad", description="step divided by the root of sum g^2"
    )
    lr: Positive = Field(default=1e-2, description="learning rate")
    lr_decay: NotNegative = Field(
        default=0.0, description="lr is divided by 1 + lr_decay (step - 1)"
    )
    initial_accumulator_value: NotNegative = Field(default=0.0, description="where sum g^2 starts")
    eps: Positive = Field(default=1e-10, description="added to the root so that it is never 0")


class RmspropConfig(_Optimizer):
    """RMSprop (Hinton 2012, lecture 6)."""

    name: Literal["rmsprop"] = Field(
        default="rmsprop", description="step divided by a running rms of g"
    )
    lr: Positive = Field(default=1e-2, description="learning rate")
    alpha: BelowOne = Field(default=0.99, description="share of the last mean square that is kept")
    eps: Positive = Field(default=1e-8, description="added to the root so that it is never 0")
    momentum: BelowOne = Field(default=0.0, description="share of the last velocity that is kept")
    centered: bool = Field(
        default=False, description="divide by the running standard deviation instead"
    )


class AdadeltaConfig(_Optimizer):
    """Adadelta (Zeiler 2012); its steps have a scale of their own, hence a learning rate of 1."""

    name: Literal["adadelta"] = Field(default="adadelta", description="rms of steps over rms of g")
    lr: Positive = Field(default=1.0, description="factor on the step")
    rho: BelowOne = Field(default=0.9, description="share of the last mean squares that is kept")
    eps: Positive = Field(default=1e-6, description="added inside both roots; sets the first step")


class _AdamLike(_Optimizer):
    betas: Betas = Field(
        default=(0.9, 0.999), description="shares of the last mean and mean square that are kept"
    )
    eps: Positive = Field(default=1e-8, description="added to the root so that it is never 0")


class AdamConfig(_AdamLike):
    """Adam (Kingma & Ba 2015)."""

    name: Literal["adam"] = Field(
        default="adam", description="running mean of g over its running rms"
    )
    lr: Positive = Field(default=1e-3, description="learning rate")
    amsgrad: bool = Field(
        default=False, description="divide by the largest mean square seen so far"
    )


class AdamaxConfig(_AdamLike):
    """Adamax: Adam with the infinity norm (Kingma & Ba 2015, section 7.1)."""

    name: Literal["adamax"] = Field(
        default="adamax", description="running mean of g over its running max"
    )
    lr: Positive = Field(default=2e-3, description="learning rate")


class NadamConfig(_AdamLike):
    """NAdam: Adam with Nesterov momentum (Dozat 2016)."""

    name: Literal["nadam"] = Field(default="nadam", description="Adam with a look-ahead mean")
    lr: Positive = Field(default=2e-3, description="learning rate")
    momentum_decay: NotNegative = Field(default=4e-3, description="how fast the momentum warms up")
    decoupled_weight_decay: bool = Field(
        default=False, description="shrink the weights directly, as adamw does"
    )


class AdamwConfig(_AdamLike):
    """AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"] = Field(
        default="adamw", description="Adam; weights shrink by lr weight_decay"
    )
    lr: Positive = Field(default=1e-3, description="learning rate")
    weight_decay: NotNegative = Field(
        default=1e-2, description="share lr * weight_decay taken off every parameter at each step"
    )
    amsgrad: bool = Field(
        default=False, description="divide by the largest mean square seen so far"
    )


# Adam without weight decay: nothing regularises unless the recipe says so, which keeps a first
# diagnosis of bias and variance about the model and the data.
DEFAULT_OPTIMIZER = "adam"


OptimConfig = Annotated[
    Annotated[SgdConfig, Tag("sgd")]
    | Annotated[MomentumConfig, Tag("momentum")]
    | Annotated[NesterovConfig, Tag("nesterov")]
    | Annotated[AdagradConfig, Tag("adagrad")]
    | Annotated[RmspropConfig, Tag("rmsprop")]
    | Annotated[AdadeltaConfig, Tag("adadelta")]
    | Annotated[AdamConfig, Tag("adam")]
    | Annotated[AdamaxConfig, Tag("adamax")]
    | Annotated[NadamConfig, Tag("nadam")]
    | Annotated[AdamwConfig, Tag("adamw")],
    _by_name(default=DEFAULT_OPTIMIZER),
]


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


ScheduleConfig = Annotated[
    Annotated[ConstantConfig, Tag("constant")]
    | Annotated[StepConfig, Tag("step")]
    | Annotated[ExponentialConfig, Tag("exponential")]
    | Annotated[CosineConfig, Tag("cosine")]
    | Annotated[OneCycleConfig, Tag("one-cycle")],
    _by_name(default="constant"),
]
