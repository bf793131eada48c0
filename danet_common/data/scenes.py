"""`scenes`: generated street scenes with exact labels, for tests and demonstrations.

A scene depends on its split and number only. It has sky, buildings, trees, grass, a road, cars and people, with
texture, noise and light. A line of void separates the classes, as in PASCAL VOC.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from danet_common.config.classes import Colour, class_set
from danet_common.data.canvas import Canvas, ellipse, rectangle, trapezoid
from danet_common.data.dataset import DataError, Dataset, Sample, log_remark
from danet_common.data.listing import require_split
from danet_common.numerics.keyed_random import KeyedRandom

SCENES = class_set(
    sky=(70, 130, 180),
    building=(70, 70, 70),
    tree=(107, 142, 35),
    ground=(152, 251, 152),
    road=(128, 64, 128),
    car=(0, 0, 142),
    person=(220, 20, 60),
)
SKY, BUILDING, TREE, GROUND, ROAD, CAR, PERSON = range(7)
GRAIN = (8, 20, 60, 40, 16, 14, 20)  # texture of each class

COUNTS = {"train": 256, "val": 64, "test": 64}  # split -> default number of scenes
MAX_COUNT = 100_000  # scenes of a split
HEIGHT, WIDTH = 96, 128  # a tiny network learns them in seconds on a laptop


class Scenes(Dataset):
    """The first `count` scenes of a split. Splits share no scene."""

    def __init__(self, count: int, split: str, height: int = HEIGHT, width: int = WIDTH) -> None:
        require_split("scenes", split, COUNTS)
        if count < 1:
            raise DataError(f"scenes: there must be at least 1; got {count}")
        if count > MAX_COUNT:
            raise DataError(
                f"scenes: there are at most {MAX_COUNT} of a split, whose names have five digits; got {count}"
            )
        super().__init__(f"scenes {split}", SCENES, [f"{split}_{index:05d}" for index in range(count)])
        self.height, self.width = height, width

    def item(self, index: int) -> Sample:
        """Make a scene; a negative number counts from the end."""
        name = self.item_names[index]
        random = KeyedRandom("scenes", name)
        canvas = Canvas(self.height, self.width)
        horizon = random.integer(self.height * 35 // 100, self.height * 55 // 100)
        _sky(canvas, horizon, random)
        _ground(canvas, horizon, random)
        _skyline(canvas, horizon, random)
        _traffic(canvas, horizon, random)
        canvas.grain(GRAIN, random)
        canvas.light(random.integer(170, 300))
        canvas.edge()
        return Sample(canvas.colours.astype(np.uint8), canvas.labels, name)

    def check(self, limit: int | None = None, log: Callable[[str], None] = log_remark) -> None:
        """Return None: scenes are always valid."""


def open_scenes(count: str, split: str) -> Scenes:
    """Open `scenes:COUNT`, or the default number if `count` is empty. Raises DataError."""
    require_split("scenes", split, COUNTS)
    if not count:
        return Scenes(COUNTS[split], split)
    if not re.fullmatch("[0-9]{1,20}", count):
        raise DataError(f"scenes:COUNT needs a whole number; got {count[:20]!r}")
    return Scenes(int(count), split)


def _tint(colour: Colour, spread: int, random: KeyedRandom) -> Colour:
    """Return a random colour near a colour."""
    red, green, blue = (min(max(value + random.integer(-spread, spread), 0), 255) for value in colour)
    return red, green, blue


def _sky(canvas: Canvas, horizon: int, random: KeyedRandom) -> None:
    """Paint a sky, lighter towards the horizon, with clouds."""
    red, green, blue = _tint((120, 160, 210), 30, random)
    for row in range(horizon):
        haze = 40 * row // horizon
        canvas.paint(row, 0, rectangle(1, canvas.width), SKY, (red + haze, green + haze, blue + haze // 2))
    for _ in range(random.integer(0, 4)):
        height, width = random.integer(3, horizon // 3), random.integer(canvas.width // 8, canvas.width // 3)
        shape = ellipse(height, width)
        top, left = random.integer(-2, horizon - height), random.integer(-width // 2, canvas.width - width // 2)
        canvas.paint(top, left, shape[: max(horizon - top, 0)], SKY, _tint((225, 228, 232), 12, random))


def _ground(canvas: Canvas, horizon: int, random: KeyedRandom) -> None:
    """Paint grass or earth, and a road that narrows towards the horizon, with a broken centre line."""
    depth = canvas.height - horizon
    soil = (95, 140, 70) if random.chance(0.7) else (150, 125, 90)
    canvas.paint(horizon, 0, rectangle(depth, canvas.width), GROUND, _tint(soil, 20, random))
    bottom = canvas.width * random.integer(50, 90) // 100
    middle = canvas.width * random.integer(40, 60) // 100
    lean = canvas.width * random.integer(-20, 20) // 100
    road = trapezoid(depth, canvas.width * 6 // 100, bottom, lean)
    canvas.paint(horizon, middle - road.shape[1] // 2, road, ROAD, _tint((105, 103, 108), 18, random))
    line = trapezoid(depth, 1, max(bottom // 30, 2), lean)
    line[(np.arange(depth) * 8 // depth) % 2 == 0] = False
    canvas.paint(horizon, middle - line.shape[1] // 2, line, ROAD, (215, 212, 200))


def _skyline(canvas: Canvas, horizon: int, random: KeyedRandom) -> None:
    """Paint buildings with windows, and trees with round crowns, at the horizon or just below."""
    for _ in range(random.integer(2, 5)):
        height, width = horizon * random.integer(35, 95) // 100, canvas.width * random.integer(12, 30) // 100
        left = random.integer(-width // 2, canvas.width - width // 2)
        wall = _tint(((150, 110, 95), (165, 160, 150), (110, 105, 115))[random.integer(0, 2)], 20, random)
        top = horizon - height
        canvas.paint(top, left, rectangle(height + 2, width), BUILDING, wall)
        pane = (60, 70, 85) if random.chance(0.7) else (240, 220, 150)
        for row in range(top + 3, horizon - 4, 7):
            for column in range(left + 3, left + width - 4, 7):
                canvas.paint(row, column, rectangle(4, 3), BUILDING, pane)
    for _ in range(random.integer(1, 4)):
        height = horizon * random.integer(35, 75) // 100
        width = height * random.integer(70, 110) // 100
        left, foot = random.integer(-width // 2, canvas.width - width // 2), horizon + random.integer(2, 8)
        trunk = max(width // 7, 2)
        canvas.paint(foot - height // 2, left + (width - trunk) // 2, rectangle(height // 2, trunk), TREE, (85, 62, 45))
        canvas.paint(foot - height * 5 // 4, left, ellipse(height, width), TREE, _tint((50, 95, 45), 22, random))


def _traffic(canvas: Canvas, horizon: int, random: KeyedRandom) -> None:
    """Paint cars and people; near ones are larger and in front."""
    depth = canvas.height - horizon
    feet = sorted(horizon + depth * random.integer(18, 105) // 100 for _ in range(random.integer(3, 7)))
    for foot in feet:
        near = (foot - horizon) * 100 // depth  # per cent of the way from the horizon to the viewer
        size = canvas.height * (12 + near * 22 // 100) // 100
        left = random.integer(-size // 2, canvas.width - size // 2)
        if random.chance(0.5):
            _car(canvas, foot, left, size, random)
        else:
            _person(canvas, foot, left, size * 5 // 4, random)


def _car(canvas: Canvas, foot: int, left: int, size: int, random: KeyedRandom) -> None:
    """Paint a car from the side: body, cabin with a window, 2 wheels."""
    paints = ((190, 40, 40), (40, 70, 170), (220, 215, 205), (45, 45, 50), (200, 165, 50))
    paint = _tint(paints[random.integer(0, 4)], 20, random)
    width, body, cabin, wheel = size * 2, size * 9 // 20, size * 2 // 5, max(size * 2 // 5, 3)
    top = foot - wheel // 2 - body
    canvas.paint(top - cabin, left + width // 6, trapezoid(cabin + 1, width * 2 // 5, width * 3 // 5), CAR, paint)
    glass = trapezoid(max(cabin - 2, 1), width * 3 // 10, width * 9 // 20)
    canvas.paint(top - cabin + 2, left + width * 5 // 21, glass, CAR, (70, 85, 100))
    canvas.paint(top, left, rectangle(body, width), CAR, paint)
    for hub in (width // 5, width * 4 // 5):
        canvas.paint(foot - wheel, left + hub - wheel // 2, ellipse(wheel, wheel), CAR, (25, 25, 28))


def _person(canvas: Canvas, foot: int, left: int, size: int, random: KeyedRandom) -> None:
    """Paint a person: head, coat and legs."""
    width, head = max(size * 9 // 20, 5), max(size // 5, 3)
    coat = _tint(((200, 80, 120), (230, 140, 40), (60, 60, 110), (120, 40, 130))[random.integer(0, 3)], 25, random)
    skin = _tint(((225, 180, 150), (150, 105, 80), (95, 65, 50))[random.integer(0, 2)], 12, random)
    legs = size * 2 // 5
    canvas.paint(foot - legs, left + width // 5, rectangle(legs, max(width * 3 // 5, 3)), PERSON, (45, 45, 60))
    trunk = size - legs - head
    canvas.paint(foot - legs - trunk, left, trapezoid(trunk, width * 7 // 10, width), PERSON, coat)
    canvas.paint(foot - size, left + (width - head) // 2, ellipse(head + 1, head), PERSON, skin)
