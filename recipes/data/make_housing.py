"""Makes `housing.csv`, the made-up flats of the housing recipe. Run it: python make_housing.py

The price is a known function of the columns, so one can tell what a model could learn at best:

    base     = district rate [thousands a m2] * area
    distance : far from the centre a flat is cheaper, but less so in the quiet districts
               (an interaction): base * exp(-district decay * distance)
    condition: times 0.82 (poor), 1.00 (fair), 1.12 (good), 1.30 (new)
    age      : times 1 - 0.25 * age / (age + 40); houses over 90 years are old town and gain
               0.0015 a year beyond 90
    heating  : minus 140 a m2 where coal heats, plus 60 where a heat pump does
    floor    : plus 0.8 % a floor; without a heat pump (old houses, no lift) only up to the 4th
    rooms    : minus 3 % for every room by which it differs from area / 24
    noise    : times exp(normal(0, 0.06)), which no model can learn

All numbers are made up and stand for no real place.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

ROWS = 1200
SEED = 20240917
NOISE = 0.06

RATES = {"centre": 6.1, "hill": 5.4, "harbour": 4.6, "park": 4.9, "north": 3.2, "mill": 3.5}
DECAYS = {"centre": 0.11, "hill": 0.03, "harbour": 0.07, "park": 0.02, "north": 0.06, "mill": 0.05}
CONDITIONS = {"poor": 0.82, "fair": 1.0, "good": 1.12, "new": 1.3}
HEATINGS = {"gas": 0.0, "district": 0.0, "coal": -0.14, "heat_pump": 0.06}  # thousands a m2

COLUMNS = (
    "area_m2",
    "rooms",
    "age_years",
    "distance_km",
    "floor",
    "heating",
    "district",
    "condition",
    "price",
)


def price(
    area_m2: float,
    rooms: int,
    age_years: int,
    distance_km: float,
    floor: int,
    heating: str,
    district: str,
    condition: str,
) -> float:
    """The price in thousands, without the noise, by the formula at the top of this file."""
    value = RATES[district] * area_m2 * float(np.exp(-DECAYS[district] * distance_km))
    value *= CONDITIONS[condition]
    value *= 1 - 0.25 * age_years / (age_years + 40) + 0.0015 * max(0, age_years - 90)
    value += HEATINGS[heating] * area_m2
    value *= 1 + 0.008 * (floor if heating == "heat_pump" else min(floor, 4))
    value *= 1 - 0.03 * abs(rooms - round(area_m2 / 24))
    return value


def make_rows() -> list[tuple[object, ...]]:
    """The rows of the table, the same on every machine."""
    # RandomState keeps its streams from one NumPy to the next; default_rng does not promise to.
    random = np.random.RandomState(SEED)
    rows: list[tuple[object, ...]] = []
    for _ in range(ROWS):
        area = round(float(random.gamma(9.0, 9.0)) + 18, 1)
        rooms = max(1, round(area / 24 + float(random.normal(0, 0.8))))
        age = int(random.randint(0, 131))
        district = str(random.choice(list(RATES)))
        distance = round(float(random.gamma(2.0, 1.2 if district == "centre" else 3.0)), 2)
        floor = int(random.randint(0, 9))
        if age < 12:
            condition, heating = str(random.choice(["good", "new"])), "heat_pump"
        else:
            condition = str(random.choice(["poor", "fair", "good"], p=[0.2, 0.5, 0.3]))
            heating = str(random.choice(["gas", "district", "coal"], p=[0.55, 0.3, 0.15]))
        known = (area, rooms, age, distance, floor, heating, district, condition)
        noisy = price(*known) * float(np.exp(random.normal(0, NOISE)))
        rows.append((*known, round(noisy, 1)))
    return rows


def make_csv() -> str:
    """The text of the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(make_rows())
    return text.getvalue()


if __name__ == "__main__":
    path = Path(__file__).with_name("housing.csv")
    path.write_bytes(make_csv().encode())
    print(f"{path}: {ROWS} rows")
