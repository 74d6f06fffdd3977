"""The `[optim]` section: how a step is made.

The optimizers are torch's, under torch's names and with torch's defaults.

Settings that only change how the step is computed (`foreach`, `fused`, `capturable`,
`differentiable`) and `maximize` are not hyperparameters and are left out.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from dltune.recipe.section import (
    BelowOne,
    Betas,
    NotNegative,
    Positive,
    Section,
    Share,
    by_name,
)


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
    by_name(default=DEFAULT_OPTIMIZER),
]
