"""Count Varroa mites on drawn hive boards: image processing finds candidates, a small network trained here judges them.

    python recipes/mite_detector.py [--quick] [-o mites]

Beekeepers count the mites that fall onto a white board under the hive. The boards here are drawn, so that the truth is
known: uneven light, a printed grid, noise, reddish-brown ellipses of 1.6 x 1.1 mm, and debris that resembles them in
size (soil, pollen), in colour (propolis) or in both. Nothing is said about real boards.

The stages that find candidates are in mites.toml. They cut the training pictures out of one set of boards; the
finished detector, one plan and that file, is then scored on other boards.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import chipwise
from chipwise.cli.ending import errors_said
from chipwise.codec.pipeline_file import read_pipeline
from chipwise.core.measure import Accuracy
from chipwise.core.report import Box
from chipwise.datasets.dataset import Dataset, make
from chipwise.tasks.metrics import accuracy
from chipwise.tasks.pictures import png_bytes, resize
from chipwise.tasks.regions import candidates, cut

PIPELINE = Path(__file__).with_name("mites.toml")
NETWORK = "resnet20:width=0.5"
PIXELS_PER_MM = 8
WIDTH_MM, HEIGHT_MM = 100, 75
MITE_MM = (1.6, 1.1)  # an adult female of Varroa destructor is about 1.6 mm wide and 1.1 mm long
NEAR_MM = 0.75  # a box counts as a mite when their centres are so near
SIDE = 32
_FINE = 3  # boards are drawn this many times larger, and then made smaller

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Board:
    """A drawn board, uint8 [H, W, 3], and the centres of its mites in pixels, [N, 2] as x, y."""

    picture: Picture
    mites: Points


@dataclass(frozen=True)
class Score:
    """What the detector got right on boards it had never seen."""

    precision: Accuracy
    recall: Accuracy
    proposed: Accuracy
    seconds: float


def draw_board(seed: int, mites: int = 20, debris: int = 70) -> Board:
    """Draw a board; the same seed draws the same one."""
    random = np.random.default_rng(seed)
    scale = PIXELS_PER_MM * _FINE
    size = (WIDTH_MM * scale, HEIGHT_MM * scale)
    canvas = np.full((size[1], size[0], 3), (226, 222, 208), np.uint8)
    for line in range(0, WIDTH_MM, 20):
        cv2.line(canvas, (line * scale, 0), (line * scale, size[1]), (196, 196, 200), _FINE)
        cv2.line(canvas, (0, line * scale), (size[0], line * scale), (196, 196, 200), _FINE)
    for _ in range(debris):
        _draw_debris(canvas, random, scale)
    centres = _apart(random, mites, 2.2)
    for centre in centres:
        _draw_mite(canvas, random, centre * scale, scale)
    small = cv2.resize(canvas, (size[0] // _FINE, size[1] // _FINE), interpolation=cv2.INTER_AREA).astype(np.float32)
    light = cv2.resize(
        random.uniform(0.72, 1.06, (3, 4)).astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    noisy = cv2.GaussianBlur(small, (0, 0), 0.7) * light[..., None] + random.normal(0, 4, small.shape)
    return Board(noisy.clip(0, 255).astype(np.uint8), centres * PIXELS_PER_MM)


def _apart(random: np.random.Generator, count: int, distance_mm: float) -> Points:
    """Places on the board that keep their distance from each other and from the edge."""
    chosen: list[Points] = []
    while len(chosen) < count:
        place = random.uniform((2, 2), (WIDTH_MM - 2, HEIGHT_MM - 2))
        if all(np.hypot(*(place - other)) >= distance_mm for other in chosen):
            chosen.append(place)
    return np.array(chosen).reshape(-1, 2)


def _draw_mite(canvas: Picture, random: np.random.Generator, centre: Points, scale: int) -> None:
    """A reddish-brown ellipse with a darker rim, a highlight, and legs on one long side."""
    angle = random.uniform(0, 360)
    axes = np.array(MITE_MM) / 2 * scale * random.uniform(0.88, 1.12, 2)
    colour = np.array([128, 58, 32]) + random.normal(0, (16, 9, 7))
    turn = np.deg2rad(angle)
    across, along = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    for leg in np.linspace(-0.6, 0.6, 4):
        start = centre + across * axes[0] * leg + along * axes[1] * 0.8
        _line(canvas, start, start + along * scale * 0.3 + across * scale * 0.1 * leg, colour * 1.25, scale // 12)
    for share, tone in ((1.0, 0.72), (0.86, 1.0)):
        _ellipse(canvas, centre, axes * share, angle, colour * tone)
    _ellipse(canvas, centre - across * axes[0] * 0.3 - along * axes[1] * 0.25, axes * 0.22, angle, colour + 55)


def _draw_debris(canvas: Picture, random: np.random.Generator, scale: int) -> None:
    """One thing that is no mite."""
    centre = random.uniform((0, 0), (WIDTH_MM, HEIGHT_MM)) * scale
    kind = random.choice(["wax", "propolis", "pollen", "soil", "leg"], p=[0.25, 0.25, 0.2, 0.15, 0.15])
    if kind == "leg":
        bends = centre + np.cumsum(random.normal(0, 0.7 * scale, (4, 2)), axis=0)
        for start, end in pairwise(bends):
            _line(canvas, start, end, np.array([70, 45, 35]), scale // 6)
        return
    if kind in ("pollen", "soil"):
        colours = {"pollen": (205, 130, 30), "soil": (52, 46, 44)}
        colour = np.array(colours[kind]) + random.normal(0, 18, 3)
        radius = random.uniform(0.4, 0.75) * scale
        axes = radius * (random.uniform(0.85, 1.0, 2) if kind == "pollen" else random.uniform(0.6, 1.0, 2))
        _ellipse(canvas, centre, axes, random.uniform(0, 360), colour)
        _ellipse(canvas, centre - radius * 0.25, axes * 0.35, 0, colour + 25)
        return
    colour = np.array((186, 146, 84) if kind == "wax" else (118, 62, 36)) + random.normal(0, 14, 3)
    corners = int(random.integers(4, 9))
    turns = np.sort(random.uniform(0, 2 * np.pi, corners))
    reach = random.uniform(0.25, 1.3, corners)[:, None] * scale * random.uniform(0.6, 1.2)
    shape = centre + reach * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    cv2.fillPoly(canvas, [shape.round().astype(np.int32)], _rgb(colour), cv2.LINE_AA)


def _ellipse(canvas: Picture, centre: Points, axes: Points, angle: float, colour: Points) -> None:
    where, size = tuple(map(int, centre.round())), tuple(map(int, np.maximum(axes, 1).round()))
    cv2.ellipse(canvas, where, size, angle, 0, 360, _rgb(colour), -1, cv2.LINE_AA)


def _line(canvas: Picture, start: Points, end: Points, colour: Points, width: int) -> None:
    points = [tuple(map(int, point.round())) for point in (start, end)]
    cv2.line(canvas, points[0], points[1], _rgb(colour), max(1, width), cv2.LINE_AA)


def _rgb(colour: Points) -> tuple[float, float, float]:
    red, green, blue = np.clip(colour, 0, 255).tolist()
    return red, green, blue


def training_crops(boards: list[Board]) -> Dataset:
    """What the stages of the pipeline find on these boards, named by the truth."""
    stages = read_pipeline(PIPELINE.read_bytes(), PIPELINE.name).stages
    crops, labels = [], []
    for board in boards:
        boxes = candidates(board.picture, stages)
        crops += [resize(crop, SIDE, SIDE) for crop in cut(board.picture, boxes)]
        labels += [len(matched(np.array([box]), board.mites)) for box in boxes]
    return make("crops of drawn boards", np.stack(crops), np.array(labels), ("debris", "mite"))


def matched(boxes: NDArray[np.generic], mites: Points) -> list[tuple[int, int]]:
    """Pairs (box, mite) whose centres are near, nearest first, each used once."""
    if not len(boxes) or not len(mites):
        return []
    edges = boxes.astype(np.float64)
    centres = (edges[:, :2] + edges[:, 2:]) / 2
    distances = np.hypot(*(centres[:, None] - mites[None]).transpose(2, 0, 1))
    pairs: list[tuple[int, int]] = []
    for index in np.argsort(distances, axis=None):
        box, mite = divmod(int(index), len(mites))
        if distances[box, mite] > NEAR_MM * PIXELS_PER_MM:
            break
        if all(box != other and mite != known for other, known in pairs):
            pairs.append((box, mite))
    return pairs


def score(plan: Path, boards: list[Board], folder: Path) -> Score:
    """Run the detector on boards and compare with the truth; pictures with boxes go into `folder`/found."""
    files = []
    for number, board in enumerate(boards):
        files.append(folder / f"board-{number}.png")
        files[-1].write_bytes(png_bytes(board.picture))
    started = time.perf_counter()
    result = chipwise.run(plan, files, pipeline=PIPELINE, output=folder / "found")
    seconds = (time.perf_counter() - started) / len(boards)
    stages = read_pipeline(PIPELINE.read_bytes(), PIPELINE.name).stages
    said = sum(len(each.boxes) for each in result.predictions)
    there = sum(len(board.mites) for board in boards)
    pairs = zip(result.predictions, boards, strict=True)
    right = sum(len(matched(_edges(each.boxes), board.mites)) for each, board in pairs)
    proposed = sum(len(matched(candidates(board.picture, stages), board.mites)) for board in boards)
    return Score(accuracy(right, said), accuracy(right, there), accuracy(proposed, there), seconds)


def _edges(boxes: tuple[Box, ...]) -> NDArray[np.float64]:
    return np.array([(box.left, box.top, box.right, box.bottom) for box in boxes]).reshape(-1, 4)


def main(arguments: list[str]) -> Score:
    """Draw, train, compile, run, score, and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer boards and epochs: seconds, for a test")
    parser.add_argument("-o", "--output", type=Path, default=Path("mites"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    learn, judge, epochs, budget_s = (8, 3, 5, 1.0) if options.quick else (24, 10, 8, 8.0)
    print(f"seed {options.seed}; {learn} boards to learn from, {judge} to be judged on, {PIXELS_PER_MM} pixels/mm")
    first = 1000 * options.seed
    data = training_crops([draw_board(first + number) for number in range(learn)])
    print(f"{len(data)} candidates, {int(data.labels.sum())} of them mites")
    trained = chipwise.train(
        NETWORK,
        data,
        folder=options.output / "train",
        fresh=True,
        epochs=epochs,
        batch_size=16,
        channels_last=True,
        threads=1,  # a network so small is not faster with more
        seed=options.seed,
    )
    assert trained.test is not None
    print(f"network: {trained.test.value:.1%} of {trained.test.count} held-out candidates right")
    plan = options.output / "mites.plan"
    runtimes = ("onnxruntime",) if options.quick else ()
    chipwise.compile(options.output / "train", output=plan, data=data, budget_s=budget_s, runtimes=runtimes)
    boards = [draw_board(first + 500 + number) for number in range(judge)]
    result = score(plan, boards, options.output)
    for name, value in (
        ("found as candidates", result.proposed),
        ("recall", result.recall),
        ("precision", result.precision),
    ):
        print(f"{name}: {value.value:.1%} [{value.low:.1%}-{value.high:.1%}], {value.correct} of {value.count}")
    print(f"{result.seconds * 1e3:.0f} ms a board with reading and drawing; boxes in {options.output / 'found'}")
    return result


if __name__ == "__main__":
    with errors_said():
        main(sys.argv[1:])
