"""Things that move in `synthetic:scenes`: walkers, cars, balls, birds, boats, pendulums, flags and smoke; ours.

An actor is a function of time. It draws itself onto a `Cel`, as on a film of cartoons: a colour and a cover of its own,
laid over the backdrop. Places are in frame widths (heights), angles in radians, and time goes from 0 to 1 over a clip.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np

from tfvideogan.data.drawing.cel import Cel

Actor = Callable[[Cel, float], None]


def walker(rng: np.random.Generator, ground: float) -> Actor:
    """A person, who walks so that no foot slides."""
    height, speed = rng.uniform(0.28, 0.6), rng.uniform(0.45, 0.9) * rng.choice([-1, 1])
    middle, phase, bob = rng.uniform(0.35, 0.65), rng.uniform(0, 2 * np.pi), rng.uniform(0.01, 0.03)
    shirt, trousers, skin, hair = _cloth(rng), _cloth(rng), _skin(rng), _skin(rng) * 0.4
    build, swing = rng.uniform(0.8, 1.3), rng.uniform(0.35, 0.6)
    hem = 0.2 if rng.random() < 0.3 else 0.02  # Some wear a coat.
    way, down = np.sign(speed), np.array([0.0, 1.0])

    def draw(cel: Cel, time: float) -> None:
        x = middle + speed * (time - 0.5)
        turn = phase + 2 * np.pi * abs(speed) * (time - 0.5) / (1.92 * swing * height)
        hip = np.array([x, ground - 0.48 * height - bob * height * abs(np.cos(turn))])
        neck = hip - 0.36 * height * down
        cel.anchor = hip
        for side in (-1, 1):  # The far leg and arm first, then the body, then the near ones.
            shade = 0.8 if side < 0 else 1.0
            # A leg of 0.48 heights turns evenly, so that its foot stays where it stands while the body moves on.
            angle = side * swing * np.arcsin(0.96 * np.sin(turn)) / np.arcsin(0.96)
            lift = max(0.0, side * np.cos(turn))
            leg = [(angle, 0.25, 0.095 * build), (angle - 0.9 * lift, 0.23, 0.07 * build)]
            foot = _limbs(cel, hip, way * height, leg, trousers * shade)
            _limbs(cel, foot, way * height, [(np.pi / 2, 0.05, 0.045)], trousers * 0.4)
            if side > 0:
                cel.limb(neck + 0.05 * height * down, hip + hem * height * down, 0.15 * height * build, shirt)
                cel.disc(neck - 0.075 * height * down, 0.065 * height, skin)
                cel.disc(neck - height * np.array([way * 0.015, 0.095]), 0.06 * height, hair)
            arm = [(-angle, 0.17, 0.06 * build), (0.4 - angle, 0.15, 0.05 * build)]
            hand = _limbs(cel, neck + 0.04 * height * down, way * height, arm, shirt * 0.9 * shade)
            cel.disc(hand, 0.03 * height, skin)

    return draw


def _limbs(
    cel: Cel, at: np.ndarray, scale: float, parts: list[tuple[float, float, float]], colour: np.ndarray
) -> np.ndarray:
    """Draws limbs (angle from straight down, length, width), each at the end of the last, and returns the end.

    Lengths and widths are in units of `scale`, which is negative if forwards is to the left.
    """
    for angle, length, width in parts:
        end = at + length * np.array([scale * np.sin(angle), abs(scale) * np.cos(angle)])
        cel.limb(at, end, width * abs(scale), colour)
        at = end
    return at


def car(rng: np.random.Generator, ground: float) -> Actor:
    length, speed = rng.uniform(0.24, 0.42), rng.uniform(0.95, 1.4) * rng.choice([-1, 1])
    height, middle, paint = length * rng.uniform(0.3, 0.42), rng.uniform(0.4, 0.6), _cloth(rng)
    cabin = np.array([[-0.32, 0.5], [-0.2, 1.0], [0.12, 1.0], [0.3, 0.5]]) + rng.uniform(-0.04, 0.04, [4, 2])
    if rng.random() < 0.25:  # A van.
        cabin = np.array([[-0.49, 0.5], [-0.48, 1.25], [0.28, 1.2], [0.42, 0.5]])
    body = np.array([[-0.5, 0.1], [-0.5, 0.45], [-0.33, 0.55], [0.3, 0.55], [0.48, 0.42], [0.5, 0.1]])

    def draw(cel: Cel, time: float) -> None:
        x = middle + speed * (time - 0.5)
        cel.anchor = np.array([x, ground])

        def place(*shape: tuple[float, float]) -> np.ndarray:
            return [x, ground] + np.array(shape) * [length * np.sign(speed), -height]

        cel.polygon(place(*cabin), paint * 0.85)
        cel.polygon(place(*((cabin - [-0.02, 0.75]) * [0.8, 0.62] + [-0.02, 0.76])), np.array([0.2, 0.26, 0.32]))
        cel.polygon(place(*body), paint)
        cel.polygon(place((0.42, 0.3), (0.42, 0.42), (0.49, 0.4), (0.49, 0.3)), np.array([1.0, 0.95, 0.7]))
        for wheel in (-0.3, 0.29):
            hub = place((wheel, 0.12))[0]
            spoke = 2 * np.pi * x / (0.6 * height)
            cel.disc(hub, 0.2 * height, np.full(3, 0.08))
            cel.limb(hub, hub + 0.1 * height * np.array([np.cos(spoke), np.sin(spoke)]), 0.05 * height, np.full(3, 0.6))

    return draw


def ball(rng: np.random.Generator, ground: float) -> Actor:
    """A striped ball that bounces as it falls under gravity, and turns as it goes."""
    radius, speed = rng.uniform(0.05, 0.11), rng.uniform(0.55, 0.95) * rng.choice([-1, 1])
    top, bounces, phase = rng.uniform(0.2, 0.5), rng.uniform(1.5, 4.0), rng.random()
    middle, colour, stripe = rng.uniform(0.4, 0.6), _cloth(rng, 0.9), _cloth(rng, 0.2)

    def draw(cel: Cel, time: float) -> None:
        fall = 2 * ((time * bounces + phase) % 1.0) - 1
        centre = np.array([middle + speed * (time - 0.5), ground - radius - top * (1 - fall**2)])
        cel.anchor = centre
        cel.disc(centre, radius, colour)
        angle = speed * time / radius * 0.7
        along = np.array([np.cos(angle), np.sin(angle)])
        cel.limb(centre - along * radius * 0.75, centre + along * radius * 0.75, radius * 0.4, stripe)
        cel.disc(centre - radius * np.array([0.3, 0.35]), radius * 0.25, np.minimum(colour + 0.35, 1))

    return draw


def bird(rng: np.random.Generator, ground: float) -> Actor:
    span, way = rng.uniform(0.14, 0.34), rng.choice([-1, 1])
    speed, climb = rng.uniform(0.6, 1.1), rng.uniform(-0.25, 0.25)
    middle, beats, phase = np.array([0.5, ground * rng.uniform(0.3, 0.65)]), rng.uniform(2, 6), rng.uniform(0, 6)
    feathers = _cloth(rng, 0.15) * rng.choice([0.3, 1.0])

    def draw(cel: Cel, time: float) -> None:
        at = middle + (time - 0.5) * np.array([way * speed, climb]) + [0, 0.01 * np.sin(beats * 2 * np.pi * time)]
        flap = np.sin(2 * np.pi * beats * time + phase)
        cel.anchor = at

        def place(*shape: tuple[float, float]) -> np.ndarray:
            return at + np.array(shape) * [way * span, span]

        for near, shade in ((0.85, 0.7), (1.0, 1.0)):
            tip = -0.5 * near * flap - 0.05
            wing = place((0.1, 0), (0.02, tip * 0.6), (-0.18, tip), (-0.12, tip * 0.5), (-0.16, 0.02))
            cel.polygon(wing, feathers * shade)
        cel.polygon(
            place((0.3, -0.01), (0.2, -0.06), (-0.1, -0.05), (-0.36, 0.0), (-0.1, 0.05), (0.18, 0.04)), feathers
        )

    return draw


def boat(rng: np.random.Generator, ground: float) -> Actor:
    length, speed = rng.uniform(0.16, 0.32), rng.uniform(0.5, 0.8) * rng.choice([-1, 1])
    middle, hull, sail, rolls = rng.uniform(0.4, 0.6), _cloth(rng), _cloth(rng, 0.15), rng.uniform(1, 3)
    sails = rng.random() < 0.6

    def draw(cel: Cel, time: float) -> None:
        at = np.array([middle + speed * (time - 0.5), ground + 0.006 * np.sin(2 * np.pi * rolls * time + 1)])
        roll = 0.05 * np.sin(2 * np.pi * rolls * time)
        turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        cel.anchor = at

        def place(*shape: tuple[float, float]) -> np.ndarray:
            return at + np.array(shape) * [length * np.sign(speed), -length] @ turn

        if sails:
            cel.polygon(place((0.02, 0.2), (0.02, 1.15), (-0.42, 0.22)), sail)
            cel.polygon(place((0.06, 0.2), (0.06, 1.0), (0.42, 0.2)), sail * 0.85)
        else:
            cel.polygon(place((-0.3, 0.15), (-0.3, 0.38), (0.1, 0.38), (0.16, 0.15)), sail)
            cel.polygon(place((-0.15, 0.38), (-0.15, 0.52), (-0.02, 0.52), (-0.02, 0.38)), hull)
        cel.polygon(place((-0.5, 0.16), (0.55, 0.18), (0.4, -0.04), (-0.42, -0.04)), hull)

    return draw


def pendulum(rng: np.random.Generator, ground: float) -> Actor:
    length, radius = rng.uniform(0.4, 0.6) * ground, rng.uniform(0.06, 0.1)
    pivot = np.array([rng.uniform(0.35, 0.65), ground * rng.uniform(0.05, 0.2)])
    reach, swings, phase = rng.uniform(0.5, 0.8), rng.uniform(0.8, 2.0), rng.uniform(0, 6)
    bob, rod = _cloth(rng, 0.9), _cloth(rng, 0.2) * 0.5

    def draw(cel: Cel, time: float) -> None:
        angle = reach * np.sin(2 * np.pi * swings * time + phase)
        centre = pivot + length * np.array([np.sin(angle), np.cos(angle)])
        cel.anchor = centre
        cel.limb(pivot, centre, 0.02, rod)
        cel.disc(centre, radius, bob)
        cel.disc(centre - 0.3 * radius, radius * 0.3, np.minimum(bob + 0.3, 1))

    return draw


def flag(rng: np.random.Generator, ground: float) -> Actor:
    """A cloth of stripes at a pole, along which waves run."""
    width, height = rng.uniform(0.3, 0.5), rng.uniform(0.2, 0.3)
    corner = np.array([rng.uniform(0.15, 0.4), rng.uniform(0.08, 0.3) * ground])
    waves, beats, depth = rng.uniform(0.8, 1.6), rng.uniform(1.5, 4), rng.uniform(0.03, 0.06)
    stripes = [_cloth(rng, 0.85), _cloth(rng, 0.1), _cloth(rng, 0.85)]
    pole = _cloth(rng, 0.1) * 0.6

    def draw(cel: Cel, time: float) -> None:
        cel.anchor = corner
        cel.limb(corner - [0.01, 0.03], np.array([corner[0] - 0.01, ground]), 0.016, pole)
        cel.fix()
        s = np.linspace(0, 1, 13)
        swell = np.sin(2 * np.pi * (waves * s - beats * time))
        x, drop = corner[0] + width * s * (1 - 0.06 * swell), depth * s**0.7 * swell + 0.05 * s
        for part in range(12):
            light = 0.8 + 0.35 * np.cos(2 * np.pi * (waves * s[part] - beats * time)) * s[part] ** 0.5
            for k, colour in enumerate(stripes):
                top, bottom = (corner[1] + height * (k + edge) / 3 for edge in (0, 1))
                ends = [(part, top), (part + 1, top), (part + 1, bottom), (part, bottom)]
                cel.polygon(np.array([[x[i], y + drop[i]] for i, y in ends]), colour * light)

    return draw


def smoke(rng: np.random.Generator, ground: float) -> Actor:
    """Puffs that rise from a place, grow, and drift with the wind until they are gone."""
    source = np.array([rng.uniform(0.3, 0.7), ground * rng.uniform(0.75, 0.95)])
    wind, rise, count = rng.uniform(-0.5, 0.5), rng.uniform(0.4, 0.7), 32
    grey, size = rng.uniform(0.35, 0.95), rng.uniform(0.05, 0.09)
    births = (np.arange(count) + rng.random(count)) / count
    wobble, shade = rng.normal(0, 0.025, [count, 2]), rng.uniform(0.9, 1.06, count)

    def draw(cel: Cel, time: float) -> None:
        cel.anchor = source + 0.5 * time * np.array([wind, -rise])
        cel.underlay(np.full(3, grey))
        ages = (time * 1.4 - births) % 1.0
        for k in np.argsort(-ages):
            age = ages[k]
            at = source + age * np.array([wind * age, -rise]) + wobble[k] * (0.4 + age)
            cel.disc(at, size * (0.25 + age) * np.clip((1 - age) * 4, 0, 1), np.full(3, grey * shade[k]))
        cel.soften(0.015)

    return draw


def _cloth(rng: np.random.Generator, saturation: float | None = None) -> np.ndarray:
    saturation = rng.uniform(0.0, 0.9) if saturation is None else saturation
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation * rng.uniform(0.7, 1.0), rng.uniform(0.2, 1.0)))


def _skin(rng: np.random.Generator) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(rng.uniform(0.03, 0.09), rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.95)))
