"""The place of the samples that have one: California, its counties, and invented operators and towns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta, timezone

# Pacific Standard Time; the samples have no daylight saving time.
LOCAL_TIME = timezone(timedelta(hours=-8))

# The counties' people: US Census Bureau, 2020 Census Redistricting Data (Public Law 94-171), table P1.
COUNTIES = {
    "Alameda": 1_682_353,
    "Alpine": 1_204,
    "Amador": 40_474,
    "Butte": 211_632,
    "Calaveras": 45_292,
    "Colusa": 21_839,
    "Contra Costa": 1_165_927,
    "Del Norte": 27_743,
    "El Dorado": 191_185,
    "Fresno": 1_008_654,
    "Glenn": 28_917,
    "Humboldt": 136_463,
    "Imperial": 179_702,
    "Inyo": 19_016,
    "Kern": 909_235,
    "Kings": 152_486,
    "Lake": 68_163,
    "Lassen": 32_730,
    "Los Angeles": 10_014_009,
    "Madera": 156_255,
    "Marin": 262_321,
    "Mariposa": 17_131,
    "Mendocino": 91_601,
    "Merced": 281_202,
    "Modoc": 8_700,
    "Mono": 13_195,
    "Monterey": 439_035,
    "Napa": 138_019,
    "Nevada": 102_241,
    "Orange": 3_186_989,
    "Placer": 404_739,
    "Plumas": 19_790,
    "Riverside": 2_418_185,
    "Sacramento": 1_585_055,
    "San Benito": 64_209,
    "San Bernardino": 2_181_654,
    "San Diego": 3_298_634,
    "San Francisco": 873_965,
    "San Joaquin": 779_233,
    "San Luis Obispo": 282_424,
    "San Mateo": 764_442,
    "Santa Barbara": 448_229,
    "Santa Clara": 1_936_259,
    "Santa Cruz": 270_861,
    "Shasta": 182_155,
    "Sierra": 3_236,
    "Siskiyou": 44_076,
    "Solano": 453_491,
    "Sonoma": 488_863,
    "Stanislaus": 552_878,
    "Sutter": 99_633,
    "Tehama": 65_829,
    "Trinity": 16_112,
    "Tulare": 473_117,
    "Tuolumne": 55_620,
    "Ventura": 843_843,
    "Yolo": 216_403,
    "Yuba": 81_575,
}


@dataclass(frozen=True)
class Operator:
    """An operator: its share of the subscribers in per cent, its phones' network, and their typical signal (ASU).

    ``spellings`` are the ways in which phones write its name, each with its frequency of 10.
    """

    name: str
    share: int
    network: str
    signal: int
    spellings: dict[str, int]


OPERATORS = (
    Operator("Pacific Mobile", 38, "pacific", 15, {"Pacific Mobile": 8, "pacific mobile": 2}),
    Operator("Bear Wireless", 29, "bear", 12, {"Bear Wireless": 9, "BEAR WIRELESS": 1}),
    Operator("Sierra Cell", 17, "sierra", 10, {"Sierra Cell US": 10}),
    Operator("Poppy", 11, "bear", 11, {"POPPY": 6, "Poppy": 4}),
    Operator("Mojave Telecom", 5, "mojave", 7, {"Mojave Telecom": 10}),
)


@dataclass(frozen=True)
class Town:
    """An invented town: its centre in hundredths of a degree, its weight, and its first postal code."""

    latitude: int
    longitude: int
    weight: int
    postal_code: int


TOWNS = (
    Town(3410, -11820, 240, 90100),
    Town(3390, -11790, 120, 90800),
    Town(3280, -11700, 110, 92100),
    Town(3770, -12220, 100, 94600),
    Town(3740, -12190, 80, 95100),
    Town(3380, -11730, 70, 92500),
    Town(3860, -12140, 60, 95800),
    Town(3680, -11980, 50, 93700),
    Town(3540, -11900, 40, 93300),
    Town(3420, -11910, 30, 93000),
    Town(3800, -12130, 30, 95200),
    Town(3850, -12270, 20, 95400),
    Town(3670, -12160, 20, 93900),
    Town(4060, -12240, 10, 96000),
    Town(4080, -12410, 10, 95500),
    Town(3740, -11860, 4, 93500),
    Town(3570, -11740, 3, 92300),
    Town(4150, -12060, 3, 96100),
)
POSTAL_CODES_A_TOWN = 3
