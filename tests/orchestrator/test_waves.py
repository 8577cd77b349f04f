"""A wave: who rides on, who waits, when it is over."""

import asyncio

import pytest

from orchestrator.waves import Wave


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def turn(wave: Wave, agent: str, *, news: bool = False, wanted: bool = False) -> bool:
    wave.begin(agent)
    wave.end(agent)
    return wave.rides_on(agent, taken=1, has_news=news, wanted=wanted)


def test_the_last_agent_without_news_leaves_and_the_wave_is_over(clock: Clock) -> None:
    wave = Wave(["ann"], clock=clock)

    assert not turn(wave, "ann")
    assert "ann" not in wave


async def test_agents_without_news_wait_while_a_slow_one_is_busy(clock: Clock) -> None:
    wave = Wave(["ann", "slow"], clock=clock)
    wave.begin("slow")

    assert turn(wave, "ann")
    waiting = asyncio.create_task(wave.ready("ann", has_news=False))
    await asyncio.sleep(0)
    wave.wake(["ann"])

    assert await waiting


async def test_the_end_of_the_last_busy_turn_sends_those_who_wait_home(clock: Clock) -> None:
    wave = Wave(["ann", "slow"], clock=clock)
    wave.begin("slow")
    turn(wave, "ann")
    waiting = asyncio.create_task(wave.ready("ann", has_news=False))
    await asyncio.sleep(0)
    wave.end("slow")

    assert not wave.rides_on("slow", taken=1, has_news=False, wanted=False)
    assert not await waiting


async def test_everybody_waiting_is_the_end(clock: Clock) -> None:
    wave = Wave(["ann", "bob"], clock=clock)

    assert turn(wave, "ann")
    assert turn(wave, "bob")
    answers = await asyncio.gather(*(wave.ready(a, has_news=False) for a in ("ann", "bob")))

    assert answers == [False, False]


def test_a_wave_that_is_old_ends_for_who_wants_in(clock: Clock) -> None:
    wave = Wave(["ann", "bob"], clock=clock, open_seconds=1.0)

    assert turn(wave, "ann", news=True, wanted=True)
    clock.now = 1.5
    assert not turn(wave, "ann", news=True, wanted=True)
    assert not turn(wave, "bob", news=True)


def test_a_turn_begun_in_time_is_not_cut_short_by_the_end(clock: Clock) -> None:
    wave = Wave(["ann", "slow"], clock=clock, open_seconds=1.0)
    wave.begin("slow")
    clock.now = 60.0

    assert turn(wave, "ann", news=True, wanted=True)


async def test_a_closed_wave_lets_nobody_begin(clock: Clock) -> None:
    wave = Wave(["ann", "bob"], clock=clock)
    wave.close()

    assert not await wave.ready("ann", has_news=True)
    assert not turn(wave, "bob", news=True)


async def test_an_agent_resumed_in_a_fresh_wave_does_not_hang(clock: Clock) -> None:
    wave = Wave([], clock=clock)

    assert not await asyncio.wait_for(wave.ready("ann", has_news=False), timeout=1)


def test_turns_per_wave_are_bounded(clock: Clock) -> None:
    wave = Wave(["ann", "bob"], clock=clock, max_turns=3)
    wave.begin("ann")

    assert wave.rides_on("ann", taken=2, has_news=True, wanted=False)
    assert not wave.rides_on("ann", taken=3, has_news=True, wanted=False)
