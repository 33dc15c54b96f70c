"""What a frame of another size takes, and what an image costs."""

from dataclasses import replace

import pytest

from benchmarks.answers.costing import Rates, cost_of_image, parse_amounts, plan_frame
from benchmarks.measures.figures import Energy
from runtime.errors import InputError


@pytest.fixture(scope="session")
def row(make_report):
    """Frames of 512x512 in 9 tiles of 256x256; 64 % of their time is the network's."""
    return make_report(noise=0.0).rows[0]


def test_a_frame_of_the_measured_size_is_no_estimate(row):
    plan = plan_frame(row, (512, 512), (512, 512), one_tile=False)
    assert (plan.factor, plan.tiles, plan.estimated, plan.command) == (1.0, 9, False, None)


def test_one_tile_costs_its_pixels_without_overlap(row):
    plan = plan_frame(row, (512, 512), (1000, 1000))
    assert (plan.tile, plan.tiles, plan.estimated) == ((1024, 1024), 1, True)
    network, rest = 0.64 * 1024**2 / (9 * 256**2), 0.36 * (1000 / 512) ** 2
    assert plan.factor == pytest.approx(network + rest)
    assert plan.command == "python -m compile --target intel --student tiny --tile 1024x1024"


def test_a_frame_that_one_tile_already_holds_stays_as_it_is(row):
    plan = plan_frame(row, (256, 256), (200, 256))
    assert (plan.tile, plan.tiles, plan.command) == ((256, 256), 1, None)


def test_no_tile_is_proposed_that_is_larger_than_was_ever_tried(row):
    assert plan_frame(row, (512, 512), (9000, 9000)).command is None


def test_without_stages_time_grows_with_the_number_of_tiles(row):
    old = replace(row, timing=replace(row.timing, stages=None))
    plan = plan_frame(old, (512, 512), (2048, 2048))
    assert (plan.factor, plan.tile) == (9.0, (256, 256))


def test_measured_energy_counts_the_wait_between_frames_too(row):
    measured = replace(row, energy=Energy("RAPL package-0", 1.0, 30.0, 10.0, 10, 1.0, (512, 512)))
    cost = cost_of_image(measured, ("here",), 0.1, 0.5, Rates())
    assert cost.seconds == 0.5
    assert cost.joules == pytest.approx(30 * 0.1 + 10 * 0.4)
    assert cost.images_per_kwh == pytest.approx(3.6e6 / 7)
    assert cost.money is None


def test_a_price_is_that_of_the_device_that_it_names(row):
    rates = Rates(price={"pi": 80.0, "": 1000.0}, hours=1000.0)
    board, other = (cost_of_image(row, (name,), 3.6, 0.0, rates) for name in ("Raspberry Pi 5", "Xeon"))
    assert (board.money, other.money) == pytest.approx((80 * 3.6 / 3.6e6, 1000 * 3.6 / 3.6e6))
    assert board.money_of == "the device in 1,000 hours of work"


def test_amounts_are_read_with_and_without_a_device():
    assert parse_amounts("--price", ("400", "Pi 5=80")) == {"": 400.0, "Pi 5": 80.0}
    with pytest.raises(InputError, match="--price 'free'"):
        parse_amounts("--price", ("free",))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_an_impossible_amount_is_refused(value: float):
    with pytest.raises(InputError, match="--power"):
        Rates(power_w={"": value})
