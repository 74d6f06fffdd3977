"""`[replay]`: what may stand there, and what is said where it may not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltune.errors import RecipeError
from dltune.recipe.files import parse_recipe
from dltune.recipe.replay import values_at
from dltune.recipe.schema import Config, flatten
from dltune.search.cohorts import shape_key

TEXT = """\
data.source = "a.csv"
optim.lr = 0.1

[replay]  # as it was searched
"optim.lr" = [[6, 0.003], [12, 0.001]]
"regularize.l2" = [[6, 1e-4]]
"""


def read(text: str, *overrides: str) -> Config:
    return parse_recipe(text, folder=Path(), overrides=overrides).config()


def test_it_holds_from_its_epochs_on() -> None:
    config = read(TEXT)
    rates = {epoch: config.at(epoch).optim.lr for epoch in (0, 5, 6, 11, 12, 99)}
    assert rates == {0: 0.1, 5: 0.1, 6: 0.003, 11: 0.003, 12: 0.001, 99: 0.001}
    assert config.at(6).regularize.l2 == 1e-4
    assert config.at(6).replay == config.replay
    plain = read('data.source = "a.csv"')
    assert plain.at(7) is plain


def test_it_is_kept_as_it_is() -> None:
    config = read(TEXT)
    document = config.model_dump(mode="json", by_alias=True)
    assert Config.model_validate(document) == config
    flat = flatten(config)
    assert flat["replay.optim.lr"] == [[6, 0.003], [12, 0.001]]
    assert not [key for key in flatten(read('data.source = "a.csv"')) if "replay" in key]


def test_trials_with_and_without_share_a_stack() -> None:
    assert shape_key(read(TEXT)) == shape_key(read('data.source = "a.csv"'))


@given(
    points=st.dictionaries(
        st.sampled_from(["optim.lr", "optim.eps", "regularize.l1", "model.dropout"]),
        st.dictionaries(st.integers(1, 50), st.floats(1e-9, 0.9), min_size=1, max_size=4),
    ),
    epoch=st.integers(0, 60),
)
def test_any_of_it_comes_back_and_the_last_change_holds(
    points: dict[str, dict[int, float]], epoch: int
) -> None:
    replay = {key: [[at, one[at]] for at in sorted(one)] for key, one in points.items()}
    config = Config(data={"source": "a.csv"}, replay=replay)
    again = Config.model_validate_json(config.model_dump_json(by_alias=True))
    assert again == config
    for key, one in points.items():
        over = [at for at in one if at <= epoch]
        expected = one[max(over)] if over else None
        assert values_at(again.replay, epoch).get(key) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"optim.lrr" = [[6, 0.1]]', 'did you mean "optim.lr"?'),
        ('"optim.name" = [[6, 0.1]]', '"optim.name" may not change'),
        ('"optim.momentum" = [[6, 0.1]]', '"optim.momentum" may not change'),  # adam has none
        ('"train.batch_size" = [[6, 32]]', '"train.batch_size" may not change'),
        ('"optim.betas" = [[6, [0.8, 0.9]]]', "must be a number"),
        ('"regularize.early_stop" = [[6, 3]]', '"regularize.early_stop" may not change'),
        ('"optim.lr" = [[6, -0.1]]', '"optim.lr" = -0.1: input should be greater than'),
        ('"optim.lr" = [[12, 0.1], [6, 0.2]]', "ascending"),
        ('"optim.lr" = [[0, 0.1]]', "at least 1"),
        ('"optim.lr" = []', "such as [[6, 0.003], [12, 0.001]]"),
        ('"optim.lr" = 0.1', "replay.optim.lr"),
        ('"optim.lr" = [[6, {log = [0.1, 0.2]}]]', "replay"),
    ],
)
def test_what_may_not_stand_there(line: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(f'data.source = "a.csv"\n[replay]\n{line}\n')
    assert said in caught.value.found


def test_a_range_over_a_key_that_it_has() -> None:
    with pytest.raises(RecipeError, match=r"optim.lr: must be no range, as \[replay\] says"):
        parse_recipe(TEXT, folder=Path(), spaces=["optim.lr=log:1e-3:1e-1"])
    other = parse_recipe(TEXT, folder=Path(), spaces=["optim.weight_decay=log:1e-3:1e-1"])
    assert other.config({"optim.weight_decay": 0.01}).replay


def test_a_key_of_it_can_be_set_by_itself() -> None:
    config = read('data.source = "a.csv"', "replay.optim.lr=[[3, 0.2]]")
    assert config.replay == {"optim.lr": [(3, 0.2)]}
    assert read(TEXT, "replay.optim.lr=[[3, 0.2]]").at(6).optim.lr == 0.2
    quoted = 'replay."optim.lr"=[[3, 0.2]]'  # as it stands in a file
    assert read(TEXT, quoted).at(6).optim.lr == 0.2


def test_a_factory_has_its_own_dropout() -> None:
    text = 'data.source = "a.csv"\nmodel.factory = "net.py:net"\nmodel.dropout = 0.1\n'
    with pytest.raises(RecipeError, match=r'"model\.dropout" may not change'):
        read(f'{text}[replay]\n"model.dropout" = [[1, 0.2]]\n')


def test_the_text_keeps_it() -> None:
    recipe = parse_recipe(TEXT, folder=Path(), overrides=["train.epochs=30"])
    assert "# as it was searched" in recipe.text
    assert tomllib.loads(recipe.text)["replay"]["optim.lr"] == [[6, 0.003], [12, 0.001]]
